//! The mesh from outside: real servers on free ports, real certificates, real calls.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod config_file;
mod deadline;
mod faults;
mod identity;
mod process;
mod shutdown;
mod streams;
mod telemetry;

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use api::crawler::v1::{
    ListWorkersRequest, ListWorkersResponse, MapSiteRequest, MapSiteResponse, Worker,
    crawler_service_client::CrawlerServiceClient,
    crawler_service_server::{CrawlerService, CrawlerServiceServer},
};
use domain::Service;
use mesh::{Ca, Identity, Node, Server, Shutdown, Task, client::Channel, config};
use tonic::{Request, Response, Status, body::Body, server::NamedService};

pub(crate) type Answer = Result<Response<ListWorkersResponse>, Status>;
type Handle =
    dyn Fn(Request<ListWorkersRequest>) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;

/// A service with one public method, for the gateway, that does what a test says.
#[derive(Clone)]
pub(crate) struct Handler(Arc<Handle>);

impl Handler {
    pub(crate) fn new<F, Fut>(handle: F) -> Self
    where
        F: Fn(Request<ListWorkersRequest>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(handle(request))))
    }

    /// Answers with a text.
    pub(crate) fn saying(text: &'static str) -> Self {
        Self::new(move |_| async move { answer(text) })
    }
}

#[tonic::async_trait]
impl CrawlerService for Handler {
    async fn list_workers(&self, request: Request<ListWorkersRequest>) -> Answer {
        (self.0)(request).await
    }

    async fn map_site(&self, _: Request<MapSiteRequest>) -> Result<Response<MapSiteResponse>, Status> {
        Err(Status::unimplemented("these tests make no maps"))
    }
}

pub(crate) fn answer(text: impl Into<String>) -> Answer {
    let worker = Worker { name: text.into(), ..Worker::default() };
    Ok(Response::new(ListWorkersResponse { workers: vec![worker] }))
}

pub(crate) fn text(response: Response<ListWorkersResponse>) -> String {
    response.into_inner().workers.remove(0).name
}

/// A running crawler.
pub(crate) struct Member {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) shutdown: Shutdown,
    pub(crate) served: Task<anyhow::Result<()>>,
}

impl Member {
    pub(crate) fn channel(&self, identity: &Identity) -> Channel {
        channel_to(self.addr, identity)
    }

    pub(crate) fn client(&self, identity: &Identity) -> CrawlerServiceClient<Channel> {
        CrawlerServiceClient::new(self.channel(identity))
    }
}

pub(crate) fn channel_to(addr: SocketAddr, identity: &Identity) -> Channel {
    Channel::connect(Service::Crawler, &addr.to_string(), identity, Duration::from_secs(2))
}

/// The documented settings of `[server]`, with `overlay` on top.
pub(crate) fn settings(overlay: &str) -> config::Server {
    let mut table = config::SECTIONS.parse::<toml::Table>().unwrap()["server"].as_table().unwrap().clone();
    table.extend(overlay.parse::<toml::Table>().unwrap());
    table.try_into().unwrap()
}

pub(crate) async fn start(ca: &Ca, handler: Handler) -> Member {
    start_with(ca, handler, "").await
}

pub(crate) async fn start_with(ca: &Ca, handler: Handler, overlay: &str) -> Member {
    start_service(ca, CrawlerServiceServer::new(handler), overlay).await
}

pub(crate) async fn start_service<S>(ca: &Ca, service: S, overlay: &str) -> Member
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    telemetry::init();
    let settings = settings(overlay);
    let peers = config::SECTIONS.parse::<toml::Table>().unwrap()["peers"].clone().try_into().unwrap();
    let shutdown = Shutdown::new();
    let identity = ca.issue(Service::Crawler).unwrap();
    let node = Node::bind(Service::Crawler, &settings, identity, peers, shutdown.clone()).await.unwrap();
    let addr = node.addr();
    let admin = node.admin.as_ref().map(|listener| listener.local_addr().unwrap());
    let server = Server::new(node, &settings).add(service);
    Member { addr, admin, shutdown, served: mesh::spawn("member", server.run()) }
}

/// The gateway's identity: the caller of all public methods.
pub(crate) fn gateway(ca: &Ca) -> Identity {
    ca.issue(Service::Gateway).unwrap()
}

/// A request whose time is up in `millis` milliseconds.
pub(crate) fn within(millis: u64) -> Request<ListWorkersRequest> {
    let mut request = Request::new(ListWorkersRequest {});
    request.set_timeout(Duration::from_millis(millis));
    request
}

/// Waits until `condition` holds, with patience but not for ever.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(tokio::time::Instant::now() < patience, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
