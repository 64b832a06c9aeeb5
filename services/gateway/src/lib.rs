//! The gateway: REST and gRPC on one public port. It owns nothing and may be run in any number.
//!
//! Promises: every request but probes, the API description and the way to a token carries a credential; no request takes
//! more memory, time or connections than its configuration says; REST cannot disagree with gRPC, for both are read from
//! the same descriptors.

mod auth;
mod body;
mod config;
mod crawl4ai;
mod edge;
mod grpc;
mod health;
mod listener;
mod metrics;
mod openapi;
mod pages;
mod problem;
mod streams;
mod transcode;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use mesh::{Config as _, Node};
use tokio::net::TcpListener;

pub use config::Config;

/// Runs the gateway until `node.shutdown` begins and the last request has been answered. Binds the public port.
pub async fn serve(config: Config, node: Node) -> anyhow::Result<()> {
    let listen = config.public.listen.clone();
    let listener =
        TcpListener::bind(&listen).await.with_context(|| format!("bind the public port to {listen}"))?;
    serve_on(config, node, listener).await
}

/// The same on a public port that is bound already.
pub async fn serve_on(config: Config, node: Node, listener: TcpListener) -> anyhow::Result<()> {
    let address = listener.local_addr().context("read the address of the public port")?;
    // A name in the configuration is known as an address only now.
    if let Some(problem) = config.public.refuses(address) {
        bail!(problem);
    }
    let edge = Arc::new(edge::Edge::new(&config, &node).context("read the API")?);
    let public = listener::Listener::new(listener, edge, &config, node.shutdown.clone())?;
    tracing::info!(%address, tls = config.public.secured(), "public port is open");
    let member = mesh::Server::new(node, config.server());
    tokio::try_join!(public.run(), member.run())?;
    Ok(())
}
