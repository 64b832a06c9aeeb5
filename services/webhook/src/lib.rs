//! Tells the owners of jobs: deliveries that are signed, retried and visible.
//!
//! Owns deliveries, their attempts and signing secrets. Promises: each event of a job with a webhook becomes one delivery
//! for its target; a delivery is tried at least once, signed each time, until the receiver takes it or the schedule is
//! used up; a slow or dead receiver delays no other; a receiver at a forbidden address gets nothing.

mod body;
mod deliverer;
mod delivery;
mod error;
mod follower;
mod handler;
mod signature;
mod store;
mod wire;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use api::{
    job::v1::job_service_client::JobServiceClient, webhook::v1::webhook_service_server::WebhookServiceServer,
};
use domain::Service;
use mesh::{Shutdown, config::Problems};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tracing::warn;

use self::{
    deliverer::{Deliverer, Secrets},
    follower::Follower,
    handler::Handler,
    store::Store,
};
pub use self::{delivery::Config as Delivery, error::Error, follower::Config as Events};

/// How often the janitor looks, and how much it removes in one transaction.
const JANITOR_INTERVAL: Duration = Duration::from_secs(600);
const JANITOR_BATCH: u64 = 500;
/// How often readiness is asked.
const READY_INTERVAL: Duration = Duration::from_secs(2);

/// Settings of the webhook service; `config.default.toml` documents them.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml documents each key")]
pub struct Config {
    pub server: mesh::config::Server,
    pub tls: mesh::config::Tls,
    pub telemetry: mesh::config::Telemetry,
    pub peers: mesh::config::Peers,
    pub database: ::store::Config,
    pub queue: queue::Config,
    pub egress: egress::Config,
    pub delivery: Delivery,
    pub events: Events,
    pub secrets: SecretsConfig,
}

/// Section `[secrets]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsConfig {
    /// The key that seals signing secrets.
    pub key_file: PathBuf,
}

impl mesh::Config for Config {
    const SERVICE: Service = Service::Webhook;
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

    fn validate(&self, problems: &mut Problems) {
        for problem in self.database.check() {
            problems.add("database", problem);
        }
        for problem in self.queue.check() {
            problems.add("queue", problem);
        }
        for problem in self.egress.check() {
            problems.add("egress", problem);
        }
        if !(0.0..=0.5).contains(&self.delivery.jitter) {
            problems.add("delivery.jitter", "must be from 0 to 0.5");
        }
        if self.delivery.concurrency == 0 || self.delivery.per_host == 0 {
            problems.add("delivery", "concurrency and per_host must be at least 1");
        }
        if !(1..=1000).contains(&self.events.batch) {
            problems.add("events.batch", "must be from 1 to 1000");
        }
    }
}

/// Runs the webhook service until `node.shutdown` begins and the last attempt has ended.
pub async fn serve(config: Config, node: mesh::Node) -> anyhow::Result<()> {
    let store = Store::open(&config.database).await.context("open the webhook store")?;
    let sealer = ::store::Sealer::open(&config.secrets.key_file)
        .with_context(|| format!("read the key file {}", config.secrets.key_file.display()))?;
    let secrets = Arc::new(Secrets { store: store.clone(), sealer });
    let bus = queue::Bus::connect(&config.queue, "webhook").await.context("set up the queue")?;
    let queue = bus.ready();
    let client = egress::Client::new(&config.egress).context("set up the HTTP client")?;
    let due = Arc::new(Notify::new());
    let shutdown = node.shutdown.clone();

    let follower = Follower {
        config: config.events,
        store: store.clone(),
        jobs: JobServiceClient::new(node.channel(Service::Job)),
        bus,
        due: due.clone(),
    };
    let retention = config.delivery.retention;
    let deliverer =
        Deliverer { config: config.delivery, store: store.clone(), client, secrets: secrets.clone(), due };
    let following = mesh::spawn("follower", follower.run(shutdown.clone()));
    let delivering = mesh::spawn("deliverer", deliverer.run(shutdown.clone()));
    let cleaning = mesh::spawn("janitor", clean(store.clone(), retention, shutdown.clone()));
    let (ready, readiness) = watch::channel(Ok(()));
    let watching = mesh::spawn("readiness", watch_store(store.clone(), ready));

    let handler = Handler { store: store.clone(), secrets };
    let served = mesh::Server::new(node, &config.server)
        .ready("store", readiness)
        .shown("queue", queue)
        .add(WebhookServiceServer::new(handler))
        .run()
        .await;
    for task in [following, delivering, cleaning] {
        task.await?;
    }
    watching.abort();
    store.close().await;
    served
}

async fn clean(store: Store, retention: Duration, shutdown: Shutdown) {
    loop {
        match store.purge(mesh::clock::now() - retention, JANITOR_BATCH).await {
            Ok(JANITOR_BATCH..) => continue,
            Ok(_) => {}
            Err(error) => warn!(error = &error as &dyn std::error::Error, "cannot remove old deliveries"),
        }
        tokio::select! {
            () = shutdown.begun() => return,
            () = tokio::time::sleep(JANITOR_INTERVAL) => {}
        }
    }
}

async fn watch_store(store: Store, ready: watch::Sender<Result<(), String>>) {
    loop {
        let state = if store.ready().await { Ok(()) } else { Err("the database is away".to_owned()) };
        ready.send_if_modified(|old| {
            let changed = *old != state;
            *old = state;
            changed
        });
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_a_configuration() {
        mesh::config::with::<Config>(toml::Table::new()).unwrap_or_else(|problems| panic!("{problems}"));
    }
}
