//! A crawler from the outside: real queue, real mTLS, a real website; the test plays the ledger and keeps the documents.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod boot;
mod escalation;
mod faults;
mod ledger;
mod pages;
mod shutdown;
mod site;
mod workers;
