//! A gateway on a free port, with neighbours that are played, over mTLS.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use api::{
    auth::v1::auth_service_server::AuthServiceServer, job::v1::job_service_server::JobServiceServer,
    result::v1::result_service_server::ResultServiceServer,
};
use domain::Service;
use mesh::{Ca, Config as _, Node, Server, Shutdown, Task};
use serde_json::Value;
use tokio::net::TcpListener;
use toml::Table;

use crate::neighbours::{GOOD_KEY, Neighbours};

/// The gateway and what is behind it. Ends when dropped.
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) neighbours: Arc<Neighbours>,
    pub(crate) shutdown: Shutdown,
    pub(crate) gateway: Task<anyhow::Result<()>>,
    client: reqwest::Client,
    _peers: Vec<Task<anyhow::Result<()>>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn reason(&self) -> &str {
        self.json["reason"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

async fn bind(ca: &Ca, service: Service, config: &gateway::Config, shutdown: &Shutdown) -> Node {
    let identity = ca.issue(service).unwrap();
    Node::bind(service, config.server(), identity, config.peers().clone(), shutdown.clone()).await.unwrap()
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// A stage with settings of the gateway, as TOML.
    pub(crate) async fn with(settings: &str) -> Self {
        let (ca, shutdown) = (Ca::generate().unwrap(), Shutdown::new());
        let neighbours = Arc::new(Neighbours::default());
        let defaults: gateway::Config = mesh::config::with(Table::new()).unwrap();
        let (mut peers, mut tasks) = (Table::new(), Vec::new());
        for service in [Service::Auth, Service::Job, Service::Result, Service::Webhook, Service::Crawler] {
            let node = bind(&ca, service, &defaults, &shutdown).await;
            peers.insert(service.to_string(), node.addr().to_string().into());
            let server = Server::new(node, defaults.server());
            let server = match service {
                Service::Auth => server.add(AuthServiceServer::from_arc(neighbours.clone())),
                Service::Job => server.add(JobServiceServer::from_arc(neighbours.clone())),
                Service::Result => server.add(ResultServiceServer::from_arc(neighbours.clone())),
                _ => server,
            };
            tasks.push(mesh::spawn("neighbour", server.run()));
        }
        let mut table: Table = toml::from_str(settings).unwrap();
        table.insert("peers".to_owned(), peers.into());
        let config: gateway::Config = mesh::config::with(table).unwrap();
        let node = bind(&ca, Service::Gateway, &config, &shutdown).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = mesh::spawn("gateway", gateway::serve_on(config, node, listener));
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        Self { address, neighbours, shutdown, gateway, client, _peers: tasks }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request with the good key.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.bare(method, path).header("x-api-key", GOOD_KEY)
    }

    /// A request without a credential.
    pub(crate) fn bare(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let request = self.request("POST", path).header("content-type", "application/json");
        send(request.body(body.to_owned())).await
    }
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer { status, headers, text, json }
}
