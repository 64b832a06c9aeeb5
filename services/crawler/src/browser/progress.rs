//! How far a page has come, from what the browser tells of it. Pure: events and the time are arguments.
//!
//! Promises: the page's own events decide, in whatever order their streams deliver them; navigations that the page starts
//! by itself are followed and counted; long-lived requests (WebSocket, media, beacons) do not keep a page from settling.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::block::Paused;
use super::options::Arrival;

/// Something that happened in a tab.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A request begins, or goes on after a redirect.
    Request { id: String, loader: String, url: String, cause: Cause, redirected: bool, counts: bool },
    /// The head of a response to a request for a document of the main frame.
    Response { id: String, response: Response },
    /// A request ended well, after so many bytes.
    Finished { id: String, bytes: u64 },
    /// A request failed.
    Failed { id: String, error: String, document: bool },
    /// The main frame's document came further.
    Lifecycle { loader: String, name: String },
    /// A dialog waits for an answer.
    Dialog { leaving: bool },
    /// The renderer died.
    Crashed,
    /// A request waits to be let through.
    Paused(Box<Paused>),
}

/// Why a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// For the document of the main frame, asked for from outside.
    Asked,
    /// For the document of the main frame, at the wish of the page.
    Page,
    /// For what a document needs.
    Part,
}

/// The head of a response.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Response {
    /// HTTP status.
    pub(super) status: u16,
    /// The URL that answered.
    pub(super) url: String,
    /// Headers, names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// Content type as the browser sees it.
    pub(super) mime: String,
}

/// Whether a page has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Not before something more happens.
    NotYet,
    /// It has loaded and nothing is on its way; it has settled at this time if nothing more happens.
    At(Instant),
}

/// A document of the main frame.
#[derive(Debug, Default)]
struct Navigation {
    loader: String,
    url: String,
    redirects: Vec<String>,
    response: Option<Response>,
    error: Option<String>,
    committed: bool,
    received: Option<Instant>,
    parsed: Option<Instant>,
    loaded: Option<Instant>,
}

/// Limits of one page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) quiet: Duration,
    pub(super) settle_cap: Duration,
    pub(super) max_requests: usize,
    pub(super) max_redirects: usize,
}

/// What went too far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    /// More requests than allowed.
    Requests,
    /// More redirects than allowed, those by script and by `<meta>` included.
    Redirects,
}

/// The state of one page.
#[derive(Debug)]
pub(super) struct Progress {
    limits: Limits,
    arrival: Arrival,
    /// Whether the page has been asked for: what is asked for before that is by the page before it.
    begun: bool,
    /// When something was last done in the page from outside.
    acted: Option<Instant>,
    navigations: Vec<Navigation>,
    /// Events of documents that came before the request they belong to.
    early: HashMap<String, Vec<(Event, Instant)>>,
    open: HashSet<String>,
    /// Requests whose end came before their beginning.
    ended: HashSet<String>,
    requests: usize,
    bytes: u64,
    last_change: Instant,
    crashed: bool,
}

/// Events kept for documents whose request is not known yet: so many documents, and so many of each.
const MAX_EARLY: usize = 32;
/// Quiet times to wait for the end of parsing of a document that has been received.
const STUCK_QUIETS: u32 = 4;

impl Progress {
    /// A page that is asked for now, in a tab where another one may still run.
    pub(super) fn new(limits: Limits, arrival: Arrival, after_another: bool, now: Instant) -> Self {
        Self {
            limits,
            arrival,
            begun: !after_another,
            acted: None,
            navigations: Vec::new(),
            early: HashMap::new(),
            open: HashSet::new(),
            ended: HashSet::new(),
            requests: 0,
            bytes: 0,
            last_change: now,
            crashed: false,
        }
    }

