//! A job service to test with, and everyone around it.

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use api::{
    crawler::v1::{PageOutcome, PageTask, page_outcome::Kind},
    job::v1::{
        self as pb, job::State, job_service_client::JobServiceClient, page::Verdict,
        schedule_service_client::ScheduleServiceClient,
    },
};
use bytes::Bytes;
use domain::{Lane, Scope, Service, TenantId};
use mesh::{Config as _, Node, Principal, Shutdown, Task, client::Channel};
use prost::Message;
use queue::{Bus, Delivery, server::NatsServer};
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt;
use tonic::{Request, Status, metadata::MetadataMap};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

pub(crate) type Client = JobServiceClient<Channel>;

/// One job service with its queue and its database.
pub(crate) struct Bench {
    pub(crate) nats: NatsServer,
    pub(crate) bus: Bus,
    pub(crate) tenant: TenantId,
    settings: toml::Table,
    ca: mesh::Ca,
    addr: SocketAddr,
    running: Option<(Shutdown, Task<anyhow::Result<()>>)>,
    _dir: tempfile::TempDir,
}

/// Runs a test on a fresh bench for each database.
pub(crate) async fn on_both<F: Future<Output = ()>>(test: impl Fn(Bench) -> F) {
    with(&[], test).await;
}

/// The same with settings that differ from the defaults, e.g. `("dispatch.queue_depth", "4")`.
pub(crate) async fn with<F: Future<Output = ()>>(settings: &[(&str, &str)], test: impl Fn(Bench) -> F) {
    for (name, database) in store::testing::both().expect("because Postgres is installed") {
        eprintln!("on {name}");
        // Long tests are large futures.
        Box::pin(test(Bench::start(&database.url, settings).await)).await;
    }
}

pub(crate) fn nats_binary() -> PathBuf {
    let current = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/nats-server-current");
    if current.is_file() {
        return current;
    }
    queue::server::find_server(None).expect("because nats-server is installed")
}

impl Bench {
    pub(crate) async fn start(database: &str, settings: &[(&str, &str)]) -> Self {
        // Shown for tests that fail. All but the first to come find it there.
        let _ = tracing_subscriber::fmt().with_env_filter("info").with_test_writer().try_init();
        let dir = tempfile::tempdir().unwrap();
        let nats = NatsServer::start(&nats_binary(), dir.path(), 0).await.unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut text = format!(
            "server.listen = \"{addr}\"\nserver.grace = \"2s\"\ndatabase.url = \"{database}\"\nqueue.url = \"{}\"\n\
             retry.base = \"20ms\"\nretry.infra_base = \"20ms\"\nsettle.progress_interval = \"0s\"\n\
             reconcile.interval = \"200ms\"\nreconcile.lost_after = \"500ms\"\n\
             politeness.local_hosts = [\"example.com\"]\n",
            nats.url()
        );
        for (key, value) in settings {
            text = text
                .lines()
                .filter(|line| !line.starts_with(key))
                .fold(String::new(), |all, line| all + line + "\n");
            text += &format!("{key} = {value}\n");
        }
        let settings: toml::Table = text.parse().unwrap();
        let bus = Bus::connect(&queue::Config { url: nats.url(), ..queue::Config::default() }, "test")
            .await
            .unwrap();
        let ca = mesh::Ca::generate().unwrap();
        let tenant = TenantId::new();
        let mut bench = Self { nats, bus, tenant, settings, ca, addr, running: None, _dir: dir };
        bench.serve().await;
        let mut ready = bench.bus.ready();
        tokio::time::timeout(PATIENCE, ready.wait_for(Result::is_ok)).await.unwrap().unwrap();
        bench
    }

    /// Starts the service again, at an address of its own: somebody else may have the old one by now.
    pub(crate) async fn serve(&mut self) {
        let config: job::Config = mesh::config::with(self.settings.clone()).unwrap();
        let shutdown = Shutdown::new();
        let identity = self.ca.issue(Service::Job).unwrap();
        let node =
            Node::bind(Service::Job, config.server(), identity, config.peers().clone(), shutdown.clone());
        let node = node.await.unwrap();
        self.addr = node.addr();
        let task = mesh::spawn("job", job::serve(config, node));
        self.running = Some((shutdown, task));
    }

    /// Stops the service in order.
    pub(crate) async fn stop(&mut self) {
        let (shutdown, task) = self.running.take().unwrap();
        shutdown.begin();
        task.await.unwrap().unwrap();
    }

