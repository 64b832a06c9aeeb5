//! The work on one page in a tab: navigate, wait until the page has arrived, do what the job asks, take what it shows.
//!
//! Promises: events are taken in all the time, whatever is being done; dialogs are dismissed; the DOM is read from an isolated world,
//! which the page cannot tamper with, and only after its size is known.

use std::time::Duration;

use bytes::Bytes;
use chromiumoxide::cdp::browser_protocol::page::{HandleJavaScriptDialogParams, NavigateParams};
use chromiumoxide::error::CdpError;
use domain::Verdict;
use egress::{FetchError, Part};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::block::{self, Blocker, Paused, Ruling};
use super::capture;
use super::frames::{self, Reader};
use super::options::Arrival;
use super::progress::{Event, Excess, Progress, Settled};
use super::record::Recorder;
use super::shown::{Content, Dom, ProxyLog, Reading, Shown, failed, probe, refused_by_proxy, unreadable};
use super::steps::Steps;
use super::tab::{Bounds, Leftover, Tab};
use super::world::{self, Answer};
use crate::fetch::{Artifact, Failure, Order};
use crate::metrics;
use crate::session::Changes;

/// How long the events that belong to a failure may take to arrive.
const CATCH_UP: Duration = Duration::from_millis(30);

/// The work on one page.
pub(super) struct Visit<'a> {
    tab: &'a mut Tab,
    order: &'a Order,
    bounds: Bounds<'a>,
    proxy: ProxyLog<'a>,
    state: State,
    /// The step that is on.
    step: Mutex<Option<&'static str>>,
    /// Whether the page before may still run when this one is asked for.
    after_another: bool,
    /// The DOM, if the page is inert.
    inert: Option<Dom>,
}

