//! The one gRPC server: mTLS, the fixed order of layers, health, reflection, and an orderly end.
//!
//! trace → metrics → load shedding → deadline → authentication → panic guard → service; then the status is tidied up.
//! A failed handshake, a panic or an overload costs the one call or connection and never the server.

mod accept;
mod admin;
mod pipeline;
mod response;

use std::{collections::HashSet, convert::Infallible, sync::Arc};

use anyhow::Context as _;
use domain::Service;
use http::{Request, Response};
use tokio::{sync::watch, time::sleep};
use tonic::{body::Body, server::NamedService, service::RoutesBuilder};
use tonic_health::{ServingStatus, server::HealthReporter};
use tracing::info;

use crate::{Node, config, policy, spawn, tls};

/// A check: what `/ready` shows under the name. The error says what is missing.
struct Check {
    name: &'static str,
    state: watch::Receiver<Result<(), String>>,
    /// Whether the member is ready only while it is `Ok`.
    decides: bool,
}

/// The server of one member.
pub struct Server {
    node: Node,
    config: config::Server,
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    checks: Vec<Check>,
    notes: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("services", &self.names).finish_non_exhaustive()
    }
}

impl Server {
    /// A server on the ports of `node`, without services yet.
    #[must_use]
    pub fn new(node: Node, config: &config::Server) -> Self {
        Self {
            node,
            config: config.clone(),
            routes: RoutesBuilder::default(),
            names: Vec::new(),
            checks: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a service that tonic generated. Give it `config.max_message_bytes()` before: tonic's own limit is 4 MiB.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "adding a service is no arithmetic")]
    pub fn add<S>(mut self, service: S) -> Self
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self.names.push(S::NAME);
        self
    }

    /// Adds a check to `/ready`. The member is ready when all are `Ok` and no shutdown has begun.
    #[must_use]
    pub fn ready(mut self, name: &'static str, state: watch::Receiver<Result<(), String>>) -> Self {
        self.checks.push(Check { name, state, decides: true });
        self
    }

    /// Adds a check to `/ready` that an operator should see and that decides nothing: the member has work without it.
    #[must_use]
    pub fn shown(mut self, name: &'static str, state: watch::Receiver<Result<(), String>>) -> Self {
        self.checks.push(Check { name, state, decides: false });
        self
    }

    /// Adds a line to `/ready` that an operator should see and that decides nothing.
    #[must_use]
    pub fn note(mut self, name: &'static str, text: String) -> Self {
        self.notes.push((name, text));
        self
    }

    /// Serves until `node.shutdown` begins, then: not ready → `drain_delay` → the port closes → running calls finish
    /// within `grace`, after which they are cut.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let health = self.add_health().await?;
        let tls = tls::server_config(&self.node.identity)?;
        let Node { service, listener, admin, shutdown, .. } = self.node;
        let draining = shutdown.token();
        let _admin = admin.map(|listener| {
            spawn("admin", admin::serve(listener, self.checks, self.notes, draining.clone()))
        });

        let pipeline =
            Arc::new(pipeline::Pipeline::new(service, &self.config, self.routes.routes().prepare()));
        let stop = tokio_util::sync::CancellationToken::new();
        let limits = accept::Limits::new(&self.config);
        let accepting = accept::serve(listener, tls, pipeline, limits, stop.clone());
        info!(%service, services = ?self.names, "serving");

        let names = self.names;
        let drain = async move {
            draining.cancelled().await;
            for name in names.into_iter().chain([""]) {
                health.set_service_status(name, ServingStatus::NotServing).await;
            }
            sleep(self.config.drain_delay).await;
            stop.cancel();
        };
        let ((), cut) = tokio::join!(drain, accepting);
        info!(%service, connections_cut = cut, "served");
        Ok(())
    }

    async fn add_health(&mut self) -> anyhow::Result<HealthReporter> {
        let (reporter, health) = tonic_health::server::health_reporter();
        for name in &self.names {
            reporter.set_service_status(name, ServingStatus::Serving).await;
        }
        self.routes.add_service(health);
        if self.config.reflection {
            let v1 = reflection().build_v1().context("read the descriptors")?;
            let v1alpha = reflection().build_v1alpha().context("read the descriptors")?;
            self.routes.add_service(v1).add_service(v1alpha);
        }
        let unique: HashSet<_> = self.names.iter().collect();
        anyhow::ensure!(unique.len() == self.names.len(), "a service was added twice");
        Ok(reporter)
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(api::FILE_DESCRIPTOR_SET)
}

/// Which rules a call falls under, from the descriptors: services that are not ours have no row there.
fn method_label(path: &str) -> &'static str {
    policy::method(path).map_or("other", |method| method.path)
}

/// Used by the pipeline: the caller by its certificate, decided once for each connection.
type Caller = Option<Service>;
