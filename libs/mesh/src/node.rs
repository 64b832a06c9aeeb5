//! What a member is given before it starts: its ports, its identity, where the others are, and the signal to stop.
//! These are arguments, so that any number of members can run in one process.

use std::net::SocketAddr;

use anyhow::Context;
use domain::Service;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Identity, client, config, spawn,
    tls::{install_crypto_provider, server_config},
};

/// A member of the mesh that is bound to its ports and not yet serving.
#[derive(Debug)]
pub struct Node {
    /// Which member.
    pub service: Service,
    /// The gRPC port.
    pub listener: TcpListener,
    /// The plain HTTP port for probes and metrics.
    pub admin: Option<TcpListener>,
    /// When to stop.
    pub shutdown: Shutdown,
    /// What it shows to the others.
    pub identity: Identity,
    /// Where the others are.
    pub peers: config::Peers,
}

impl Node {
    /// Checks the identity and binds the ports. Fails if the identity is not that of `service` or a port is taken.
    pub async fn bind(
        service: Service,
        server: &config::Server,
        identity: Identity,
        peers: config::Peers,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        install_crypto_provider();
        server_config(&identity)?;
        let member = identity.member()?;
        anyhow::ensure!(member == service, "the certificate is that of {member}, not of {service}");
        let listener = bind(&server.listen).await?;
        let admin = match server.admin_listen.as_str() {
            "" => None,
            address => Some(bind(address).await?),
        };
        Ok(Self { service, listener, admin, shutdown, identity, peers })
    }

    /// The address of the gRPC port, with the port that was taken.
    ///
    /// # Panics
    /// Never for a listening socket.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.listener.local_addr().expect("because a bound socket has an address")
    }

    /// A connection to another member, made at the first call. The gateway is nobody's peer: calls to it are answered
    /// with UNAVAILABLE.
    #[must_use]
    pub fn channel(&self, to: Service) -> client::Channel {
        let address = self.peers.address(to).unwrap_or_default();
        client::Channel::connect(to, address, &self.identity, self.peers.connect_timeout)
    }
}

async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))
}

/// The signal to stop, shared by everything that has to.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Not begun yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins at SIGTERM or SIGINT. A second signal ends the process at once, with code 143 or 130. Needs a runtime.
    pub fn on_signals() -> anyhow::Result<Self> {
        let shutdown = Self::new();
        let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;
        let begun = shutdown.clone();
        spawn("signals", async move {
            let name = either(&mut terminate, &mut interrupt).await.0;
            info!(signal = name, "shutdown begins");
            begun.begin();
            let (name, code) = either(&mut terminate, &mut interrupt).await;
            warn!(signal = name, "second signal, exit at once");
            #[expect(
                clippy::disallowed_methods,
                reason = "a second signal asks to leave everything as it is"
            )]
            std::process::exit(code);
        })
        .detach();
        Ok(shutdown)
    }

    /// Begins the shutdown. Further calls change nothing.
    pub fn begin(&self) {
        self.0.cancel();
    }

    /// Waits until the shutdown begins.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// The token itself, for code that takes one.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.0.clone()
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = terminate.recv() => ("SIGTERM", 143),
        _ = interrupt.recv() => ("SIGINT", 130),
    }
}
