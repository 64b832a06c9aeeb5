//! One browser: its process, its connection, its filter proxy, its contexts, and the watch over them.
//!
//! Promises: whatever ends it (its own death, a hang, memory, age, a kill), its pages hear of it at once through `dead`, and
//! when its watch returns neither process nor profile is left.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::target::{CloseTargetParams, GetTargetsParams, TargetId};
use chromiumoxide::handler::{Handler, HandlerConfig};
use domain::PageUrl;
use egress::{FetchError, FilterProxy, Guard, Relay};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Config;
use super::chromium::Chromium;
use super::context::{Contexts, Owner};
use super::keeper::Watch;
use super::lease::Lease;
use super::process::{self, Process};
use super::tab::{Leftover, Tab};

/// How long one answer to "are you alive" may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a tab may take to open.
pub(super) const TAB_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a tab may take to close before its renderer is killed, and then before the browser is.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a page may run on in a tab that waits for the next one.
const LINGER: Duration = Duration::from_millis(250);
const CLOSE_POLL: Duration = Duration::from_millis(20);
/// A browser that is retired finishes its pages, but not for longer than the longest page takes.
const RETIRE_TIMEOUT: Duration = Duration::from_secs(310);

/// What browsers are started with.
pub(super) struct Plan {
    pub(super) chromium: Chromium,
    pub(super) config: Config,
    pub(super) proxy: egress::proxy::Config,
    pub(super) guard: Guard,
    pub(super) user_agent: String,
    pub(super) work_dir: PathBuf,
}

/// A running browser.
pub(super) struct Browser {
    pub(super) cdp: chromiumoxide::Browser,
    proxy: FilterProxy,
    pub(super) contexts: Contexts,
    /// Its process id.
    pub(super) pid: u32,
    /// When it began to take pages: a spare one does not age.
    since: OnceLock<Instant>,
    max_pages: u32,
    max_age: Duration,
    pages: AtomicU32,
    running: AtomicUsize,
    rested: Notify,
    pub(super) grown: AtomicBool,
    /// Fires when it is over.
    pub(super) dead: CancellationToken,
    pub(super) kill: CancellationToken,
    retire: CancellationToken,
}

impl Browser {
    /// Starts a browser and the watch over it, unless `closed` fires. Is not to be dropped half-way.
    pub(super) async fn launch(
        plan: &Plan,
        closed: &CancellationToken,
    ) -> Result<(Arc<Self>, Watch), String> {
        let proxy = FilterProxy::start(plan.guard.clone(), &plan.proxy).await;
        let proxy = proxy.map_err(|error| format!("the filter proxy cannot start: {}", error.kind()))?;
        let profile = process::new_profile(&plan.work_dir).map_err(|error| {
            format!("no profile can be made in {}: {}", plan.work_dir.display(), error.kind())
        })?;
        let arguments = plan.chromium.arguments(&plan.config, &plan.user_agent, &profile, proxy.addr);
        let mut process = match Process::start(&plan.chromium.path, &arguments, profile.clone()) {
            Ok(process) => process,
            Err(error) => {
                process::remove_profile(&profile).await;
                return Err(format!("Chromium cannot be started: {}", error.kind()));
            }
        };
        let connected = closed.run_until_cancelled(connect(&mut process, plan.config.launch_timeout)).await;
        match connected.unwrap_or_else(|| Err("the crawler shuts down".to_owned())) {
            Ok((cdp, handler)) => Ok(Self::assemble(plan, cdp, handler, proxy, process)),
            Err(why) => {
                process.end().await;
                Err(why)
            }
        }
    }

    fn assemble(
        plan: &Plan,
        cdp: chromiumoxide::Browser,
        handler: Handler,
        proxy: FilterProxy,
        process: Process,
    ) -> (Arc<Self>, Watch) {
        let config = &plan.config;
        // Browsers that were born together must not all be replaced together.
        let jitter = rand::random_range(0.8..1.2);
        let browser = Arc::new(Self {
            cdp,
            proxy,
            contexts: Contexts::new(plan.guard.clone(), plan.proxy.clone()),
            pid: process.pid,
            since: OnceLock::new(),
            max_pages: ((f64::from(config.max_pages_per_browser) * jitter) as u32).max(1),
            max_age: config.max_browser_age.mul_f64(jitter),
            pages: AtomicU32::new(0),
            running: AtomicUsize::new(0),
            rested: Notify::new(),
            grown: AtomicBool::new(false),
            dead: CancellationToken::new(),
            kill: CancellationToken::new(),
            retire: CancellationToken::new(),
        });
        let watch = Watch::new(browser.clone(), process, handler, config.clone());
        (browser, watch)
    }

