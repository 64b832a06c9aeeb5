//! What a store may rely on, run against SQLite and Postgres alike, and what happens when they go away.

mod conformance;
mod faults;
mod schema;
