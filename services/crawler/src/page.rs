//! The work on one page: settings → fetch → extract → judge → store. What comes out is what the ledger is told.
//!
//! Promises: one wall-clock deadline holds over fetch and extraction, enforced from outside of both; a page that killed its
//! crawlers too often is not touched again; a failure of ours never costs the page an attempt.

use std::sync::Arc;
use std::time::Duration;

use api::job::v1::page::Kind;
use api::result::v1::{Artifact, store_page_request::Header};
use domain::{Lane, Verdict};
use extract::{Document, PageStatus};
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, info_span};

use crate::browser::Availability;
use crate::cache::{Cached, Recalled};
use crate::classify::{self, Judgement};
use crate::discover::{self, Discovery};
use crate::extraction::{self, Extractor};
use crate::fetch::{Fetch, Fetched, Order};
use crate::habits::Habits;
use crate::metrics;
use crate::outcome::{self, Outcome, Visit};
use crate::permission;
use crate::sessions::Sessions;
use crate::spec::{self, Spec, Specs};
use crate::store::{self, Parcel, Results};
use crate::task::Task;
use crate::wire::{self, About};

/// How long after the page's own deadline the fetch may still tidy up before it is dropped. The lanes know the deadline
/// and name the stage better than we can.
pub(crate) const SLACK: Duration = Duration::from_millis(1500);

/// Links that are judged without telling the runtime.
const MANY_LINKS: usize = 500;

/// Everything that the work on the pages of one lane needs.
pub(crate) struct Bench {
    /// The lane.
    pub(crate) lane: Lane,
    /// How its pages are fetched.
    pub(crate) fetch: Arc<dyn Fetch>,
    /// The settings of jobs.
    pub(crate) specs: Specs,
    /// Makes documents.
    pub(crate) extractor: Extractor,
    /// Keeps documents.
    pub(crate) results: Results,
    /// What pages of other jobs have left for those of this one.
    pub(crate) sessions: Sessions,
    /// Whether there is a browser to hand pages on to.
    pub(crate) browser: Availability,
    /// What sites ask crawlers to leave alone.
    pub(crate) robots: egress::Robots,
    /// Which hosts need the browser.
    pub(crate) habits: Habits,
    /// Crashes after which a page is not touched again.
    pub(crate) max_crashes: i32,
}

/// What the site answered and what was made of it.
struct Read {
    fetched: Fetched,
    judgement: Judgement,
    document: Option<Document>,
    lane_reason: Option<String>,
    cached: Option<Cached>,
}

impl Bench {
    /// Works on a page. `None`: its job has ended, so there is nobody to tell.
    pub(crate) async fn work(&self, task: &Task) -> Option<Outcome> {
        if task.crashes >= self.max_crashes {
            let detail = format!("{} crawlers died of it", task.crashes);
            return Some(Judgement::done(Verdict::Poison, detail).into());
        }
        let spec = match self.specs.get(task.job, task.spec_version).await {
            Ok(spec) => spec,
            Err(spec::Error::Ended) => return None,
            Err(error @ spec::Error::Away) => return Some(Judgement::infra(error.to_string()).into()),
        };
        let started = mesh::clock::now();
        let visit = Mutex::new(Visit::default());
        if task.kind != Kind::Page {
            let outcome = self.source(task, &spec, &visit).await;
            return Some(Outcome { visit: *visit.lock(), ..outcome });
        }
        let outcome = match self.read_in_time(task, &spec, &visit).await {
            Ok(read) => self.keep(task, &spec, read, started).await,
            Err(judgement) => judgement.into(),
        };
        Some(Outcome { visit: *visit.lock(), ..outcome })
    }

    /// Fetches and extracts within the page's deadline.
    async fn read_in_time(&self, task: &Task, spec: &Spec, visit: &Mutex<Visit>) -> Result<Read, Judgement> {
        let deadline = Instant::now() + spec.page_timeout;
        let mut order = Order::new(task, spec, deadline);
        let stage = Mutex::new(match self.lane {
            Lane::Http => "fetch",
            Lane::Browser => "render",
        });
        let work = async {
            self.skip(task, spec).await?;
            if spec.respect_robots {
                permission::ask(&self.robots, &order, visit).instrument(info_span!("robots")).await?;
            }
            let recalled = self.recall(task, spec).await;
            if let (Some(page), Some(max_age)) = (&recalled, self.max_age(spec)) {
                if let Some(fresh) = page.fresh(max_age, mesh::clock::now()) {
                    *stage.lock() = "extract";
                    return self.read_again(page, fresh, spec).instrument(info_span!("extract")).await;
                }
                order.validators = page.validators();
            }
            let session = self.begin(task, spec, &mut order).await?;
            visit.lock().start = Some(mesh::clock::now());
            let mut fetched = self.fetch(&order).await?;
            {
                let mut visit = visit.lock();
                visit.latency = fetched.latency;
                visit.throttled = order.authentic() && fetched.throttled();
            }
            *stage.lock() = "session";
            self.leave(task, spec, session, &mut fetched).await?;
            *stage.lock() = "extract";
            if let (304, Some(page)) = (fetched.status, &recalled) {
                return self
                    .read_again(page, Cached::Revalidated, spec)
                    .instrument(info_span!("extract"))
                    .await;
            }
            let read = self.read(fetched, spec).instrument(info_span!("extract")).await?;
            self.learn(&order, &read).await;
            Ok(read)
        };
        let read = timeout_at(deadline + SLACK, work).await;
        read.unwrap_or_else(|_| Err(Judgement::late(*stage.lock())))
    }

