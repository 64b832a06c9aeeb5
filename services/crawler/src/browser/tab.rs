//! One tab: opened, prepared as the job asks, lent to a visit at a time. The page of the visit before goes when the next one comes, or when
//! none comes soon.
//!
//! Promises: nothing is waited for beyond the deadline; a tab that a page may still hold is never used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::browser::BrowserContextId;
use chromiumoxide::cdp::browser_protocol::inspector;
use chromiumoxide::cdp::browser_protocol::page::{
    CrashParams, FrameId, HandleJavaScriptDialogParams, NavigateParams,
};
use chromiumoxide::cdp::browser_protocol::target::{CreateTargetParams, TargetId};
use chromiumoxide::error::CdpError;
use egress::{FilterProxy, Jar};
use futures::future::FutureExt;
use futures::stream::StreamExt;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use super::ads::Rules;
use super::cookies;
use super::events::{Events, events};
use super::frames;
use super::prepare;
use super::progress::{Event, Limits};
use super::session::{self, Begun};
use super::shown::{ProxyLog, Shown};
use super::visit::Visit;
use crate::fetch::{Failure, Order};

/// The blank page that a tab shows between two pages.
pub(super) const BLANK: &str = "about:blank";

/// How long a tab may take to become blank.
const BLANK_TIMEOUT: Duration = Duration::from_secs(2);

/// The context of a tab, and whether it holds what its job starts with.
#[derive(Clone)]
pub(super) struct Home {
    pub(super) id: BrowserContextId,
    pub(super) ready: Arc<OnceCell<()>>,
    /// The version of the job's jar that it has.
    pub(super) jar_seen: Arc<AtomicU64>,
    /// The filter proxy that it alone has; `None`: it uses that of the browser.
    pub(super) proxy: Option<Arc<FilterProxy>>,
}

/// What holds for a page beside what its job asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) limits: Limits,
    /// Most bytes of a rendered page as HTML.
    pub(super) max_dom: usize,
    /// Most bytes of what is taken of a page beside.
    pub(super) max_artifact: usize,
    /// What is read of frames of other origins.
    pub(super) frames: frames::Limits,
    /// Where the browser takes connections.
    pub(super) endpoint: &'a str,
    /// What the browser calls itself.
    pub(super) agent: &'a str,
    /// The job's cookies over plain HTTP, if its pages may come to either lane.
    pub(super) jar: Option<&'a Jar>,
    /// The rules about ads, if the job wants none.
    pub(super) ads: Option<&'a Arc<Rules>>,
}

/// A tab with the events that tell what happens in it.
pub(super) struct Tab {
    pub(super) page: Page,
    pub(super) frame: FrameId,
    pub(super) events: Events,
    home: Home,
    prepared: bool,
    /// Since when the page of the last visit may run on in it, with nobody looking.
    pub(super) alive: Option<Instant>,
}

impl Tab {
    /// Opens a blank tab.
    pub(super) async fn open(cdp: &chromiumoxide::Browser, home: Home) -> Result<Self, CdpError> {
        let mut target = CreateTargetParams::new(BLANK);
        target.browser_context_id = Some(home.id.clone());
        let page = cdp.new_page(target).await?;
        let frame = FrameId::new(page.target_id().inner().clone());
        page.execute(inspector::EnableParams::default()).await?;
        let events = events(&page, &frame).await?;
        Ok(Self { page, frame, events, home, prepared: false, alive: None })
    }

    /// The filter proxy of its context, if that has one of its own.
    pub(super) fn proxy(&self) -> Option<Arc<FilterProxy>> {
        self.home.proxy.clone()
    }

    /// Its id in the browser.
    pub(super) fn target(&self) -> TargetId {
        self.page.target_id().clone()
    }

    /// Shows the blank page, so that nothing of the page before runs on. Returns whether it does.
    pub(super) async fn blank(&mut self) -> bool {
        let navigation = self.page.execute(NavigateParams::new(BLANK));
        if !matches!(timeout(BLANK_TIMEOUT, navigation).await, Ok(Ok(_))) {
            return false;
        }
        self.alive = None;
        self.forget().await;
        true
    }

