//! The browser contexts of one browser: one for each job, so that no cookie, cache or storage passes from job to job.
//!
//! Promises: pages of one job share a context while the browser lives; a context without pages is disposed of after
//! `context_idle`, and earlier when there are too many; nothing of the page before runs on in a tab that is used again.

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
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::tab::{Home, Tab};

/// Contexts without pages that are kept at most.
const MAX_IDLE_CONTEXTS: usize = 8;

/// The contexts of one browser.
#[derive(Default)]
pub(super) struct Contexts(Mutex<HashMap<JobId, Context>>);

struct Context {
    home: Home,
    idle: Vec<Tab>,
    in_use: usize,
    last_used: Instant,
}

impl Contexts {
    /// A tab in the job's context, in which nothing runs. Give it back with [`Contexts::give_back`], or say that it is [`Contexts::lost`].
    pub(super) async fn take(&self, cdp: &chromiumoxide::Browser, job: JobId) -> Result<Tab, CdpError> {
        let home = {
            let mut contexts = self.0.lock().await;
            let context = match contexts.entry(job) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Context {
                    home: Home { id: create(cdp).await?, ready: Arc::default() },
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
            self.lost(job).await;
        }
        tab
    }

    /// Nothing runs in the tab any more, and it waits for the job's next page.
    pub(super) async fn give_back(&self, job: JobId, tab: Tab) {
        if let Some(context) = self.0.lock().await.get_mut(&job) {
            context.idle.push(tab);
            context.rest();
        }
    }

    /// A tab of the job is gone.
    pub(super) async fn lost(&self, job: JobId) {
        if let Some(context) = self.0.lock().await.get_mut(&job) {
            context.rest();
        }
    }

    /// Disposes of the contexts that nobody has used for `idle`, and of the oldest if too many are unused.
    pub(super) async fn sweep(&self, cdp: &chromiumoxide::Browser, idle: Duration) {
        let now = Instant::now();
        let mut disposed = Vec::new();
        {
            let mut contexts = self.0.lock().await;
            let mut unused: Vec<(Instant, JobId)> =
                contexts.iter().filter(|(_, c)| c.in_use == 0).map(|(job, c)| (c.last_used, *job)).collect();
            unused.sort_unstable();
            let excess = unused.len().saturating_sub(MAX_IDLE_CONTEXTS);
            for (place, (last_used, job)) in unused.into_iter().enumerate() {
                if (place < excess || now - last_used >= idle)
                    && let Some(context) = contexts.remove(&job)
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

async fn create(cdp: &chromiumoxide::Browser) -> Result<BrowserContextId, CdpError> {
    let id = cdp.create_browser_context(CreateBrowserContextParams::default()).await?;
    let mut downloads = SetDownloadBehaviorParams::new(SetDownloadBehaviorBehavior::Deny);
    downloads.browser_context_id = Some(id.clone());
    cdp.execute(downloads).await?;
    Ok(id)
}
