//! The result service: it keeps page documents and their artifacts, until their time is over.
//!
//! Promises: storing twice is storing once, and an earlier dispatch never replaces a later one; a page is visible whole
//! or not at all; what is no longer visible is deleted, whatever crashes in between.

mod archive;
mod diff;
mod document;
mod error;
mod folders;
mod handler;
mod janitor;
mod objects;
mod session;
mod store;
mod upload;
mod vault;
mod wire;

use std::{path::PathBuf, time::Duration};

use ::store as database;
use anyhow::Context;
use api::result::v1::{
    result_service_server::ResultServiceServer, session_service_server::SessionServiceServer,
};
use bytesize::ByteSize;
use serde::Deserialize;
use tokio::sync::watch;

use crate::{
    archive::{Archive, Keeper},
    handler::{Handler, SessionHandler},
    objects::Objects,
    store::Store,
    vault::Vault,
};

/// Pause between two looks at the database for `/ready`.
const READY_PAUSE: Duration = Duration::from_secs(2);
/// What a message needs beside the document in it.
const ENVELOPE: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The settings of the result service; `config.default.toml` documents each.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: mesh::config::Server,
    /// `[tls]`
    pub tls: mesh::config::Tls,
    /// `[telemetry]`
    pub telemetry: mesh::config::Telemetry,
    /// `[peers]`
    pub peers: mesh::config::Peers,
    /// `[database]`
    pub database: database::Config,
    /// `[objects]`
    pub objects: ObjectStore,
    /// `[limits]`
    pub limits: Limits,
    /// `[sessions]`
    pub sessions: Sessions,
    /// `[janitor]`
    pub janitor: Janitor,
}

/// `[objects]`: where the bytes are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectStore {
    /// A folder, as a path or `file:///path`.
    pub url: String,
    /// Whether a stored page survives a power cut.
    pub fsync: bool,
    /// A page that is packed, with its artifacts, to at most this is kept in the database.
    pub inline_limit: ByteSize,
    /// Of one operation.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// After which the objects of an unfinished store are garbage.
    #[serde(with = "humantime_serde")]
    pub orphan_grace: Duration,
}

/// `[limits]`: what a page may cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Of one document, uncompressed.
    pub max_document: ByteSize,
    /// Of one artifact, uncompressed.
    pub max_artifact: ByteSize,
    /// Of all uploads at a time.
    pub upload_memory: ByteSize,
    /// Life of a document that comes without an end.
    #[serde(with = "humantime_serde")]
    pub default_ttl: Duration,
    /// Pages that wait to be written to the database.
    pub store_queue: usize,
    /// Pages that one transaction writes.
    pub store_group: usize,
    /// Of each of two texts that are compared.
    pub max_diff_input: ByteSize,
    /// Of a diff; the rest is cut.
    pub max_diff: ByteSize,
    /// Of one comparison.
    #[serde(with = "humantime_serde")]
    pub diff_timeout: Duration,
}

/// `[sessions]`: what is kept between the pages of a tenant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// The key that seals their state.
    pub key_file: PathBuf,
    /// Sessions of one tenant.
    pub max_per_tenant: u64,
    /// Cookies of one session.
    pub max_cookies: usize,
    /// Origins of which one session holds local storage.
    pub max_origins: usize,
    /// Bytes of the state of one session.
    pub max_state: ByteSize,
    /// How long a page that began with it may take to end.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
}

/// `[janitor]`: removing what is over.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Janitor {
    /// How often.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Documents or folders in one step.
    pub batch: u64,
}

impl mesh::Config for Config {
    const SERVICE: domain::Service = domain::Service::Result;
    const DEFAULTS: &'static str = include_str!("../config.default.toml");

    fn server(&self) -> &mesh::config::Server {
        &self.server
    }

    fn tls(&self) -> &mesh::config::Tls {
        &self.tls
    }

    fn telemetry(&self) -> &mesh::config::Telemetry {
        &self.telemetry
    }

    fn peers(&self) -> &mesh::config::Peers {
        &self.peers
    }

    fn validate(&self, problems: &mut mesh::config::Problems) {
        for problem in self.database.check() {
            problems.add("database", problem);
        }
        let url = &self.objects.url;
        if url.is_empty() || (url.contains("://") && !url.starts_with("file:///")) {
            problems.add("objects.url", "must be a path or file:///path");
        }
        if self.objects.inline_limit > ByteSize::mib(1) {
            problems.add("objects.inline_limit", "must be at most 1MiB");
        }
        if self.objects.timeout.is_zero() {
            problems.add("objects.timeout", "must be more than 0s");
        }
        if self.objects.orphan_grace <= self.server.max_deadline || self.objects.orphan_grace > DAY * 7 {
            problems.add("objects.orphan_grace", "must be more than server.max_deadline and at most 7d");
        }
        let (document, artifact) = (self.limits.max_document.as_u64(), self.limits.max_artifact.as_u64());
        if document.saturating_add(ENVELOPE) > self.server.max_message_size.as_u64() {
            problems.add("limits.max_document", "must be at least 1MiB less than server.max_message_size");
        }
        let kinds = document::Kind::ALL.len() as u64;
        if self.limits.upload_memory.as_u64()
            < artifact.saturating_mul(kinds).saturating_add(document + ENVELOPE)
        {
            problems.add("limits.upload_memory", "must be at least max_document + 6 * max_artifact + 1MiB");
        }
        if !(1..=10_000).contains(&self.limits.store_queue) {
            problems.add("limits.store_queue", "must be from 1 to 10000");
        }
        if !(1..=64).contains(&self.limits.store_group) {
            problems.add("limits.store_group", "must be from 1 to 64");
        }
        if self.limits.default_ttl.is_zero() || self.limits.default_ttl > DAY * 3660 {
            problems.add("limits.default_ttl", "must be more than 0s and at most 3660d");
        }
        self.sessions.check(problems);
        if self.janitor.interval.is_zero() {
            problems.add("janitor.interval", "must be more than 0s");
        }
        if !(1..=1000).contains(&self.janitor.batch) {
            problems.add("janitor.batch", "must be from 1 to 1000");
        }
    }
}

