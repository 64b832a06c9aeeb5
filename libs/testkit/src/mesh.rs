//! A whole mesh in the test process.

use std::{net::SocketAddr, ops::Deref, time::Duration};

use api::{
    auth::v1::{CreateTenantRequest, Tenant, auth_service_client::AuthServiceClient},
    job::v1::{CreateCrawlJobRequest, GetJobRequest, Job, job::State, job_service_client::JobServiceClient},
    result::v1::result_service_client::ResultServiceClient,
    webhook::v1::webhook_service_client::WebhookServiceClient,
};
use domain::Service;
use standalone::{Embedded, Plan};
use store::testing::Postgres;
use tempfile::TempDir;
use toml::Table;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::Rest;

/// Adds an API key to gRPC calls.
#[derive(Clone)]
pub struct ApiKey(Option<MetadataValue<Ascii>>);

impl tonic::service::Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("x-api-key", key.clone());
        }
        Ok(request)
    }
}

type Grpc = InterceptedService<Channel, ApiKey>;

/// Clients of a mesh's public port, as one holder of an API key.
#[derive(Clone)]
pub struct Clients {
    /// Address of the public port.
    pub url: String,
    /// The API key. Empty: none.
    pub key: String,
    /// REST.
    pub rest: Rest,
    /// gRPC, through the gateway.
    pub jobs: JobServiceClient<Grpc>,
    /// gRPC, through the gateway.
    pub results: ResultServiceClient<Grpc>,
    /// gRPC, through the gateway.
    pub webhooks: WebhookServiceClient<Grpc>,
    /// gRPC, through the gateway.
    pub auth: AuthServiceClient<Grpc>,
}

impl Clients {
    /// Clients of `url` with `key`; an empty key sends none.
    ///
    /// # Panics
    /// Where `url` or `key` cannot be sent.
    #[must_use]
    pub fn new(url: &str, key: &str) -> Self {
        let channel = Endpoint::from_shared(url.to_owned()).expect("because it is a URL").connect_lazy();
        let metadata = (!key.is_empty()).then(|| key.parse().expect("because keys are ASCII"));
        let grpc = InterceptedService::new(channel, ApiKey(metadata));
        Self {
            url: url.to_owned(),
            key: key.to_owned(),
            rest: Rest::new(url, (!key.is_empty()).then_some(key)),
            jobs: JobServiceClient::new(grpc.clone()),
            results: ResultServiceClient::new(grpc.clone()),
            webhooks: WebhookServiceClient::new(grpc.clone()),
            auth: AuthServiceClient::new(grpc),
        }
    }

    /// The same mesh with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self::new(&self.url, key)
    }

    /// Creates a tenant, and clients for it.
    pub async fn new_tenant(&self, display_name: &str) -> Self {
        let tenant = Tenant { display_name: display_name.to_owned(), ..Tenant::default() };
        let request = CreateTenantRequest { tenant: Some(tenant) };
        let created = self.auth.clone().create_tenant(request).await.expect("because the key is the admin's");
        self.with_key(&created.into_inner().secret)
    }

    /// Submits URLs with everything at its default.
    pub async fn submit(&self, urls: Vec<String>) -> Job {
        self.create(CreateCrawlJobRequest { urls, ..CreateCrawlJobRequest::default() }).await
    }

    /// Submits a job.
    pub async fn create(&self, request: CreateCrawlJobRequest) -> Job {
        self.jobs.clone().create_crawl_job(request).await.expect("because the request is valid").into_inner()
    }

    /// A job as it stands. It must exist.
    pub async fn job(&self, name: &str) -> Job {
        let request = GetJobRequest { name: name.to_owned(), wait: None };
        self.jobs.clone().get_job(request).await.expect("because the job exists").into_inner()
    }

    /// A job as it stands, or why it could not be read: a service on the way may be restarting. Its ledger adds up at every read.
    ///
    /// # Errors
    /// The code of what the mesh answered instead.
    pub async fn try_job(&self, name: &str) -> Result<Job, tonic::Code> {
        let request = GetJobRequest { name: name.to_owned(), wait: None };
        let answer = self.jobs.clone().get_job(request).await;
        let job = answer.map(tonic::Response::into_inner).map_err(|status| status.code())?;
        assert_adds_up(&job);
        Ok(job)
    }

    /// Waits until a job is as `done` says, through restarts of any service.
    pub async fn until(&self, name: &str, done: impl Fn(&Job) -> bool) -> Job {
        let seen = |job: &Result<Job, tonic::Code>| job.as_ref().is_ok_and(&done);
        crate::eventually(async || self.try_job(name).await, seen).await.expect("because it was seen")
    }

    /// Waits until a job has ended, through restarts of any service.
    pub async fn ended(&self, name: &str) -> Job {
        let ended = |job: &Job| matches!(job.state(), State::Succeeded | State::Failed | State::Cancelled);
        self.until(name, ended).await
    }
}