    /// Stops the service between any two of its awaits, as a crash would.
    pub(crate) async fn crash(&mut self) {
        let (_, task) = self.running.take().unwrap();
        task.abort();
        assert_eq!(task.await.unwrap_err(), mesh::TaskError::Aborted);
    }

    pub(crate) fn client(&self) -> Client {
        self.client_of(Service::Gateway)
    }

    pub(crate) fn client_of(&self, service: Service) -> Client {
        let identity = self.ca.issue(service).unwrap();
        JobServiceClient::new(Channel::connect(Service::Job, &self.addr.to_string(), &identity, PATIENCE))
    }

    pub(crate) fn schedules(&self) -> ScheduleServiceClient<Channel> {
        let identity = self.ca.issue(Service::Gateway).unwrap();
        ScheduleServiceClient::new(Channel::connect(
            Service::Job,
            &self.addr.to_string(),
            &identity,
            PATIENCE,
        ))
    }

    /// A request of our tenant with all scopes.
    pub(crate) fn ask<T>(&self, message: T) -> Request<T> {
        request(self.tenant, &[Scope::JobsRead, Scope::JobsWrite], message)
    }

    pub(crate) async fn create(&self, urls: &[&str]) -> pb::Job {
        self.submit(pb::CreateCrawlJobRequest { urls: owned(urls), ..Default::default() }).await
    }

    pub(crate) async fn submit(&self, request: pb::CreateCrawlJobRequest) -> pb::Job {
        self.client().create_crawl_job(self.ask(request)).await.unwrap().into_inner()
    }

    pub(crate) async fn job(&self, name: &str) -> pb::Job {
        let request = pb::GetJobRequest { name: name.to_owned(), wait: None };
        self.client().get_job(self.ask(request)).await.unwrap().into_inner()
    }

    /// The job once it has ended.
    pub(crate) async fn ended(&self, name: &str) -> pb::Job {
        eventually(|| self.job(name), |job| job.end_time.is_some()).await
    }

    pub(crate) async fn cancel(&self, name: &str) -> Result<pb::Job, Status> {
        let request = pb::CancelJobRequest { name: name.to_owned() };
        self.client().cancel_job(self.ask(request)).await.map(|reply| reply.into_inner())
    }

    pub(crate) async fn pages(&self, job: &str) -> Vec<pb::Page> {
        let request = pb::ListPagesRequest { parent: job.to_owned(), page_size: 1000, ..Default::default() };
        self.client().list_pages(self.ask(request)).await.unwrap().into_inner().pages
    }

    /// The whole event log of an ended job.
    pub(crate) async fn log(&self, job: &str) -> Vec<pb::JobEvent> {
        let request = pb::WatchJobRequest { name: job.to_owned(), after_sequence: 0 };
        let stream = self.client().watch_job(self.ask(request)).await.unwrap().into_inner();
        tokio::time::timeout(PATIENCE, stream.collect::<Result<Vec<_>, _>>()).await.unwrap().unwrap()
    }

    /// Page tasks of a lane, `count` of them.
    pub(crate) async fn tasks(&self, lane: Lane, count: usize) -> Vec<Delivery> {
        let mut puller = self.bus.pull(lane);
        let mut tasks = Vec::new();
        let patience = Instant::now() + PATIENCE;
        while tasks.len() < count {
            assert!(Instant::now() < patience, "{} of {count} tasks came", tasks.len());
            match puller.pull(count - tasks.len()).await {
                Ok(more) => tasks.extend(more),
                Err(_) => sleep(POLL).await,
            }
        }
        tasks
    }

    pub(crate) async fn answer(&self, outcome: &PageOutcome, id: &str) {
        let payload = Bytes::from(outcome.encode_to_vec());
        let patience = Instant::now() + PATIENCE;
        while let Err(error) = self.bus.publish_outcome(id.to_owned(), payload.clone()).await {
            assert!(Instant::now() < patience, "{error}");
            sleep(POLL).await;
        }
    }

    /// Does `count` tasks of a lane: publishes what `work` makes of each, then acks.
    pub(crate) async fn crawl(&self, lane: Lane, count: usize, work: impl Fn(&PageTask) -> PageOutcome) {
        for delivery in self.tasks(lane, count).await {
            let task = read(&delivery);
            let outcome = work(&task);
            self.answer(&outcome, &format!("{}:{}", task.page, task.dispatch_sequence)).await;
            delivery.ack().await.unwrap();
        }
    }