    /// Hands a page on that would be fetched here in vain, by all that is known of its host.
    async fn skip(&self, task: &Task, spec: &Spec) -> Result<(), Judgement> {
        if self.lane != Lane::Http || !spec.may_escalate || self.browser.state().is_err() {
            return Ok(());
        }
        match self.habits.skip(&task.url.host_key()).await {
            Some(reason) => Err(Judgement::escalate(format!("needs JavaScript: {reason}"))),
            None => Ok(()),
        }
    }

    /// Takes up the session that the job names. Returns which one of that name it is.
    async fn begin(&self, task: &Task, spec: &Spec, order: &mut Order) -> Result<String, Judgement> {
        let Some(session) = &spec.session else { return Ok(String::new()) };
        let opened = self.sessions.open(task.tenant, session).instrument(info_span!("open session")).await;
        let (id, state) = opened?;
        order.session = Some(Arc::new(state));
        Ok(id)
    }

    /// Leaves in the session what the page has changed.
    async fn leave(
        &self,
        task: &Task,
        spec: &Spec,
        id: String,
        fetched: &mut Fetched,
    ) -> Result<(), Judgement> {
        let changes = std::mem::take(&mut fetched.changes);
        let Some(session) = spec.session.as_ref().filter(|_| !changes.is_empty()) else { return Ok(()) };
        let kept = self.sessions.change(task.tenant, session, id, changes);
        Ok(kept.instrument(info_span!("change session")).await?)
    }

    /// Notes what a page says of its host; a proxy of the caller's may say anything.
    async fn learn(&self, order: &Order, read: &Read) {
        let plain = self.lane == Lane::Http && order.relay.is_none();
        let Some(document) = read.document.as_ref().filter(|_| plain) else { return };
        let html = read.fetched.content_type.as_deref().is_some_and(|media| media.contains("html"));
        self.habits.note(&order.url.host_key(), document, html).await;
    }

    pub(crate) async fn fetch(&self, order: &Order) -> Result<Fetched, Judgement> {
        let span = match self.lane {
            Lane::Http => info_span!("fetch"),
            Lane::Browser => info_span!("render"),
        };
        let started = Instant::now();
        let fetched = self.fetch.fetch(order).instrument(span).await;
        metrics::fetched(self.lane, started.elapsed());
        fetched.map_err(|failure| failure.judgement())
    }

    /// How old a stored page may be that is used again. What a browser makes of a page depends on too much to be used again.
    fn max_age(&self, spec: &Spec) -> Option<Duration> {
        spec.manners.max_age.filter(|_| self.lane == Lane::Http)
    }

    /// The page as it was stored before, where the job wants it.
    async fn recall(&self, task: &Task, spec: &Spec) -> Option<Recalled> {
        self.max_age(spec)?;
        let key = spec.manners.key(&task.url);
        self.results.recall(task.tenant.name(), key).instrument(info_span!("recall")).await
    }

    /// Makes a document of a stored page.
    async fn read_again(&self, page: &Recalled, cached: Cached, spec: &Spec) -> Result<Read, Judgement> {
        let mut read = self.read(page.fetched(), spec).await?;
        if cached == Cached::Revalidated && read.document.is_some() {
            read.judgement = Judgement::done(Verdict::NotModified, "HTTP 304");
        }
        Ok(Read { cached: Some(cached), ..read })
    }

    /// Judges the answer by its status, and a success by its content.
    async fn read(&self, fetched: Fetched, spec: &Spec) -> Result<Read, Judgement> {
        if let Some(judgement) = classify::status(fetched.status, fetched.retry_after(mesh::clock::now())) {
            return Ok(Read { fetched, judgement, document: None, lane_reason: None, cached: None });
        }
        let unwanted = spec.follow.as_ref().zip(fetched.content_type.as_deref());
        if let Some((_, media)) = unwanted.filter(|(rules, media)| !rules.wants(media)) {
            let judgement = Judgement::done(Verdict::UnsupportedType, format!("{media} is not wanted"));
            return Ok(Read { fetched, judgement, document: None, lane_reason: None, cached: None });
        }
        let (body, content_type) = (fetched.body.clone(), fetched.content_type.clone());
        let (url, options) = (fetched.final_url.clone(), spec.extraction.clone());
        let document = match self.extractor.extract(body, content_type, url, options).await {
            Ok(document) => document,
            Err(extraction::Error::Unreadable(error)) => {
                let judgement = classify::unreadable(&error);
                return Ok(Read { fetched, judgement, document: None, lane_reason: None, cached: None });
            }
            Err(error @ extraction::Error::Panicked) => {
                let judgement = Judgement::done(Verdict::Infra, error.to_string());
                return Ok(Read { fetched, judgement, document: None, lane_reason: None, cached: None });
            }
        };
        let (judgement, lane_reason) = self.judge(&document, spec);
        Ok(Read { fetched, judgement, document: Some(document), lane_reason, cached: None })
    }

