//! Boots a mesh in a test: in this process or as six; with a website to crawl, a webhook inbox and a trace collector.
//!
//! Everything is real (nats-server, SQLite or Postgres, Chromium, mTLS); only the Internet and the receiver of webhooks
//! are played, by [`Site`] and [`Inbox`]. Each mesh has its own folder, ports and NATS server.

pub mod collector;
mod ear;
pub mod inbox;
mod mesh;
mod processes;
pub mod rest;
pub mod site;

use std::time::Duration;

pub use self::{
    collector::Collector,
    ear::expect_error,
    inbox::Inbox,
    mesh::{Clients, Mesh, MeshBuilder, assert_adds_up},
    processes::Processes,
    rest::{Rest, send as rest_send},
    site::Site,
};

/// How long [`eventually`] waits. A condition that needs longer is a bug, not a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer satisfies `done`, and returns it.
///
/// # Panics
/// After [`PATIENCE`], with the last answer.
pub async fn eventually<T: std::fmt::Debug>(mut ask: impl AsyncFnMut() -> T, done: impl Fn(&T) -> bool) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        if done(&answer) {
            return answer;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "it did not come true in {PATIENCE:?}; at last: {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