    /// Why it should take no more pages.
    pub(super) fn spent(&self) -> Option<&'static str> {
        if self.dead.is_cancelled() || self.kill.is_cancelled() {
            return Some("died");
        }
        if self.retire.is_cancelled() {
            return Some("retired");
        }
        if self.pages.load(Ordering::Relaxed) >= self.max_pages {
            return Some("pages");
        }
        if self.since.get().is_some_and(|since| since.elapsed() >= self.max_age) {
            return Some("age");
        }
        self.grown.load(Ordering::Relaxed).then_some("memory")
    }

    /// It takes pages from now on.
    pub(super) fn serve(&self) {
        self.since.get_or_init(Instant::now);
    }

    /// Lets it finish its pages and end.
    pub(super) fn retire(&self) {
        self.retire.cancel();
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        self.kill.cancel();
    }

    /// Pages that have a tab, or wait for one.
    #[cfg(test)]
    pub(super) fn busy(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// Why the last connection to the host of `url` failed, if it did; `own`: the filter proxy of the page's context, if it
    /// has one.
    pub(super) fn failure(&self, own: Option<&FilterProxy>, url: &str) -> Option<FetchError> {
        own.unwrap_or(&self.proxy).failure(&PageUrl::parse(url).ok()?)
    }

    /// A tab for a page of the owner. The browser is not ended by retirement before it is given back.
    pub(super) async fn lease(
        self: &Arc<Self>,
        owner: Owner,
        relay: Option<Relay>,
    ) -> Result<Lease, &'static str> {
        let (opened, open) = oneshot::channel();
        let browser = self.clone();
        // In a task of its own: whoever waits may be dropped, and a tab that is half open then would have no owner.
        mesh::spawn("open tab", async move {
            let _ = opened.send(browser.open(owner, relay).await);
        })
        .detach();
        open.await.unwrap_or(Err("a tab cannot be opened"))
    }

    async fn open(self: &Arc<Self>, owner: Owner, relay: Option<Relay>) -> Result<Lease, &'static str> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::SeqCst);
        let mut lease = Lease::new(self.clone(), owner);
        let tab = tokio::select! {
            tab = timeout(TAB_TIMEOUT, self.contexts.take(&self.cdp, owner, relay.as_ref())) => tab,
            () = self.dead.cancelled() => return Err("the browser died"),
        };
        match tab {
            Ok(Ok(tab)) => {
                lease.hold(tab);
                Ok(lease)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a tab cannot be opened");
                self.kill();
                Err("a tab cannot be opened")
            }
            Err(_) => {
                tracing::warn!("a tab does not open in time");
                self.kill();
                Err("a tab does not open in time")
            }
        }
    }

    /// Closes a tab; a renderer that hangs is killed, and with it the browser if even that does not help.
    pub(super) async fn close(&self, mut tab: Tab) {
        let target = tab.target();
        let _ = timeout(CLOSE_TIMEOUT, self.cdp.execute(CloseTargetParams::new(target.clone()))).await;
        if self.gone(&target).await {
            return;
        }
        let _ = timeout(CLOSE_TIMEOUT, tab.crash()).await;
        let _ = timeout(CLOSE_TIMEOUT, self.cdp.execute(CloseTargetParams::new(target.clone()))).await;
        if !self.gone(&target).await && !self.dead.is_cancelled() {
            tracing::warn!("a tab does not close, its browser is killed");
            self.kill();
        }
    }

    async fn gone(&self, target: &TargetId) -> bool {
        let check = async {
            loop {
                let targets = self.cdp.execute(GetTargetsParams::default()).await;
                match targets {
                    Ok(targets)
                        if targets.result.target_infos.iter().all(|info| info.target_id != *target) =>
                    {
                        return true;
                    }
                    Ok(_) => sleep(CLOSE_POLL).await,
                    Err(_) => return false,
                }
            }
        };
        timeout(CLOSE_TIMEOUT, check).await.unwrap_or(false)
    }

    /// Puts an end to the pages that run on in tabs that nobody has asked for.
    pub(super) async fn calm(self: &Arc<Self>) {
        for (owner, tab) in self.contexts.unattended(LINGER).await {
            self.running.fetch_add(1, Ordering::SeqCst);
            let mut lease = Lease::new(self.clone(), owner);
            lease.hold(tab);
            lease.end(Leftover::Touched).await;
        }
    }

    /// A tab that was leased is no more in use.
    pub(super) fn rest(&self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.rested.notify_waiters();
    }

    /// Whether it answers.
    pub(super) async fn alive(&self) -> bool {
        matches!(timeout(HEALTH_TIMEOUT, self.cdp.version()).await, Ok(Ok(_)))
    }

    /// Waits until it is retired and has finished its pages.
    pub(super) async fn finished(&self) {
        self.retire.cancelled().await;
        let rested = async {
            loop {
                let notified = self.rested.notified();
                if self.running.load(Ordering::SeqCst) == 0 {
                    return;
                }
                notified.await;
            }
        };
        let _ = timeout(RETIRE_TIMEOUT, rested).await;
    }
}

async fn connect(
    process: &mut Process,
    limit: Duration,
) -> Result<(chromiumoxide::Browser, Handler), String> {
    let deadline = Instant::now() + limit;
    let url = process.devtools(limit).await?;
    let config = HandlerConfig {
        ignore_https_errors: false,
        viewport: None,
        request_timeout: Duration::from_secs(30),
        ..HandlerConfig::default()
    };
    match tokio::time::timeout_at(deadline, chromiumoxide::Browser::connect_with_config(url, config)).await {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(_)) => Err("Chromium's DevTools cannot be reached".to_owned()),
        Err(_) => Err("Chromium did not start in time".to_owned()),
    }
}
