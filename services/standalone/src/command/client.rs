//! The command line as a client of the public API: gRPC, with an API key.

use std::time::Duration;

use anyhow::Context as _;
use api::{
    job::v1::job_service_client::JobServiceClient, result::v1::result_service_client::ResultServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Longest answer that is read: a list of documents ends at 4 MiB, unless its first document is larger.
const MAX_ANSWER: usize = 64 << 20;

/// Adds the API key to each call.
#[derive(Clone)]
pub(crate) struct ApiKey(MetadataValue<Ascii>);

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("x-api-key", self.0.clone());
        Ok(request)
    }
}

type Authenticated = InterceptedService<Channel, ApiKey>;

/// A connection to a crawlmesh.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) jobs: JobServiceClient<Authenticated>,
    pub(crate) results: ResultServiceClient<Authenticated>,
}

impl Client {
    /// Connects to `url` with `key`.
    pub(crate) async fn connect(url: &str, key: &str) -> anyhow::Result<Self> {
        let channel = endpoint(url)?.connect().await.with_context(|| format!("connect to {url}"))?;
        let mut key: MetadataValue<Ascii> =
            key.trim().parse().context("the API key is not printable ASCII")?;
        key.set_sensitive(true);
        let service = InterceptedService::new(channel, ApiKey(key));
        Ok(Self {
            jobs: JobServiceClient::new(service.clone()).max_decoding_message_size(MAX_ANSWER),
            results: ResultServiceClient::new(service).max_decoding_message_size(MAX_ANSWER),
        })
    }
}

fn endpoint(url: &str) -> anyhow::Result<Endpoint> {
    mesh::tls::install_crypto_provider();
    let endpoint = Endpoint::from_shared(url.to_owned())
        .with_context(|| format!("{url} is not a URL"))?
        .connect_timeout(Duration::from_secs(5));
    if url.starts_with("https:") {
        return Ok(endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?);
    }
    Ok(endpoint)
}

/// Whether a crawlmesh at `url` is ready.
pub(crate) async fn ready(url: &str) -> bool {
    let Ok(endpoint) = endpoint(url) else { return false };
    let Ok(channel) = endpoint.connect().await else { return false };
    let mut health = HealthClient::new(channel);
    let mut request = Request::new(HealthCheckRequest { service: String::new() });
    request.set_timeout(Duration::from_secs(2));
    let answer = health.check(request).await;
    answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
}
