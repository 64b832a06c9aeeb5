//! All services in one process, and the `crawlmesh` command line.
//!
//! Owns nothing: it lays out a data directory ([`plan`]), starts the same services that run apart in production
//! ([`embedded`]), and is a client of their public API ([`command`]).

pub mod command;
pub mod embedded;
pub mod plan;

pub use command::main;
pub use embedded::Embedded;
pub use plan::Plan;
