//! The long rows of the fault matrix, by their numbers, and schedules of faults by seeds: `make faults` runs them, `make test`
//! does not. docs/faults.md names the test of each row.
#![expect(clippy::print_stdout, reason = "a test shows its schedule, so that a failure can be read")]

mod chaos;
mod crawl;
mod postgres;
mod queue;
mod schedule;
mod seeds;
