//! Boots a mesh in a test: in this process or as six; with a website to crawl, a webhook inbox and a trace collector.
//!
//! Everything is real (nats-server, SQLite or Postgres, Chromium, mTLS); only the Internet and the receiver of webhooks
//! are played, by [`Site`] and [`Inbox`]. Each mesh has its own folder, ports and NATS server.

pub mod collector;
mod ear;
pub mod inbox;
mod ledger;
mod mesh;
mod processes;
mod proxy;
mod relay;
pub mod rest;
pub mod site;
mod small_disk;

use std::time::Duration;

pub use self::{
    collector::Collector,
    ear::expect_error,
    inbox::Inbox,
    mesh::{Clients, Mesh, MeshBuilder, assert_adds_up},
    processes::{Link, Member, Processes, ProcessesBuilder},
    proxy::{Proxy, Toxic, Way},
    relay::{Canary, ELSEWHERE, Relay},
    rest::{Rest, send as rest_send},
    site::Site,
    small_disk::SmallDisk,
};

/// A NATS server of its own, and the folder that it needs.
///
/// # Panics
/// Where it does not start.
pub async fn nats() -> (queue::server::NatsServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("because the temporary folder can be written");
    let binary = queue::server::find_server(None).expect("because `make test` installs nats-server");
    let server = queue::server::NatsServer::start(&binary, folder.path(), 0).await;
    (server.expect("because it starts"), folder)
}

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
