//! One tab and the work on one page in it: navigate, wait until the page has settled, take what it shows.
//!
//! Promises: nothing is waited for beyond the deadline; dialogs are dismissed; the DOM is read from an isolated world,
//! which the page cannot tamper with, and only after its size is known.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::inspector;
use chromiumoxide::cdp::browser_protocol::page::{
    CaptureScreenshotFormat, CaptureScreenshotParams, CrashParams, CreateIsolatedWorldParams, FrameId,
    HandleJavaScriptDialogParams, NavigateParams,
};
use chromiumoxide::cdp::browser_protocol::target::{CreateTargetParams, TargetId};
use chromiumoxide::cdp::js_protocol::runtime::EvaluateParams;
use chromiumoxide::error::CdpError;
use domain::Verdict;
use egress::{FetchError, Part};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::events::{Events, events};
use super::progress::{Event, Excess, Limits, Progress, Settled};
use super::shown::{Content, Dom, ProxyLog, Shown, failed, probe, refused_by_proxy, unreadable};
use crate::fetch::{Failure, Order};

/// The blank page that a tab shows between two pages.
pub(super) const BLANK: &str = "about:blank";
/// How long the events that belong to a failure may take to arrive.
const CATCH_UP: Duration = Duration::from_millis(30);

/// A tab with the events that tell what happens in it.
pub(super) struct Tab {
    page: Page,
    frame: FrameId,
    events: Events,
}

impl Tab {
    /// Opens a blank tab.
    pub(super) async fn open(
        cdp: &chromiumoxide::Browser,
        target: CreateTargetParams,
    ) -> Result<Self, CdpError> {
        let page = cdp.new_page(target).await?;
        let frame = FrameId::new(page.target_id().inner().clone());
        page.execute(inspector::EnableParams::default()).await?;
        let events = events(&page, &frame).await?;
        Ok(Self { page, frame, events })
    }

    /// Its id in the browser.
    pub(super) fn target(&self) -> TargetId {
        self.page.target_id().clone()
    }

    /// Shows the blank page, so that nothing of the page before runs on.
    pub(super) async fn blank(&mut self) -> Result<(), CdpError> {
        self.page.execute(NavigateParams::new(BLANK)).await?;
        self.forget();
        Ok(())
    }

    /// Drops what happened before.
    fn forget(&mut self) {
        while let Some(Some(_)) = self.events.next().now_or_never() {}
    }

    /// Kills the renderer, even one that answers nothing any more.
    pub(super) async fn crash(&mut self) {
        let _ = self.page.execute(CrashParams::default()).await;
    }

    /// Renders a page, and says what it leaves behind in the tab. `proxy` tells why a connection failed.
    pub(super) async fn render(
        &mut self,
        order: &Order,
        limits: Limits,
        max_dom: usize,
        proxy: ProxyLog<'_>,
    ) -> (Result<Shown, Failure>, Leftover) {
        self.forget();
        let mut visit = Visit {
            progress: Progress::new(limits, Instant::now()),
            loading: true,
            probed: false,
            inert: None,
            dialogs: FuturesUnordered::new(),
        };
        let work = async {
            self.settle(order, &mut visit, max_dom, proxy).await?;
            self.take(order, &mut visit, max_dom, proxy).await
        };
        let shown = match tokio::time::timeout_at(order.deadline, work).await {
            Ok(shown) => shown,
            Err(_) => Err(Failure::Late(visit.progress.stage())),
        };
        let leftover = match &shown {
            Ok(_) if visit.loading => Leftover::Unusable,
            Ok(_) if visit.inert.is_some() => Leftover::Inert,
            Ok(_) => Leftover::Alive,
            Err(_) => Leftover::Unusable,
        };
        (shown, leftover)
    }

    /// Navigates and waits until the page has settled.
    async fn settle(
        &mut self,
        order: &Order,
        visit: &mut Visit,
        max_dom: usize,
        proxy: ProxyLog<'_>,
    ) -> Result<(), Failure> {
        let page = self.page.clone();
        let mut navigation = Box::pin(page.execute(NavigateParams::new(order.url.as_str())));
        loop {
            let wake = match visit.progress.settled() {
                Settled::At(at) if at <= Instant::now() && !visit.loading => return Ok(()),
                Settled::At(at) => at,
                Settled::NotYet => order.deadline,
            };
            tokio::select! {
                biased;
                event = self.events.next() => {
                    let event = event.ok_or(Failure::Ours("the browser died"))?;
                    self.on(event, visit)?;
                }
                // chromiumoxide answers when the page has loaded, and until then lets no other navigation pass.
                answer = &mut navigation, if visit.loading => {
                    visit.loading = false;
                    if let Err(CdpError::Chrome(_)) = answer {
                        return Err(Failure::Page(Verdict::HttpError, "the browser refuses the URL"));
                    }
                }
                Some(()) = visit.dialogs.next() => {}
                () = sleep_until(wake) => {
                    if matches!(visit.progress.settled(), Settled::At(at) if at <= Instant::now()) {
                        return Ok(());
                    }
                }
            }
            if visit.progress.crashed() {
                return Err(Failure::Crash("the page crashed its renderer"));
            }
            if visit.progress.error().is_some() {
                self.catch_up(visit).await?;
            }
            if let Some(error) = visit.progress.error() {
                return failed(error, &visit.progress, proxy);
            }
            if visit.progress.loaded() && !visit.probed && !visit.loading {
                visit.probed = true;
                // A page that has just gone on answers for the next one, whose events are still to come: then it settles as
                // any other page does.
                let answered =
                    visit.progress.response().map(|response| without_fragment(&response.url).to_owned());
                let dom = self.inert(&visit.progress, max_dom).await;
                if let Some(dom) = dom.filter(|dom| answered.as_deref() == Some(without_fragment(&dom.url))) {
                    visit.inert = Some(dom);
                    return Ok(());
                }
            }
        }
    }

