//! Measures a mesh against references in the same run, and puts it under load.
//!
//! Promises: each measurement prints one line with its value, its reference, its bar from the design and whether it is
//! held; what is measured runs as a process of its own, from the binaries beside this one; nothing is left running. It
//! owns no numbers: docs/benchmarks.md has those of the last full run.

mod bench;
mod client;
mod command;
mod crawl4ai;
mod documents;
mod fastcrw;
mod load;
mod machine;
mod members;
mod process;
mod reference;
mod report;
mod sample;
mod site;
mod soak;
mod up;

pub use command::main;
