//! Clients of the public port: a bare HTTP/1.1 connection for REST, and gRPC to follow jobs.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use api::job::v1::{
    CrawlConfig, CreateCrawlJobRequest, GetJobRequest, Job, WatchJobRequest, crawl_config::Render,
    job::State, job_service_client::JobServiceClient,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tonic::{
    Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// Longest wait for one answer; the gateway itself gives up after 65 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(70);
/// Longest crawl of one job.
const CRAWL_TIMEOUT: Duration = Duration::from_secs(1800);

/// A job of these pages in one lane, with everything else at its default.
pub(crate) fn in_lane(render: Render, urls: &[String]) -> CreateCrawlJobRequest {
    let config = CrawlConfig { render: render.into(), ..CrawlConfig::default() };
    CreateCrawlJobRequest { urls: urls.to_vec(), config: Some(config), ..CreateCrawlJobRequest::default() }
}

/// An HTTP/1.1 connection that is kept alive. hyper without a pool: the client shares the machine with what it measures.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    key: HeaderValue,
    _driver: mesh::Task<()>,
}

/// Waits until a server that has just been started answers a GET with 200.
pub(crate) async fn answers(addr: SocketAddr, path: &str) {
    loop {
        if let Ok(mut connection) = Connection::open(addr, "").await
            && connection.get(path).await.is_ok_and(|answer| answer.status == 200)
        {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Bytes,
}

impl Connection {
    /// Connects with an API key, which may be empty.
    pub(crate) async fn open(addr: SocketAddr, key: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).await.context("connect")?;
        stream.set_nodelay(true)?;
        let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = mesh::spawn("connection", async move {
            // Its error is told to whoever sends.
            let _ = driver.await;
        });
        let host = HeaderValue::from_str(&addr.to_string())?;
        let mut key = HeaderValue::from_str(key)?;
        key.set_sensitive(true);
        Ok(Self { sender, host, key, _driver: driver })
    }

    /// POST with a JSON body.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, body).await
    }

    /// GET.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header("x-api-key", &self.key)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok(Answer { status, body })
        };
        timeout(ANSWER_TIMEOUT, exchange).await.context("wait for an answer")?
    }
}

impl Answer {
    /// The job in the body; fails if the status is no success.
    pub(crate) fn job(&self) -> anyhow::Result<Submitted> {
        anyhow::ensure!(self.status == 200, "HTTP {}: {}", self.status, String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).context("read a job")
    }
}

/// What is read of a job in REST's JSON.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Submitted {
    /// `jobs/{uuid}`.
    pub(crate) name: String,
    /// `SUCCEEDED` and so on.
    pub(crate) state: String,
    /// When it ended.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) end_time: Option<time::OffsetDateTime>,
}

impl Submitted {
    /// Whether every page has its verdict and at least one succeeded.
    pub(crate) fn succeeded(&self) -> bool {
        self.state == "SUCCEEDED"
    }
}

/// The body of a submission of one URL.
pub(crate) fn submission(url: &str) -> Bytes {
    Bytes::from(serde_json::json!({ "urls": [url] }).to_string())
}

#[derive(Clone)]
struct ApiKey(MetadataValue<Ascii>);

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        request.metadata_mut().insert("x-api-key", self.0.clone());
        Ok(request)
    }
}

/// A gRPC client of the public port.
#[derive(Clone)]
pub(crate) struct Jobs(JobServiceClient<InterceptedService<Channel, ApiKey>>);

/// A job that was followed to its end.
#[derive(Debug)]
pub(crate) struct Crawled {
    /// From just before the submission to the job's terminal event.
    pub(crate) took: Duration,
    /// From just before the submission to its answer.
    pub(crate) submitted: Duration,
    /// The job.
    pub(crate) job: Job,
}

impl Jobs {
    /// Connects with an API key.
    pub(crate) async fn connect(addr: SocketAddr, key: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{addr}"))?.connect().await.context("connect")?;
        let mut key: MetadataValue<Ascii> = key.parse().context("the API key is not ASCII")?;
        key.set_sensitive(true);
        Ok(Self(JobServiceClient::with_interceptor(channel, ApiKey(key))))
    }

    /// Submits a job; its name.
    pub(crate) async fn submit(&mut self, request: CreateCrawlJobRequest) -> anyhow::Result<String> {
        Ok(self.0.create_crawl_job(request).await.context("submit")?.into_inner().name)
    }

    /// Reads a job.
    pub(crate) async fn get(&mut self, name: &str) -> anyhow::Result<Job> {
        let request = GetJobRequest { name: name.to_owned(), wait: None };
        Ok(self.0.get_job(request).await.context("read the job")?.into_inner())
    }

    /// Submits a job and follows its events to the last one.
    pub(crate) async fn crawl(&self, request: CreateCrawlJobRequest) -> anyhow::Result<Crawled> {
        let mut client = self.0.clone();
        let started = Instant::now();
        let mut job = client.create_crawl_job(request).await.context("submit")?.into_inner();
        let submitted = started.elapsed();
        let watch = WatchJobRequest { name: job.name.clone(), after_sequence: 0 };
        let mut events = client.watch_job(watch).await.context("watch the job")?.into_inner();
        let follow = async {
            while let Some(event) = events.message().await.context("watch the job")? {
                job = event.job.unwrap_or(job);
            }
            anyhow::Ok(job)
        };
        let job = timeout(CRAWL_TIMEOUT, follow).await.context("wait for the end of the job")??;
        let took = started.elapsed();
        let ended = matches!(job.state(), State::Succeeded | State::Failed | State::Cancelled);
        anyhow::ensure!(ended, "the events of the job ended before the job");
        Ok(Crawled { took, submitted, job })
    }
}

impl Crawled {
    /// Pages a second; fails if a page did not succeed, because then something else was measured.
    pub(crate) fn rate(&self, pages: usize) -> anyhow::Result<f64> {
        let succeeded = self.job.counts.map_or(0, |counts| counts.succeeded);
        anyhow::ensure!(
            usize::try_from(succeeded).is_ok_and(|succeeded| succeeded == pages),
            "{succeeded} of {pages} pages succeeded: {:?}",
            self.job.verdicts
        );
        Ok(pages as f64 / self.took.as_secs_f64())
    }
}