    /// Takes in what else has happened: the streams of events are not in step, and the response tells more than the error.
    async fn catch_up(&mut self, visit: &mut Visit) -> Result<(), Failure> {
        let until = Instant::now() + CATCH_UP;
        while let Ok(Some(event)) = tokio::time::timeout_at(until, self.events.next()).await {
            self.on(event, visit)?;
        }
        Ok(())
    }

    fn on(&self, event: Event, visit: &mut Visit) -> Result<(), Failure> {
        if let Event::Dialog { leaving } = event {
            let page = self.page.clone();
            // Leaving is allowed, everything else is dismissed.
            let answer = HandleJavaScriptDialogParams::new(leaving);
            visit.dialogs.push(async move { page.execute(answer).await.map_or((), |_| ()) }.boxed());
        }
        visit.progress.on(event, Instant::now()).map_err(|excess| match excess {
            Excess::Requests => Failure::Page(Verdict::TooLarge, "requests"),
            Excess::Redirects => Failure::Fetch(FetchError::TooManyRedirects),
        })
    }

    /// The DOM of a page that holds nothing which could change it after loading: there is nothing to wait for.
    async fn inert(&mut self, progress: &Progress, max_dom: usize) -> Option<Dom> {
        let content = progress.response().and_then(|response| Content::of(&response.mime))?;
        self.evaluate::<Dom>(&probe(content, max_dom)).await.filter(|dom| dom.inert)
    }

    async fn take(
        &mut self,
        order: &Order,
        visit: &mut Visit,
        max_dom: usize,
        proxy: ProxyLog<'_>,
    ) -> Result<Shown, Failure> {
        let progress = &visit.progress;
        let response = progress.response().cloned().ok_or(Failure::Ours("a page without a response"))?;
        if let Some(error) = refused_by_proxy(&response, proxy) {
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
            screenshot: None,
            response,
        };
        if !(200..300).contains(&empty.response.status) || empty.response.status == 204 {
            return Ok(empty);
        }
        let Some(content) = Content::of(&empty.response.mime) else { return Ok(unreadable(empty)) };
        let dom = match &mut visit.inert {
            Some(dom) => std::mem::take(dom),
            None => self
                .evaluate(&probe(content, max_dom))
                .await
                .ok_or(Failure::Ours("the page cannot be read"))?,
        };
        // JavaScript counts UTF-16, we count UTF-8.
        if dom.large || dom.body.len() > max_dom {
            return Err(Failure::Fetch(FetchError::TooLarge { what: Part::Decompressed }));
        }
        let url = Url::parse(&dom.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or(Failure::Page(Verdict::NotAllowed, "the page left the web"))?;
        let screenshot = if order.screenshot { Some(self.screenshot().await?) } else { None };
        let body_type = match content {
            Content::Html => "text/html; charset=utf-8".to_owned(),
            Content::Text => format!("{}; charset=utf-8", empty.response.mime),
        };
        Ok(Shown { url, body: dom.body, body_type, screenshot, ..empty })
    }

    async fn screenshot(&mut self) -> Result<Bytes, Failure> {
        let params = CaptureScreenshotParams::builder().format(CaptureScreenshotFormat::Png).build();
        let answer =
            self.page.execute(params).await.map_err(|_| Failure::Ours("no screenshot can be taken"))?;
        let png = BASE64_STANDARD.decode(&answer.result.data);
        png.map(Bytes::from).map_err(|_| Failure::Ours("no screenshot can be taken"))
    }

    /// Evaluates in a world of our own, where the page has redefined nothing.
    async fn evaluate<T: for<'de> Deserialize<'de>>(&mut self, expression: &str) -> Option<T> {
        let mut world = CreateIsolatedWorldParams::new(self.frame.clone());
        world.world_name = Some("crawlmesh".to_owned());
        let context = self.page.execute(world).await.ok()?.result.execution_context_id;
        let mut evaluate = EvaluateParams::new(expression);
        evaluate.context_id = Some(context);
        evaluate.return_by_value = Some(true);
        let answer = self.page.execute(evaluate).await.ok()?;
        serde_json::from_value(answer.result.result.value?).ok()
    }
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

/// The state of the work on one page.
struct Visit {
    progress: Progress,
    /// Whether chromiumoxide still waits for the load event.
    loading: bool,
    /// Whether the page was asked if it is inert.
    probed: bool,
    /// The DOM, if it is.
    inert: Option<Dom>,
    dialogs: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// What a page leaves behind in its tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftover {
    /// Nothing that could run on: the next page may follow at once.
    Inert,
    /// Scripts that may run on until the tab is made blank.
    Alive,
    /// A tab that is of no use any more.
    Unusable,
}
