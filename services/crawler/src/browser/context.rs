//! The browser contexts of one browser: one for each job, so that no cookie, cache or storage passes from job to job, and one for each
//! page that is read in a session.
//!
//! Promises: pages of one job share a context while the browser lives, those of a session share none; a context without pages is
//! disposed of after `context_idle`, and earlier when there are too many.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::browser::{
    BrowserContextId, SetDownloadBehaviorBehavior, SetDownloadBehaviorParams,
};
use chromiumoxide::cdp::browser_protocol::target::CreateBrowserContextParams;
use chromiumoxide::error::CdpError;
use domain::JobId;
use egress::{FilterProxy, Guard, Relay};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::tab::{Home, Tab};
use crate::fetch::Order;

/// Contexts without pages that are kept at most.
const MAX_IDLE_CONTEXTS: usize = 8;
/// Without it Chromium reaches localhost and link-local addresses directly.
const BYPASS_NOTHING: &str = "<-loopback>";

/// Whose a context is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Owner {
    /// The pages of a job.
    Job(JobId),
    /// One page: what it changes of its session must be told from what others change at the same time.
    Page(Uuid),
}

impl Owner {
    /// The owner of the context for a page.
    pub(super) fn of(order: &Order) -> Self {
        if order.session.is_some() { Self::Page(Uuid::now_v7()) } else { Self::Job(order.job) }
    }
}

/// The contexts of one browser.
pub(super) struct Contexts {
    known: Mutex<HashMap<Owner, Context>>,
    guard: Guard,
    proxy: egress::proxy::Config,
}

struct Context {
    home: Home,
    idle: Vec<Tab>,
    in_use: usize,
    last_used: Instant,
}

impl Contexts {
    /// No contexts yet. Those of jobs with a proxy of their own get a filter proxy of their own, which has this guard.
    pub(super) fn new(guard: Guard, proxy: egress::proxy::Config) -> Self {
        Self { known: Mutex::default(), guard, proxy }
    }

    /// A tab in the owner's context, whose traffic goes through `relay`. Give it back with
    /// [`Contexts::give_back`], or say that it is [`Contexts::lost`].
    pub(super) async fn take(
        &self,
        cdp: &chromiumoxide::Browser,
        owner: Owner,
        relay: Option<&Relay>,
    ) -> Result<Tab, CdpError> {
        let home = {
            let mut contexts = self.known.lock().await;
            let context = match contexts.entry(owner) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Context {
                    home: self.home(cdp, relay).await?,
                    idle: Vec::new(),
                    in_use: 0,
                    last_used: Instant::now(),
                }),
            };
            context.in_use += 1;
            if let Some(tab) = context.idle.pop() {
                return Ok(tab);
            }
            context.home.clone()
        };
        let tab = Tab::open(cdp, home).await;
        if tab.is_err() {
            self.lost(cdp, owner).await;
        }
        tab
    }

    async fn home(&self, cdp: &chromiumoxide::Browser, relay: Option<&Relay>) -> Result<Home, CdpError> {
        let proxy = match relay {
            None => None,
            Some(relay) => {
                let (guard, config) = (self.guard.clone(), &self.proxy);
                Some(Arc::new(FilterProxy::start_behind(Some(relay.clone()), guard, config).await?))
            }
        };
        let id = create(cdp, proxy.as_deref()).await?;
        Ok(Home { id, ready: Arc::default(), jar_seen: Arc::default(), proxy })
    }

    /// The tab waits for the job's next page.
    pub(super) async fn give_back(&self, owner: Owner, tab: Tab) {
        if let Some(context) = self.known.lock().await.get_mut(&owner) {
            context.idle.push(tab);
            context.rest();
        }
    }

    /// Tabs that nobody has asked for, in which pages run on for `linger` already. They count as in use again.
    pub(super) async fn unattended(&self, linger: Duration) -> Vec<(Owner, Tab)> {
        let mut tabs = Vec::new();
        for (owner, context) in &mut *self.known.lock().await {
            let over = |tab: &mut Tab| tab.alive.is_some_and(|since| since.elapsed() >= linger);
            let found = context.idle.extract_if(.., over).map(|tab| (*owner, tab));
            let before = tabs.len();
            tabs.extend(found);
            context.in_use += tabs.len() - before;
        }
        tabs
    }

    /// A tab of the owner's is gone. A context of one page goes with it.
    pub(super) async fn lost(&self, cdp: &chromiumoxide::Browser, owner: Owner) {
        let over = {
            let mut contexts = self.known.lock().await;
            match owner {
                Owner::Page(_) => contexts.remove(&owner),
                Owner::Job(_) => {
                    if let Some(context) = contexts.get_mut(&owner) {
                        context.rest();
                    }
                    None
                }
            }
        };
        if let Some(context) = over {
            // If it fails the browser is broken, and its health check will find that out.
            let _ = cdp.dispose_browser_context(context.home.id).await;
        }
    }

    /// Disposes of the contexts that nobody has used for `idle`, and of the oldest if too many are unused.
    pub(super) async fn sweep(&self, cdp: &chromiumoxide::Browser, idle: Duration) {
        let now = Instant::now();
        let mut disposed = Vec::new();
        {
            let mut contexts = self.known.lock().await;
            let mut unused: Vec<(Instant, Owner)> = contexts
                .iter()
                .filter(|(_, c)| c.in_use == 0)
                .map(|(owner, c)| (c.last_used, *owner))
                .collect();
            unused.sort_unstable();
            let excess = unused.len().saturating_sub(MAX_IDLE_CONTEXTS);
            for (place, (last_used, owner)) in unused.into_iter().enumerate() {
                if (place < excess || now - last_used >= idle)
                    && let Some(context) = contexts.remove(&owner)
                {
                    disposed.push(context.home.id);
                }
            }
        }
        for id in disposed {
            // If it fails the browser is broken, and its health check will find that out.
            let _ = cdp.dispose_browser_context(id).await;
        }
    }
}

impl Context {
    fn rest(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
        self.last_used = Instant::now();
    }
}

/// A new context, behind `proxy` if it has one of its own and else behind that of the browser.
async fn create(
    cdp: &chromiumoxide::Browser,
    proxy: Option<&FilterProxy>,
) -> Result<BrowserContextId, CdpError> {
    let behind = CreateBrowserContextParams {
        proxy_server: proxy.map(|proxy| format!("http://{}", proxy.addr)),
        proxy_bypass_list: proxy.map(|_| BYPASS_NOTHING.to_owned()),
        ..CreateBrowserContextParams::default()
    };
    let id = cdp.create_browser_context(behind).await?;
    let mut downloads = SetDownloadBehaviorParams::new(SetDownloadBehaviorBehavior::Deny);
    downloads.browser_context_id = Some(id.clone());
    cdp.execute(downloads).await?;
    Ok(id)
}
