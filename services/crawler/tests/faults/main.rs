//! The long rows of the fault matrix, by their numbers: `make faults` runs them, `make test` does not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the other tests use more of it")]
#[path = "../it/boot.rs"]
mod boot;
#[expect(dead_code, reason = "the other tests use more of it")]
#[path = "../it/ledger.rs"]
mod ledger;
mod recycling;
#[path = "../it/site.rs"]
mod site;
