//! What a caller asks for: how to fetch, whom to tell, and a submission as a whole.

mod fetch;

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use domain::{JobId, Lane, PageUrl, Priority, ScheduleId, Scope, SessionName, follow::Follow};
use serde::{Deserialize, Serialize};

pub(crate) use fetch::{Fetch, Proxy};

use crate::{event::EventType, job::Job};

/// URLs that a job shows of itself.
pub(crate) const FIRST_URLS: usize = 10;

/// What fetches a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Render {
    /// HTTP first, the browser if need be.
    Auto,
    /// A plain HTTP client.
    Http,
    /// Headless Chromium.
    Browser,
}

/// How the pages of a job are fetched, with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) render: Render,
    /// Wall-clock deadline of one attempt.
    pub(crate) page_timeout: Duration,
    /// Attempts at a page that fails in a way that may pass.
    pub(crate) max_attempts: i32,
    pub(crate) screenshot: bool,
    pub(crate) keep_html: bool,
    pub(crate) result_ttl: Duration,
    /// Whether pages that robots.txt asks to leave alone are left alone. Jobs of before there was a choice are.
    #[serde(default = "yes")]
    pub(crate) respect_robots: bool,
    /// What is read of the pages. `None`: everything, as it has always been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extraction: Option<Message>,
    /// What is done with a page in the browser, where it gets there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) browser: Option<Browser>,
    /// How links are followed. `None`: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) follow: Option<Follow>,
    /// How the pages are asked for. `None`: as crawlmesh asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fetch: Option<Fetch>,
    /// What pages begin with and leave. `None`: nothing of other jobs, and nothing to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<Session>,
}

/// A state that is kept under a name of the tenant's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) name: SessionName,
    /// How long it is kept after its last use.
    pub(crate) ttl: Duration,
}

/// What is done with a page in the browser: held against the rules here, and otherwise the crawler's business.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Browser {
    /// `BrowserOptions`. May hold credentials: shown to the crawler only.
    pub(crate) message: Message,
    /// The first option that needs the browser. `None`: they only shape the page if it gets there.
    pub(crate) demand: Option<String>,
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser").field("demand", &self.demand).finish_non_exhaustive()
    }
}

/// A message of the protocol that this service keeps and hands on, but has no rules about: its bytes, Base64 in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Serialize for Message {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD_NO_PAD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

fn yes() -> bool {
    true
}

impl Spec {
    /// The key under which a URL is one page of the job. A list of URLs is taken by its words; a crawl folds spellings.
    pub(crate) fn key(&self, url: &PageUrl) -> [u8; 16] {
        if self.follow.is_some() { url.normal_key() } else { url.key() }
    }

    /// The lane that a new page starts in, and why.
    pub(crate) fn first_lane(&self) -> (Lane, &'static str) {
        let demands = self.browser.as_ref().is_some_and(|browser| browser.demand.is_some());
        match self.render {
            Render::Browser => (Lane::Browser, "asked for"),
            Render::Auto if self.screenshot => (Lane::Browser, "needs a screenshot"),
            Render::Auto if demands => (Lane::Browser, "has options that need the browser"),
            Render::Auto => (Lane::Http, "http first"),
            Render::Http => (Lane::Http, "asked for"),
        }
    }
}

/// The body of a webhook delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// As Standard Webhooks recommends.
    Standard,
    /// As Crawl4AI sends it.
    Crawl4ai,
}

/// Whom to tell about a job.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Webhook {
    pub(crate) url: String,
    /// May hold credentials: shown to the webhook service only.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) event_types: Vec<EventType>,
    pub(crate) format: Format,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("event_types", &self.event_types).finish_non_exhaustive()
    }
}

/// A valid request to crawl.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    /// The URLs as they were given, with their parsed form.
    pub(crate) urls: Vec<(String, PageUrl)>,
    pub(crate) spec: Spec,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) priority: Priority,
    /// Whether nobody asked for the priority: a small job that is waited for.
    pub(crate) interactive: bool,
    pub(crate) request_id: Option<String>,
    /// How long the caller waits for the job to finish.
    pub(crate) wait: Duration,
    /// What the caller's credential must allow beside creating jobs.
    pub(crate) scopes: Vec<Scope>,
    /// How long the job may take.
    pub(crate) max_duration: Option<Duration>,
    /// The job whose failed pages are tried again.
    pub(crate) retry_of: Option<JobId>,
    /// The schedule whose job it is.
    pub(crate) schedule: Option<ScheduleId>,
    /// The job that the pages are compared with.
    pub(crate) baseline: Option<JobId>,
    /// Whether pages are compared; without a baseline all are new.
    pub(crate) track_changes: bool,
}

impl Submission {
    /// Makes it a job that tries the failed pages of an ended one again.
    #[must_use]
    pub(crate) fn again(self, job: &Job) -> Self {
        let (webhook, labels) = (job.webhook.clone(), job.labels.clone());
        Self { webhook, labels, priority: job.priority, interactive: false, retry_of: Some(job.id), ..self }
    }

    /// Tells one request from another: BLAKE3 of everything that shapes the job. Waiting does not.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let urls: Vec<&str> = self.urls.iter().map(|(url, _)| url.as_str()).collect();
        let priority = if self.interactive { Priority::Normal } else { self.priority };
        let canonical = (urls, &self.spec, &self.webhook, &self.labels, priority.as_str(), self.max_duration);
        let mut text = serde_json::to_vec(&canonical).unwrap_or_default();
        // Added only where there is one: requests of before there was a choice keep their hashes.
        text.extend(self.baseline.iter().flat_map(|job| job.0.into_bytes()));
        text.extend(self.schedule.iter().flat_map(|schedule| schedule.0.into_bytes()));
        blake3::hash(&text).into()
    }
}
