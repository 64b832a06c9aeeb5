//! Whole-mesh tests: every service real, in this process or as six, through the public API only.
#![expect(clippy::print_stdout, reason = "a test shows what it does, and the trace it collected")]

mod bad_input;
mod changes;
mod cli;
mod crawl4ai;
mod deep;
mod disk;
mod fair;
mod faults;
mod fetch;
mod flood;
mod flow;
mod frameworks;
mod import;
mod polite;
mod proxy;
mod render;
mod schedules;
mod sessions;
mod trace;
mod watch;
mod webhook;
