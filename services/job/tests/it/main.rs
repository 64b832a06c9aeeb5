//! The job service through its real API, with a real queue and both databases. The tests are the gateway, the crawlers and
//! the webhook service.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempts;
mod bench;
mod cancel;
mod changes;
mod control;
mod deep;
mod events;
mod faults;
mod flow;
mod lists;
mod schedules;
mod submit;
mod turns;
mod visits;