/// What changes while events come in.
struct State {
    progress: Progress,
    /// Whether chromiumoxide still waits for the load event.
    loading: bool,
    recorder: Recorder,
    blocker: Blocker,
    /// Requests that were not made because they were ads.
    ads: usize,
    /// Answers to dialogs and to requests, on their way.
    replies: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl<'a> Visit<'a> {
    /// A visit that has not begun.
    pub(super) fn new(
        tab: &'a mut Tab,
        order: &'a Order,
        bounds: Bounds<'a>,
        proxy: ProxyLog<'a>,
        after_another: bool,
    ) -> Self {
        let state = State {
            progress: Progress::new(bounds.limits, order.browser.arrival, after_another, Instant::now()),
            loading: true,
            recorder: Recorder::default(),
            blocker: Blocker::new(order.browser.block, bounds.ads.cloned()),
            ads: 0,
            replies: FuturesUnordered::new(),
        };
        Self { tab, order, bounds, proxy, state, step: Mutex::new(None), after_another, inert: None }
    }

    /// Renders the page.
    pub(super) async fn run(&mut self) -> Result<Shown, Failure> {
        let recorder = Recorder::start(&self.tab.page, self.order.browser.keep).await;
        self.state.recorder = recorder.map_err(|_| Failure::Ours("the browser died"))?;
        self.arrive().await?;
        let screenshot = if self.readable() { self.act().await? } else { None };
        self.take(screenshot).await
    }

    /// What went wrong if its time is up.
    pub(super) fn late(&self) -> Failure {
        if self.after_another && self.state.progress.held_up() {
            return Failure::Ours("the page before it in its tab hangs");
        }
        Failure::Late((*self.step.lock()).unwrap_or_else(|| self.state.progress.stage()))
    }

    /// What it leaves behind.
    pub(super) fn leftover(&self) -> Leftover {
        match self.inert {
            _ if self.state.loading => Leftover::Unusable,
            Some(_) => Leftover::Inert,
            None if self.order.browser.steps()
                || self.order.browser.keep.listens()
                || !self.state.progress.loaded() =>
            {
                Leftover::Touched
            }
            None => Leftover::Alive,
        }
    }

    /// Navigates and waits until the page has arrived.
    async fn arrive(&mut self) -> Result<(), Failure> {
        let page = self.tab.page.clone();
        let mut navigation = Box::pin(page.execute(NavigateParams::new(self.order.url.as_str())));
        let mut probed = self.order.browser.arrival != Arrival::Settled;
        loop {
            let settled = self.state.progress.settled();
            let wake = match settled {
                Settled::At(at) if at <= Instant::now() && !self.state.loading => return Ok(()),
                Settled::At(at) => at,
                Settled::NotYet => self.order.deadline,
            };
            tokio::select! {
                biased;
                event = self.tab.events.next() => self.state.on(self.tab, event)?,
                // chromiumoxide answers when the page has loaded, and until then lets no other navigation pass.
                answer = &mut navigation, if self.state.loading => {
                    self.state.loading = false;
                    if let Err(CdpError::Chrome(_)) = answer {
                        return Err(Failure::Page(Verdict::HttpError, "the browser refuses the URL"));
                    }
                }
                Some(()) = self.state.replies.next() => {}
                () = self.state.recorder.step() => {}
                () = sleep_until(wake) => {
                    if matches!(self.state.progress.settled(), Settled::At(at) if at <= Instant::now()) {
                        return Ok(());
                    }
                }
            }
            if self.over().await? {
                return Ok(());
            }
            if self.state.progress.loaded() && !probed && !self.state.loading {
                probed = true;
                if self.inert().await {
                    return Ok(());
                }
            }
        }
    }

    /// Whether no page will come, only the head of a response. Fails where the renderer died or the main request failed.
    async fn over(&mut self) -> Result<bool, Failure> {
        if self.state.progress.crashed() {
            let before = self.after_another && !self.state.progress.shown();
            return Err(match before {
                true => Failure::Ours("the page before it in its tab crashed their renderer"),
                false => Failure::Crash("the page crashed its renderer"),
            });
        }
        if self.state.progress.error().is_none() {
            return Ok(false);
        }
        // The streams of events are not in step, and the response tells more than the error.
        let until = Instant::now() + CATCH_UP;
        while let Ok(event) = tokio::time::timeout_at(until, self.tab.events.next()).await {
            self.state.on(self.tab, event)?;
        }
        match self.state.progress.error() {
            Some(error) => failed(error, &self.state.progress, self.proxy).map(|()| true),
            None => Ok(false),
        }
    }

    /// Whether the page holds nothing that could change it after loading: then there is nothing to wait for, and its DOM is known.
    ///
    /// A page that has just gone on answers for the next one, whose events are still to come: then it settles as any other page does.
    async fn inert(&mut self) -> bool {
        let Some(response) = self.state.progress.response() else { return false };
        let answered = without_fragment(&response.url).to_owned();
        let Some(content) = Content::of(&response.mime) else { return false };
        let dom = self.dom(Reading { only_inert: true, ..self.reading(content) }).await;
        self.inert = dom.filter(|dom| dom.inert && answered == without_fragment(&dom.url));
        self.inert.is_some()
    }

    fn reading(&self, content: Content) -> Reading {
        let browser = &self.order.browser;
        let (frames, shadow) = (browser.flatten_frames, browser.flatten_shadow);
        Reading { content, max_dom: self.bounds.max_dom, frames, shadow, only_inert: false }
    }

    async fn dom(&mut self, reading: Reading) -> Option<Dom> {
        match world::isolated(&self.tab.page, &self.tab.frame, &probe(reading)).await {
            Answer::Value(value) => serde_json::from_value(value).ok(),
            Answer::Thrown(_) | Answer::Gone | Answer::Late => None,
        }
    }

    /// The DOM with frames of other origins in it, if the job asks for frames and there are such.
    async fn whole(&mut self, content: Content) -> Result<Option<Dom>, Failure> {
        let browser = &self.order.browser;
        if content == Content::Html && browser.flatten_frames {
            let (page, frame) = (self.tab.page.clone(), self.tab.frame.clone());
            let (bounds, shadow, deadline) = (self.bounds, browser.flatten_shadow, self.order.deadline);
            let code = probe(self.reading(content));
            let work = async move {
                let count = format!("({})({shadow}).length", frames::FOREIGN);
                let Answer::Value(count) = world::isolated(&page, &frame, &count).await else {
                    return Ok(None);
                };
                if count.as_u64().unwrap_or_default() == 0 {
                    return Ok(None);
                }
                let reader = Reader::connect(bounds.endpoint, bounds.frames, shadow, deadline);
                let Some(mut reader) = reader.await else { return Ok(None) };
                Ok(reader.run(page.target_id().clone(), frame, &code).await)
            };
            let read = self.state.meanwhile(self.tab, work).await?;
            let dom = read.and_then(|value| serde_json::from_value(value).ok());
            if dom.is_some() {
                return Ok(dom);
            }
        }
        Ok(self.dom(self.reading(content)).await)
    }

    /// Whether the site answered with a page to work on.
    fn readable(&self) -> bool {
        let response = self.state.progress.response();
        response.is_some_and(|response| {
            success(response.status) && Content::of(&response.mime) == Some(Content::Html)
        })
    }

    /// Does what the job asked for, and waits for what comes of it. Returns the screenshot, if an action took one.
    async fn act(&mut self) -> Result<Option<Bytes>, Failure> {
        let options = self.order.browser.clone();
        if !options.steps() {
            return Ok(None);
        }
        if options.acts() {
            self.inert = None;
        }
        let (page, frame, step) = (self.tab.page.clone(), self.tab.frame.clone(), &self.step);
        let steps = Steps {
            page: &page,
            frame: &frame,
            options: &options,
            deadline: self.order.deadline,
            max_dom: self.bounds.max_dom,
            stage: step,
        };
        let screenshot = self.state.meanwhile(self.tab, steps.run()).await?;
        if options.acts() {
            *step.lock() = None;
            self.state.progress.acted(Instant::now());
            self.state.calm(self.tab, self.order.deadline).await?;
        }
        self.state.meanwhile(self.tab, steps.finish()).await?;
        *step.lock() = None;
        if let Some(error) = self.state.progress.error() {
            failed(error, &self.state.progress, self.proxy)?;
        }
        Ok(screenshot)
    }

    async fn take(&mut self, screenshot: Option<Bytes>) -> Result<Shown, Failure> {
        let progress = &self.state.progress;
        let response = progress.response().cloned().ok_or(Failure::Ours("a page without a response"))?;
        if let Some(error) = refused_by_proxy(&response, self.proxy) {
            return Err(Failure::Fetch(error));
        }
        let (redirects, bytes) = (progress.redirects(), progress.bytes());
        let url = Url::parse(&response.url).map_err(|_| Failure::Fetch(FetchError::BadRedirect))?;
        let empty = Shown {
            url,
            body: String::new(),
            body_type: String::new(),
            redirects,
            bytes,
            artifacts: Vec::new(),
            changes: Changes::default(),
            ads: self.state.ads,
            response,
        };
        if !success(empty.response.status) {
            return Ok(empty);
        }
        let Some(content) = Content::of(&empty.response.mime) else { return Ok(unreadable(empty)) };
        let max_dom = self.bounds.max_dom;
        let dom = match &mut self.inert {
            Some(dom) => std::mem::take(dom),
            None => self.whole(content).await?.ok_or(Failure::Ours("the page cannot be read"))?,
        };
        // JavaScript counts UTF-16, we count UTF-8.
        if dom.large || dom.body.len() > max_dom {
            return Err(Failure::Fetch(FetchError::TooLarge { what: Part::Decompressed }));
        }
        let url = Url::parse(&dom.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or(Failure::Page(Verdict::NotAllowed, "the page left the web"))?;
        let artifacts = self.artifacts(&url, screenshot).await?;
        let body_type = match content {
            Content::Html => "text/html; charset=utf-8".to_owned(),
            Content::Text => format!("{}; charset=utf-8", empty.response.mime),
        };
        Ok(Shown { url, body: dom.body, body_type, artifacts, ads: self.state.ads, ..empty })
    }

    /// What is kept of the page beside its HTML.
    async fn artifacts(&mut self, url: &Url, taken: Option<Bytes>) -> Result<Vec<Artifact>, Failure> {
        let (keep, max, page) = (self.order.browser.keep, self.bounds.max_artifact, self.tab.page.clone());
        let mut artifacts = Vec::new();
        let mut add = |kind, content_type, bytes| artifacts.push(Artifact { kind, content_type, bytes });
        if let Some(area) = keep.screenshot {
            *self.step.lock() = Some("screenshot");
            let png = match taken {
                Some(png) => png,
                None => self.state.meanwhile(self.tab, capture::screenshot(&page, area)).await?,
            };
            if png.len() > max {
                return Err(Failure::Page(Verdict::TooLarge, "screenshot"));
            }
            add("screenshot", "image/png", png);
        }
        if keep.pdf {
            *self.step.lock() = Some("pdf");
            add("pdf", "application/pdf", self.state.meanwhile(self.tab, capture::pdf(&page, max)).await?);
        }
        if keep.mhtml {
            *self.step.lock() = Some("mhtml");
            add(
                "mhtml",
                "multipart/related",
                self.state.meanwhile(self.tab, capture::mhtml(&page, max)).await?,
            );
        }
        self.state.recorder.drain();
        if let Some(har) = self.state.recorder.har.take() {
            add("har", "application/json", har.json(url.as_str(), max));
        }
        if let Some(console) = self.state.recorder.console.take() {
            add("console", "application/json", console.json());
        }
        Ok(artifacts)
    }
}

impl State {
    /// Takes in an event.
    fn on(&mut self, tab: &Tab, event: Option<Event>) -> Result<(), Failure> {
        let event = event.ok_or(Failure::Ours("the browser died"))?;
        let page = tab.page.clone();
        match &event {
            // Leaving is allowed, everything else is dismissed.
            Event::Dialog { leaving } => {
                let answer = HandleJavaScriptDialogParams::new(*leaving);
                self.replies.push(async move { page.execute(answer).await.map_or((), |_| ()) }.boxed());
            }
            Event::Paused(paused) => {
                let ruling = self.rule(paused);
                self.replies.push(block::answer(page, (**paused).clone(), ruling).boxed());
            }
            _ => {}
        }
        self.progress.on(event, Instant::now()).map_err(|excess| match excess {
            Excess::Requests => Failure::Page(Verdict::TooLarge, "requests"),
            Excess::Redirects => Failure::Fetch(FetchError::TooManyRedirects),
        })
    }

    /// What a request gets.
    fn rule(&mut self, paused: &Paused) -> Ruling {
        let shown = self.progress.response().map(|response| response.url.as_str());
        let page = shown.or_else(|| self.progress.asked()).unwrap_or_default();
        let ruling = self.blocker.rule(paused, page);
        if let Ruling::Ad(rule) = &ruling {
            self.ads += 1;
            metrics::ad();
            if let Some(request) = &paused.request {
                self.recorder.blocked(request, rule);
            }
        }
        ruling
    }

    /// Takes in events while `work` is done.
    async fn meanwhile<T>(
        &mut self,
        tab: &mut Tab,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                event = tab.events.next() => self.on(tab, event)?,
                Some(()) = self.replies.next() => {}
                () = self.recorder.step() => {}
                done = &mut work => return done,
            }
            if self.progress.crashed() {
                return Err(Failure::Crash("the page crashed its renderer"));
            }
        }
    }

    /// Takes in events until the page has settled again.
    async fn calm(&mut self, tab: &mut Tab, deadline: Instant) -> Result<(), Failure> {
        loop {
            let wake = match self.progress.settled() {
                Settled::At(at) if at <= Instant::now() => return Ok(()),
                Settled::At(at) => at,
                Settled::NotYet => deadline,
            };
            tokio::select! {
                event = tab.events.next() => self.on(tab, event)?,
                Some(()) = self.replies.next() => {}
                () = self.recorder.step() => {}
                () = sleep_until(wake) => {}
            }
            if self.progress.crashed() {
                return Err(Failure::Crash("the page crashed its renderer"));
            }
            if self.progress.error().is_some() {
                return Ok(());
            }
        }
    }
}

fn success(status: u16) -> bool {
    (200..300).contains(&status) && status != 204
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}
