//! What a store may rely on, run against SQLite and Postgres alike, and what happens when they go away.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod conformance;
mod faults;
mod schema;