/// Asserts the ledger's invariant.
///
/// # Panics
/// Where the sums do not add up.
pub fn assert_adds_up(job: &Job) {
    let counts = job.counts.expect("because a job has counts");
    let sum = counts.succeeded
        + counts.failed
        + counts.skipped
        + counts.cancelled
        + counts.pending
        + counts.running;
    assert_eq!(counts.found, sum, "the ledger of {} does not add up: {counts:?}", job.name);
    let verdicts: i64 = job.verdicts.values().sum();
    assert_eq!(
        verdicts,
        sum - counts.pending - counts.running,
        "the verdicts of {} do not add up: {job:?}",
        job.name
    );
}

/// How to start a [`Mesh`].
#[derive(Default)]
pub struct MeshBuilder {
    postgres: bool,
    allow_targets: Option<Vec<String>>,
    overlays: Vec<(Service, String)>,
}

impl MeshBuilder {
    /// Postgres instead of SQLite.
    #[must_use]
    pub fn postgres(mut self) -> Self {
        self.postgres = true;
        self
    }

    /// Other networks than 127.0.0.0/8.
    #[must_use]
    pub fn allow_targets(mut self, networks: &[&str]) -> Self {
        self.allow_targets = Some(networks.iter().map(|net| (*net).to_owned()).collect());
        self
    }

    /// Settings of one service, as TOML.
    #[must_use]
    pub fn set(mut self, service: Service, settings: &str) -> Self {
        self.overlays.push((service, settings.to_owned()));
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start(self) -> Mesh {
        crate::ear::listen();
        let folder = tempfile::tempdir().expect("because the temporary folder can be written");
        let data = folder.path().join("data");
        let postgres =
            self.postgres.then(|| Postgres::start().expect("because `make test` installs Postgres"));
        let mut plan = test_plan(&data, self.allow_targets, postgres.as_ref());
        for (service, settings) in self.overlays {
            overlay(&mut plan, service, &settings);
        }
        let key_file = plan.admin_key_file.clone().expect("because the plan names one");
        let embedded = Embedded::start(plan).await.expect("because the mesh starts");
        let key = std::fs::read_to_string(key_file).expect("because the first start wrote it");
        let clients = Clients::new(&embedded.url(), key.trim());
        Mesh { clients, embedded, _postgres: postgres, _folder: folder }
    }
}

/// After which times a silent crawler's page goes to another, a busy one says that it lives, and a pull ends.
pub(crate) const QUEUE_TIMES: (Duration, Duration, Duration) =
    (Duration::from_secs(3), Duration::from_secs(1), Duration::from_secs(2));

/// The plan of a mesh in a test: loopback may be crawled, faults are noticed soon.
pub(crate) fn test_plan(
    data: &std::path::Path,
    allow: Option<Vec<String>>,
    postgres: Option<&Postgres>,
) -> Plan {
    let mut plan = Plan::new(data, SocketAddr::from(([127, 0, 0, 1], 0)), "");
    plan.allow_targets = allow.unwrap_or_else(|| vec!["127.0.0.0/8".to_owned()]);
    plan.admin_key_file = Some(data.join("admin.key"));
    plan.browser_sandbox = !nix::unistd::geteuid().is_root();
    let [ack, progress, pull] = [QUEUE_TIMES.0, QUEUE_TIMES.1, QUEUE_TIMES.2].map(|time| time.as_secs());
    let soon = format!(
        "[queue]\nack_wait = \"{ack}s\"\nprogress_interval = \"{progress}s\"\npull_wait = \"{pull}s\"\n"
    );
    for service in [Service::Job, Service::Crawler, Service::Webhook] {
        overlay(&mut plan, service, &soon);
    }
    // Many meshes run at the same time; a second browser each would only slow them down.
    overlay(&mut plan, Service::Crawler, "[browser]\nspare = 0\n");
    for service in [Service::Auth, Service::Job, Service::Result, Service::Webhook] {
        if let Some(postgres) = postgres {
            let url = postgres.fresh_url().expect("because the cluster runs");
            overlay(&mut plan, service, &format!("[database]\nurl = \"{url}\"\n"));
        }
    }
    plan
}

/// Lays settings over those of one service.
pub(crate) fn overlay(plan: &mut Plan, service: Service, settings: &str) {
    let table: Table = toml::from_str(settings).expect("because the test writes TOML");
    standalone::plan::merge(plan.overlays.entry(service).or_default(), &table);
}

/// A whole mesh in this process: six services over mTLS, with a NATS server of its own.
pub struct Mesh {
    clients: Clients,
    /// The mesh.
    pub embedded: Embedded,
    _postgres: Option<Postgres>,
    _folder: TempDir,
}

impl Mesh {
    /// A mesh with SQLite that may crawl loopback.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A mesh to be described.
    #[must_use]
    pub fn builder() -> MeshBuilder {
        MeshBuilder::default()
    }
}

impl Deref for Mesh {
    type Target = Clients;

    /// A mesh is its clients, with the admin's key.
    fn deref(&self) -> &Clients {
        &self.clients
    }
}

impl Drop for Mesh {
    /// Fails the test if anything was logged at ERROR that was not announced by [`crate::expect_error`].
    fn drop(&mut self) {
        let errors = crate::ear::unexpected();
        if !std::thread::panicking() {
            assert!(errors.is_empty(), "logged at ERROR: {errors:#?}");
        }
    }
}