impl Sessions {
    fn check(&self, problems: &mut mesh::config::Problems) {
        if self.key_file.as_os_str().is_empty() {
            problems.add("sessions.key_file", "must be a path");
        }
        if self.max_per_tenant == 0 || self.max_cookies == 0 || self.max_origins == 0 {
            problems.add("sessions", "max_per_tenant, max_cookies and max_origins must be at least 1");
        }
        if !(ByteSize::kib(1)..=ByteSize::mib(8)).contains(&self.max_state) {
            problems.add("sessions.max_state", "must be from 1KiB to 8MiB");
        }
        if self.linger > DAY {
            problems.add("sessions.linger", "must be at most 1d");
        }
    }
}

/// Runs the result service until `node.shutdown` begins and the last call has been answered.
pub async fn serve(config: Config, node: mesh::Node) -> anyhow::Result<()> {
    let store = Store::open(&config.database).await.context("open the result store")?;
    let ObjectStore { url, fsync, inline_limit, timeout, orphan_grace } = &config.objects;
    let objects = Objects::open(url, *fsync, *timeout)?;

    let key_file = &config.sessions.key_file;
    let sealer = database::Sealer::open(key_file)
        .with_context(|| format!("read the key file {}", key_file.display()))?;
    let linger = config.sessions.linger;
    let sessions = SessionHandler { vault: Vault { store: store.clone(), sealer, limits: config.sessions } };
    let janitor = janitor::Janitor::new(store.clone(), objects.clone(), linger, config.janitor);
    let janitor = mesh::spawn("result.janitor", janitor.run());
    let (report, ready) = watch::channel(Ok(()));
    let readiness = mesh::spawn("result.readiness", watch_database(store.db().clone(), report));
    let memory = config.limits.upload_memory.as_u64();
    let (keeper, writer) = keeper(store.clone(), &config.limits);
    let writer = mesh::spawn("result.writer", writer);
    let archive = Archive::new(store.clone(), keeper, objects, *orphan_grace, inline_limit.as_u64(), memory);
    let size = config.server.max_message_bytes();
    let service = ResultServiceServer::new(Handler { archive, limits: config.limits })
        .max_decoding_message_size(size)
        .max_encoding_message_size(size);
    let sessions =
        SessionServiceServer::new(sessions).max_decoding_message_size(size).max_encoding_message_size(size);
    let server = mesh::Server::new(node, &config.server).add(service).add(sessions);
    let served = server.ready("database", ready).run().await;
    drop((janitor, readiness, writer));
    store.db().close().await;
    served
}

/// The way of pages into the database, and the writer at its end.
fn keeper(store: Store, limits: &Limits) -> (Keeper, impl Future<Output = ()> + use<>) {
    database::Group::new(limits.store_queue, limits.store_group, move |pages: Vec<_>| {
        let store = store.clone();
        async move { store.keep_all(&pages).await }
    })
}

/// Tells `/ready` whether the database answers.
async fn watch_database(db: database::Db, report: watch::Sender<Result<(), String>>) {
    loop {
        let state = if db.ready().await { Ok(()) } else { Err("the database does not answer".to_owned()) };
        report.send_if_modified(|last| {
            let changed = *last != state;
            *last = state;
            changed
        });
        tokio::time::sleep(READY_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn the_defaults_are_valid() {
        let config =
            mesh::config::with::<Config>(toml::Table::new()).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(config.server.listen, "127.0.0.1:8704");
    }

    #[test]
    fn contradictions_are_all_told() {
        let overlay = "[server]\nmax_message_size = \"16MiB\"\n[objects]\nurl = \"s3://x\"\norphan_grace = \"1m\"\ninline_limit = \"2MiB\"\n\
                       [limits]\nupload_memory = \"1MiB\"\n[janitor]\nbatch = 0\n[sessions]\nmax_state = \"9MiB\"\n";
        let wrong = mesh::config::with::<Config>(overlay.parse().expect("TOML")).expect_err("seven problems");
        for key in [
            "limits.max_document",
            "objects.url",
            "objects.orphan_grace",
            "objects.inline_limit",
            "limits.upload_memory",
            "janitor.batch",
            "sessions.max_state",
        ] {
            assert!(wrong.to_string().contains(key), "{key}: {wrong}");
        }
    }
}