    /// Takes in an event.
    pub(super) fn on(&mut self, event: Event, now: Instant) -> Result<(), Excess> {
        match event {
            Event::Request { id, loader, url, cause, redirected, counts } => {
                self.begun |= cause == Cause::Asked;
                if self.begun {
                    self.on_request(id, loader, url, cause != Cause::Part, redirected, counts, now)?;
                }
            }
            Event::Finished { id, bytes } => {
                self.bytes = self.bytes.saturating_add(bytes);
                if let Some(navigation) = self.navigation(&id) {
                    navigation.received = Some(now);
                }
                self.end(id, now);
            }
            Event::Failed { ref id, document, .. } => {
                self.end(id.clone(), now);
                if document {
                    self.on_document(id.clone(), event, now);
                }
            }
            Event::Response { ref id, .. } => self.on_document(id.clone(), event, now),
            Event::Lifecycle { ref loader, .. } => self.on_document(loader.clone(), event, now),
            Event::Crashed => self.crashed = true,
            Event::Dialog { .. } | Event::Paused { .. } => {}
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    fn on_request(
        &mut self,
        id: String,
        loader: String,
        url: String,
        main: bool,
        redirected: bool,
        counts: bool,
        now: Instant,
    ) -> Result<(), Excess> {
        self.requests += 1;
        if self.requests > self.limits.max_requests {
            return Err(Excess::Requests);
        }
        if main && (url.starts_with("http:") || url.starts_with("https:")) {
            self.navigate(loader, url, redirected, now);
            if self.hops() > self.limits.max_redirects {
                return Err(Excess::Redirects);
            }
        }
        if !main {
            self.early.remove(&id);
        }
        if counts && !self.ended.remove(&id) {
            self.open.insert(id);
            self.last_change = now;
        }
        Ok(())
    }

    fn navigate(&mut self, loader: String, url: String, redirected: bool, now: Instant) {
        if redirected && let Some(navigation) = self.navigation(&loader) {
            let before = std::mem::replace(&mut navigation.url, url);
            navigation.redirects.push(before);
            return;
        }
        self.navigations.push(Navigation { loader: loader.clone(), url, ..Navigation::default() });
        for (event, at) in self.early.remove(&loader).unwrap_or_default() {
            self.on_document(loader.clone(), event, at.min(now));
        }
    }

    /// Something happened to a document of the main frame.
    fn on_document(&mut self, loader: String, event: Event, now: Instant) {
        let Some(navigation) = self.navigation(&loader) else {
            // The streams of events are not in step with one another.
            if self.early.len() < MAX_EARLY || self.early.contains_key(&loader) {
                let events = self.early.entry(loader).or_default();
                if events.len() < MAX_EARLY {
                    events.push((event, now));
                }
            }
            return;
        };
        match event {
            Event::Response { response, .. } => navigation.response = Some(response),
            Event::Failed { error, .. } => navigation.error = Some(error),
            Event::Lifecycle { name, .. } => {
                navigation.committed = true;
                match name.as_str() {
                    "DOMContentLoaded" => navigation.parsed = Some(now),
                    "load" => navigation.loaded = Some(now),
                    _ => {}
                }
            }
            Event::Request { .. }
            | Event::Finished { .. }
            | Event::Dialog { .. }
            | Event::Crashed
            | Event::Paused(_) => {}
        }
    }

    fn end(&mut self, id: String, now: Instant) {
        if self.open.remove(&id) {
            self.last_change = now;
        } else if self.ended.len() < self.limits.max_requests {
            self.ended.insert(id);
        }
    }

    fn navigation(&mut self, loader: &str) -> Option<&mut Navigation> {
        self.navigations.iter_mut().rev().find(|navigation| navigation.loader == loader)
    }

    fn hops(&self) -> usize {
        let redirects: usize = self.navigations.iter().map(|navigation| navigation.redirects.len()).sum();
        redirects + self.navigations.len().saturating_sub(1)
    }

    /// The document that is shown, or was to be.
    fn current(&self) -> Option<&Navigation> {
        let committed = self.navigations.iter().rev().find(|navigation| navigation.committed);
        committed.or_else(|| self.navigations.last())
    }

    /// Why the page will never be shown: the network error of its main request.
    ///
    /// A navigation that the page itself started and that came to nothing (a download, 204) leaves it as it is.
    pub(super) fn error(&self) -> Option<&str> {
        let navigation = self.navigations.last()?;
        let error = navigation.error.as_deref()?;
        let shown_before = self.navigations.iter().rev().skip(1).any(|before| before.committed);
        let aborted = error == "net::ERR_ABORTED";
        // The body of a document that is already shown may break off. Without a response, what was parsed is the browser's own
        // error page, which may be told of before the error itself.
        let shown = navigation.parsed.is_some() && navigation.response.is_some();
        (!(shown || aborted && shown_before)).then_some(error)
    }

    /// The response of the document that is shown.
    pub(super) fn response(&self) -> Option<&Response> {
        self.current()?.response.as_ref()
    }

    /// The URL of the last document that was asked for.
    pub(super) fn asked(&self) -> Option<&str> {
        self.navigations.last().map(|navigation| navigation.url.as_str())
    }

    /// The URLs that led to the document that is shown, in order.
    pub(super) fn redirects(&self) -> Vec<String> {
        let shown = self.current().map_or("", |navigation| navigation.loader.as_str());
        let mut urls = Vec::new();
        for navigation in &self.navigations {
            urls.extend(navigation.redirects.iter().cloned());
            if navigation.loader == shown {
                break;
            }
            urls.push(navigation.url.clone());
        }
        urls
    }

    /// Whether the site has answered, and what it sent cannot be shown because the renderer has not taken it.
    pub(super) fn held_up(&self) -> bool {
        self.navigations.last().is_some_and(|last| last.response.is_some() && !last.committed)
    }

    /// Whether a document of the page has been shown.
    pub(super) fn shown(&self) -> bool {
        self.navigations.iter().any(|navigation| navigation.committed)
    }

    /// Whether the renderer died.
    pub(super) fn crashed(&self) -> bool {
        self.crashed
    }

    /// Bytes received.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the page is waiting for, for the verdict if its time is up.
    pub(super) fn stage(&self) -> &'static str {
        match self.current() {
            None => "connect",
            Some(navigation) if navigation.response.is_none() => "head",
            Some(navigation) if navigation.parsed.is_none() => "body",
            Some(_) => "render",
        }
    }

    /// Whether the document has loaded and nothing is on its way.
    pub(super) fn loaded(&self) -> bool {
        let loaded = self.current().is_some_and(|n| n.loaded.is_some() && n.response.is_some());
        loaded && self.open.is_empty() && !self.leaving()
    }

    /// Whether another document is on its way.
    fn leaving(&self) -> bool {
        self.navigations.last().is_some_and(|last| !last.committed && last.error.is_none())
    }

    /// Something was done in the page: from now on it settles by what comes of that.
    pub(super) fn acted(&mut self, now: Instant) {
        self.acted = Some(now);
        if self.arrival != Arrival::Idle {
            self.arrival = Arrival::Settled;
        }
    }

    /// Whether the page has arrived; by default quiet for long enough after loading, or the cap after parsing.
    pub(super) fn settled(&self) -> Settled {
        let Some(navigation) = self.current().filter(|navigation| navigation.response.is_some()) else {
            return Settled::NotYet;
        };
        let idle = self.open.is_empty() && !self.leaving();
        let cap = |from: Instant| self.acted.map_or(from, |acted| acted.max(from)) + self.limits.settle_cap;
        let quiet = |from: Instant| {
            let from = from.max(self.last_change);
            self.acted.map_or(from, |acted| acted.max(from)) + self.limits.quiet
        };
        match (self.arrival, navigation.parsed, navigation.loaded, navigation.received) {
            (Arrival::Parsed, Some(parsed), ..) => Settled::At(parsed),
            (Arrival::Load, _, Some(loaded), _) => Settled::At(loaded),
            (Arrival::Idle, _, Some(loaded), _) if idle => Settled::At(quiet(loaded)),
            (Arrival::Settled, Some(parsed), Some(loaded), _) if idle => {
                Settled::At(quiet(loaded).min(cap(parsed)))
            }
            (Arrival::Settled, Some(parsed), ..) => Settled::At(cap(parsed)),
            // A page that tries to leave and stays (for a download) is never said to be parsed.
            (_, None, _, Some(received)) if idle && navigation.committed => {
                Settled::At(received.max(self.last_change) + self.limits.quiet * STUCK_QUIETS)
            }
            _ => Settled::NotYet,
        }
    }
}

#[cfg(test)]
mod tests;
