//! What a store may rely on, run against SQLite and Postgres alike, and what happens when they go away.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says which database it is on, and this crate cannot depend on mesh::spawn"
)]

mod conformance;
mod faults;
mod schema;
