//! The smallest member: settings, a `main` of one line, and a server without services of its own. The tests run it as a
//! process of its own.

use std::process::ExitCode;

use mesh::{Config, Node, Server, config};
use serde::Deserialize;

/// Only the sections that every service has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    server: config::Server,
    tls: config::Tls,
    telemetry: config::Telemetry,
    peers: config::Peers,
}

impl Config for Settings {
    const SERVICE: domain::Service = domain::Service::Job;
    const DEFAULTS: &'static str = config::SECTIONS;

    fn server(&self) -> &config::Server {
        &self.server
    }
    fn tls(&self) -> &config::Tls {
        &self.tls
    }
    fn telemetry(&self) -> &config::Telemetry {
        &self.telemetry
    }
    fn peers(&self) -> &config::Peers {
        &self.peers
    }
}

async fn serve(settings: Settings, node: Node) -> anyhow::Result<()> {
    Server::new(node, &settings.server).run().await
}

fn main() -> ExitCode {
    mesh::main(serve)
}