    /// Crawls until the jobs have ended, whatever comes. Returns them.
    pub(crate) async fn crawl_to_the_end(&self, jobs: &[&str]) -> Vec<pb::Job> {
        let work = async {
            let mut puller = self.bus.pull(Lane::Http);
            loop {
                let Ok(tasks) = puller.pull(10).await else {
                    sleep(POLL).await;
                    continue;
                };
                for delivery in tasks {
                    let task = read(&delivery);
                    self.answer(&ok(&task), &format!("{}:{}", task.page, task.dispatch_sequence)).await;
                    // A lost ack means one more delivery.
                    let _ = delivery.ack().await;
                }
            }
        };
        tokio::select! {
            ended = futures::future::join_all(jobs.iter().map(|job| self.ended(job))) => ended,
            () = work => unreachable!("it works for ever"),
        }
    }

    /// What must hold of every job: the sums, the ledger and the log agree.
    pub(crate) async fn check(&self, name: &str) {
        let job = self.job(name).await;
        let counts = job.counts.unwrap();
        let sum = counts.succeeded
            + counts.failed
            + counts.skipped
            + counts.cancelled
            + counts.pending
            + counts.running;
        assert_eq!(counts.found, sum, "{counts:?}");
        let pages = self.pages(name).await;
        assert_eq!(counts.found, i64::try_from(pages.len()).unwrap());
        let mut verdicts: BTreeMap<String, i64> = BTreeMap::new();
        for page in pages.iter().filter(|page| page.verdict() != Verdict::Unspecified) {
            *verdicts.entry(page.verdict().as_str_name().to_lowercase()).or_default() += 1;
        }
        assert_eq!(verdicts, job.verdicts.clone().into_iter().collect());
        if job.end_time.is_none() {
            return;
        }
        assert!(
            pages.iter().all(|page| page.page_state() == pb::page::State::Done && page.end_time.is_some())
        );
        let log = self.log(name).await;
        let sequences: Vec<i64> = log.iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, (1..=i64::try_from(log.len()).unwrap()).collect::<Vec<_>>());
        let terminal: Vec<&pb::JobEvent> =
            log.iter().filter(|event| event.job.as_ref().unwrap().end_time.is_some()).collect();
        assert_eq!(terminal.len(), 1, "exactly one event is terminal");
        assert_eq!(terminal[0].job, Some(job));
        assert_eq!(terminal[0].sequence, log.last().unwrap().sequence);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some((shutdown, _)) = &self.running {
            shutdown.begin();
        }
    }
}

pub(crate) fn request<T>(tenant: TenantId, scopes: &[Scope], message: T) -> Request<T> {
    let mut request = Request::new(message);
    let principal = Principal { tenant, subject: "api-keys/test".to_owned(), scopes: scopes.to_vec() };
    let mut headers = MetadataMap::new().into_headers();
    mesh::principal_headers(&principal, &mut headers);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    request
}

pub(crate) fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub(crate) fn urls(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("https://example.com/{n}")).collect()
}

pub(crate) fn read(delivery: &Delivery) -> PageTask {
    PageTask::decode(delivery.payload.clone()).unwrap()
}

/// An outcome of a task.
pub(crate) fn outcome(task: &PageTask, kind: Kind, verdict: Verdict) -> PageOutcome {
    PageOutcome {
        page: task.page.clone(),
        dispatch_sequence: task.dispatch_sequence,
        kind: kind.into(),
        verdict: verdict.into(),
        lane: pb::page::Lane::Http.into(),
        http_status: Some(200),
        crashes: task.crashes,
        ..Default::default()
    }
}

pub(crate) fn ok(task: &PageTask) -> PageOutcome {
    outcome(task, Kind::Final, Verdict::Ok)
}

pub(crate) fn state(job: &pb::Job) -> State {
    job.state()
}

/// Polls until the value is as wanted.
pub(crate) async fn eventually<T: std::fmt::Debug, F: Future<Output = T>>(
    poll: impl Fn() -> F,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let patience = Instant::now() + PATIENCE;
    loop {
        let value = poll().await;
        if wanted(&value) {
            return value;
        }
        assert!(Instant::now() < patience, "waited in vain, last seen: {value:?}");
        sleep(POLL).await;
    }
}

/// The reason in a status.
pub(crate) fn reason(status: &Status) -> String {
    mesh::error_reason(status).unwrap_or_else(|| panic!("no reason in {status:?}"))
}