    /// Drops what happened before, but for a dialog: the page before would wait for its answer, and the next one for that page.
    async fn forget(&mut self) {
        while let Some(Some(event)) = self.events.next().now_or_never() {
            if let Event::Dialog { leaving } = event {
                let _ = self.page.execute(HandleJavaScriptDialogParams::new(leaving)).await;
            }
        }
    }

    /// Kills the renderer, even one that answers nothing any more.
    pub(super) async fn crash(&mut self) {
        let _ = self.page.execute(CrashParams::default()).await;
    }

    /// Makes the tab and its context what the job asks for, once.
    async fn prepare(
        &mut self,
        cdp: &chromiumoxide::Browser,
        order: &Order,
        bounds: Bounds<'_>,
    ) -> Result<Option<Begun>, Failure> {
        let (identity, agent) = (&order.browser.identity, bounds.agent);
        let mut begun = None;
        if let Some(state) = &order.session {
            begun = Some(session::begin(cdp, &self.home.id, state, identity).await?);
        }
        self.home.ready.get_or_try_init(|| prepare::context(cdp, &self.home.id, identity)).await?;
        if let Some(jar) = bounds.jar {
            let (seen, version) = (self.home.jar_seen.load(Ordering::Acquire), jar.version());
            if seen != version {
                cookies::give(cdp, &self.home.id, &jar.crumbs(), identity).await?;
                self.home.jar_seen.store(version, Ordering::Release);
            }
        }
        if !self.prepared {
            prepare::tab(&self.page, identity, order.browser.block, agent).await?;
            self.prepared = true;
        }
        Ok(begun)
    }

    /// Renders a page, and says what it leaves behind in the tab. `proxy` tells why a connection failed.
    pub(super) async fn render(
        &mut self,
        cdp: &chromiumoxide::Browser,
        order: &Order,
        bounds: Bounds<'_>,
        proxy: ProxyLog<'_>,
    ) -> (Result<Shown, Failure>, Leftover) {
        // One that differs from the page that is shown by its fragment alone would be taken for a place in that page, and not be asked for.
        if order.url.as_url().fragment().is_some() && !self.blank().await {
            return (Err(Failure::Ours("the tab cannot be made blank")), Leftover::Unusable);
        }
        let alive = self.alive.take().is_some();
        self.forget().await;
        let begun = match tokio::time::timeout_at(order.deadline, self.prepare(cdp, order, bounds)).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(failure)) => return (Err(failure), Leftover::Unusable),
            Err(_) => return (Err(Failure::Late("browser")), Leftover::Unusable),
        };
        let mut visit = Visit::new(self, order, bounds, proxy, alive);
        let shown = match tokio::time::timeout_at(order.deadline, visit.run()).await {
            Ok(shown) => shown,
            Err(_) => Err(visit.late()),
        };
        let leftover = match &shown {
            Ok(_) => visit.leftover(),
            Err(_) => Leftover::Unusable,
        };
        if let (Ok(shown), Some(jar)) = (&shown, bounds.jar) {
            cookies::take_back(&self.page, &shown.url, jar, order.deadline).await;
        }
        if let Some(begun) = &begun {
            let shown = match shown {
                Ok(shown) => self.leave(cdp, order, begun, shown).await,
                Err(failure) => Err(failure),
            };
            return (shown, Leftover::Unusable);
        }
        (shown, leftover)
    }

    /// Notes what the page has changed of its session.
    async fn leave(
        &mut self,
        cdp: &chromiumoxide::Browser,
        order: &Order,
        begun: &Begun,
        shown: Shown,
    ) -> Result<Shown, Failure> {
        let Some(state) = &order.session else { return Ok(shown) };
        let at = (&self.page, &self.frame);
        let changes = session::end(cdp, &self.home.id, at, state, begun, &shown);
        let changes = tokio::time::timeout_at(order.deadline, changes).await;
        Ok(Shown { changes: changes.map_err(|_| Failure::Late("session"))??, ..shown })
    }
}

/// What a page leaves behind in its tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftover {
    /// Nothing that could run on: the next page may follow at once.
    Inert,
    /// Scripts that may run on: the next page puts an end to them.
    Alive,
    /// Scripts that may run on, of a page that was touched as a user would (so that it may go where it likes), that is listened to, or that
    /// is still loading: the tab is made blank before the next page.
    Touched,
    /// A tab that is of no use any more.
    Unusable,
}
