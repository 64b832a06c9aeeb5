//! What both lanes have in common: an order to fetch a page, and what comes back of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{JobId, PageUrl, Verdict};
use egress::{FetchError, Relay};
use time::OffsetDateTime;
use tokio::time::Instant;
use url::Url;

use crate::browser::options::Options;
use crate::classify::{self, Judgement};
use crate::cookies::Jars;
use crate::session::{Changes, Lent, State};
use crate::spec::Spec;
use crate::task::Task;

/// A page to fetch.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The job; pages of one job may share cookies and caches, pages of two never do.
    pub(crate) job: JobId,
    /// What to fetch.
    pub(crate) url: PageUrl,
    /// What is done with the page in the browser. Nothing to the HTTP lane.
    pub(crate) browser: Arc<Options>,
    /// When the answer is of no use any more.
    pub(crate) deadline: Instant,
    /// Headers beside our own, in the HTTP lane.
    pub(crate) headers: Vec<(String, String)>,
    /// `ETag` and `Last-Modified` of the page as it was stored, in the HTTP lane: the answer may be 304.
    pub(crate) validators: (Option<String>, Option<String>),
    /// The proxy that everything goes through.
    pub(crate) relay: Option<Relay>,
    /// Whether pages of the job may come to either lane: then both have the same cookies.
    pub(crate) both_lanes: bool,
    /// The session that the page begins with. Its changes are in what comes back, and nothing is shared with other pages of the job.
    pub(crate) session: Option<Arc<State>>,
}

impl Order {
    /// The order for a task, as its job wants it.
    pub(crate) fn new(task: &Task, spec: &Spec, deadline: Instant) -> Self {
        Self {
            job: task.job,
            url: task.url.clone(),
            browser: spec.browser.clone(),
            deadline,
            headers: spec.manners.headers_for(&task.url),
            validators: (None, None),
            relay: spec.manners.relay.clone(),
            both_lanes: spec.may_escalate,
            session: None,
        }
    }

    /// Whether what comes back says how the site is: a proxy of the caller's can say anything, but not in the name of a
    /// site that speaks TLS.
    pub(crate) fn authentic(&self) -> bool {
        self.relay.is_none() || self.url.as_url().scheme() == "https"
    }
}

/// The site's answer.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    /// HTTP status.
    pub(crate) status: u16,
    /// The URL that answered.
    pub(crate) final_url: Url,
    /// The URLs that answered with a redirect, in order.
    pub(crate) redirects: Vec<String>,
    /// Response headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// `Content-Type`: of what is in `body`.
    pub(crate) content_type: Option<String>,
    /// The content, decompressed; in the browser lane the page as it was rendered.
    pub(crate) body: Bytes,
    /// From the request to the head of the answer. `None`: not known.
    pub(crate) latency: Option<Duration>,
    /// Bytes received.
    pub(crate) wire_bytes: u64,
    /// What was taken of the page beside its content.
    pub(crate) artifacts: Vec<Artifact>,
    /// What the page has changed of its session.
    pub(crate) changes: Changes,
    /// Requests that the page did not make because they were ads.
    pub(crate) ads_blocked: usize,
}

/// Bytes kept beside a document.
#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    /// The word for it in URLs.
    pub(crate) kind: &'static str,
    /// Its content type.
    pub(crate) content_type: &'static str,
    /// The bytes.
    pub(crate) bytes: Bytes,
}

impl Fetched {
    /// The first header of that name, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// After how long the site wants to be asked again.
    pub(crate) fn retry_after(&self, now: OffsetDateTime) -> Option<Duration> {
        classify::retry_after(self.header("retry-after")?, now)
    }

    /// Whether the site asks to slow down.
    pub(crate) fn throttled(&self) -> bool {
        matches!(self.status, 429 | 503)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// As the one door to the Internet says it.
    Fetch(FetchError),
    /// The page itself is the fault, e.g. too large or a download; trying again cannot help.
    Page(Verdict, &'static str),
    /// The page killed or hung its renderer; it may go better in another one.
    Crash(&'static str),
    /// What the job asked of the page failed in it.
    Asked(String),
    /// Out of time at this stage.
    Late(&'static str),
    /// Our own fault, e.g. the browser died.
    Ours(&'static str),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl Failure {
    /// What the ledger should do.
    pub(crate) fn judgement(&self) -> Judgement {
        match *self {
            Self::Fetch(error) => classify::failure(error),
            Self::Page(verdict, detail) => Judgement::done(verdict, detail),
            Self::Asked(ref detail) => Judgement::done(Verdict::Interaction, detail.clone()),
            Self::Crash(detail) => Judgement::retry(Verdict::Connect, detail),
            Self::Late(stage) => Judgement::late(stage),
            Self::Ours(detail) => Judgement::infra(detail),
        }
    }
}

/// A way to fetch pages: plain HTTP, or a browser.
#[async_trait]
pub(crate) trait Fetch: Send + Sync {
    /// Fetches one page. May be dropped at any time, and then leaves nothing behind.
    async fn fetch(&self, order: &Order) -> Result<Fetched, Failure>;
}

/// The plain HTTP client, with the cookies of the jobs.
pub(crate) struct Http {
    pub(crate) client: egress::Client,
    pub(crate) jars: Jars,
}

#[async_trait]
impl Fetch for Http {
    async fn fetch(&self, order: &Order) -> Result<Fetched, Failure> {
        let mut request = egress::Request::get(order.url.clone());
        request.total_timeout = Some(order.deadline.saturating_duration_since(Instant::now()));
        request.headers.clone_from(&order.headers);
        let lent = order.session.as_ref().map(|state| Lent::new(state, self.jars.room()));
        request.cookies = Some(match &lent {
            Some(lent) => lent.jar.clone(),
            None => self.jars.of(order.job).await,
        });
        (request.etag, request.last_modified) = order.validators.clone();
        request.relay.clone_from(&order.relay);
        let fetched = self.client.fetch(request).await?;
        Ok(Fetched {
            status: fetched.status,
            final_url: fetched.final_url.as_url().clone(),
            redirects: fetched.redirects,
            headers: fetched.headers,
            content_type: fetched.content_type,
            body: fetched.body,
            // How long a proxy takes says nothing about the site.
            latency: Some(fetched.timings.head).filter(|_| order.relay.is_none()),
            wire_bytes: fetched.wire_bytes,
            artifacts: Vec::new(),
            changes: lent.map(|lent| lent.changes()).unwrap_or_default(),
            ads_blocked: 0,
        })
    }
}