    /// The verdict on a document; in the HTTP lane, a page that needs JavaScript goes on to a browser if there is one.
    fn judge(&self, document: &Document, spec: &Spec) -> (Judgement, Option<String>) {
        let judgement = classify::content(&document.page_status);
        let needs = document.needs_javascript.filter(|_| {
            // A bot wall that asks for JavaScript is respected, not rendered.
            let open = !matches!(document.page_status, PageStatus::Blocked(_) | PageStatus::LoginWall(_));
            self.lane == Lane::Http && spec.may_escalate && open
        });
        let Some(reason) = needs else { return (judgement, None) };
        match self.browser.state() {
            Ok(_) => (Judgement::escalate(format!("needs JavaScript: {reason}")), None),
            Err(missing) => {
                let told = format!("needs JavaScript, but there is no browser: {missing}");
                let detail = std::borrow::Cow::Owned(told.clone());
                (Judgement { detail, ..judgement }, Some(told))
            }
        }
    }

    /// Stores what there is to show, and says how it all went.
    async fn keep(&self, task: &Task, spec: &Spec, read: Read, time: OffsetDateTime) -> Outcome {
        let Read { fetched, judgement, document, lane_reason, cached } = read;
        let mut outcome = Outcome {
            http_status: match cached {
                None => Some(fetched.status),
                Some(Cached::Revalidated) => Some(304),
                Some(Cached::Fresh(_)) => None,
            },
            wire_bytes: fetched.wire_bytes,
            ..Outcome::from(judgement)
        };
        let (Some(document), true) = (document, outcome.judgement.shows_content()) else { return outcome };
        let about = About {
            task,
            lane: self.lane,
            lane_reason: lane_reason.unwrap_or_else(|| task.lane_reason.clone()),
            verdict: outcome.judgement.verdict.unwrap_or(Verdict::Ok),
            detail: outcome.judgement.detail.to_string(),
            time,
            session: spec.session.as_ref().map(|session| session.name.name()).unwrap_or_default(),
        };
        let good = matches!(outcome.judgement.verdict, Some(Verdict::Ok | Verdict::NotModified));
        if good {
            outcome.content_key = Some(discover::content_key(&document));
            outcome.discovery = discover(task, spec, &fetched, &document).map(Box::new);
        }
        let mut parcel = parcel(about, spec, &fetched, document);
        if let (Some(cached), Some(document)) = (cached, &mut parcel.header.document) {
            cached.explain(document);
        }
        if self.max_age(spec).is_some() && good {
            parcel.header.cache_key = spec.manners.key(&task.url).to_vec();
        }
        match self.results.store(&parcel).instrument(info_span!("store")).await {
            Ok(stored) => outcome.stored = stored,
            Err(error @ store::Error::TooLarge) => {
                outcome.judgement = Judgement::done(Verdict::TooLarge, error.to_string());
            }
            Err(error @ store::Error::Away) => outcome.judgement = Judgement::infra(error.to_string()),
        }
        outcome
    }
}

/// What the page leads to, if its job follows links.
fn discover(task: &Task, spec: &Spec, fetched: &Fetched, document: &Document) -> Option<Discovery> {
    let rules = spec.follow.as_deref()?;
    // Some thousand links take tens of milliseconds; other pages go on meanwhile.
    let now = mesh::clock::now();
    let work = || discover::document(task, rules, spec.respect_robots, &fetched.final_url, document, now);
    Some(if document.links.len() > MANY_LINKS { tokio::task::block_in_place(work) } else { work() })
}

/// The document with its artifacts, ready to be sent.
fn parcel(about: About<'_>, spec: &Spec, fetched: &Fetched, document: Document) -> Parcel {
    let (tenant, dispatch_sequence) = (about.task.tenant.name(), about.task.dispatch_sequence);
    let expire_time = Some(outcome::timestamp(about.time + spec.result_ttl));
    let html_type = fetched.content_type.clone().unwrap_or_else(|| "text/html".to_owned());
    let mut document = wire::document(about, fetched, document);
    let mut artifacts = Vec::new();
    let mut announce = |kind: &'static str, content_type: String, bytes: &bytes::Bytes| {
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        document.artifacts.push(Artifact { kind: kind.to_owned(), content_type, size });
        artifacts.push((kind, bytes.clone()));
    };
    if spec.keep_html && !fetched.body.is_empty() {
        announce("html", html_type, &fetched.body);
    }
    for artifact in &fetched.artifacts {
        announce(artifact.kind, artifact.content_type.to_owned(), &artifact.bytes);
    }
    let cache_key = Vec::new();
    Parcel {
        header: Header { tenant, dispatch_sequence, document: Some(document), expire_time, cache_key },
        artifacts,
    }
}
