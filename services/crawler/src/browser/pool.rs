//! The pool: one browser that takes pages, a spare one to take its place, and those before it that finish theirs.
//!
//! Promises: a browser that died is replaced at once, by the spare one without waiting for a start; one that cannot be started is
//! tried again with back-off and the lane says so meanwhile; at the end no browser is left.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use bytesize::ByteSize;
use egress::Guard;
use tokio::sync::{Mutex, Notify, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ads::{Ads, Rules};
use super::chromium::Chromium;
use super::context::Owner;
use super::frames;
use super::instance::{Browser, Plan};
use super::keeper::Watch;
use super::lease::Lease;
use super::progress::Limits;
use super::shown::Shown;
use super::tab::{Bounds, Leftover};
use super::{Availability, Config, proc, process};
use crate::cookies::Jars;
use crate::fetch::{Failure, Fetch, Fetched, Order};
use crate::metrics;

/// Pause after a failed start; it doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// How long browsers may take to go at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

/// The browsers of this crawler. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    plan: Plan,
    /// What the browsers call themselves.
    agent: String,
    limits: Limits,
    /// The cookies of jobs, which the HTTP lane has, too.
    jars: Jars,
    /// What is an ad.
    ads: Ads,
    current: Mutex<Current>,
    state: watch::Sender<Result<String, String>>,
    watches: TaskTracker,
    /// Held while a browser is started, and taken before `current`: a spare one on its way is here sooner than another.
    starting: Mutex<()>,
    /// There was a first page.
    used: CancellationToken,
    /// The spare browser has become the one that takes pages.
    taken: Notify,
    closed: CancellationToken,
}

#[derive(Default)]
struct Current {
    browser: Option<Arc<Browser>>,
    /// Started, and given no page yet.
    spare: Option<Arc<Browser>>,
    /// After a failed start: not again before then.
    wait_until: Option<Instant>,
    pause: Duration,
}

impl Pool {
    /// A pool, if there is a Chromium to fill it with; otherwise why not. Ends what a crawler before left behind, and
    /// starts the first browser in the background.
    pub(crate) async fn start(
        config: &Config,
        proxy: &egress::proxy::Config,
        guard: Guard,
        user_agent: &str,
        max_redirects: usize,
        jars: Jars,
    ) -> Result<Self, String> {
        let chromium = Chromium::find(config, proc::root()).await?;
        let work_dir: PathBuf = process::prepare_work_dir(&config.work_dir)
            .map_err(|error| format!("browser.work_dir cannot be used: {}", error.kind()))?;
        let reaped = process::reap(&work_dir).await;
        if reaped > 0 {
            tracing::warn!(browsers = reaped, "browsers of a crawler that died were ended");
        }
        let limits = Limits {
            quiet: config.quiet,
            settle_cap: config.settle_cap,
            max_requests: config.max_requests,
            max_redirects,
        };
        // Until the first start has failed, pages may count on it.
        let state = watch::Sender::new(Ok(chromium.detail()));
        let agent = chromium.user_agent(user_agent);
        let plan = Plan {
            chromium,
            config: config.clone(),
            proxy: proxy.clone(),
            guard,
            user_agent: user_agent.to_owned(),
            work_dir,
        };
        let pool = Self(Arc::new(Inner {
            plan,
            agent,
            limits,
            jars,
            ads: Ads::find(config),
            current: Mutex::default(),
            state,
            watches: TaskTracker::new(),
            starting: Mutex::default(),
            used: CancellationToken::new(),
            taken: Notify::new(),
            closed: CancellationToken::new(),
        }));
        let keeper = pool.clone();
        let closed = pool.0.closed.clone();
        mesh::spawn("browser keeper", async move {
            closed.run_until_cancelled(keeper.keep()).await;
        })
        .detach();
        if config.spare > 0 {
            let keeper = pool.clone();
            mesh::spawn("spare browser keeper", async move { keeper.keep_spare().await }).detach();
        }
        Ok(pool)
    }

    /// Whether it works.
    pub(crate) fn availability(&self) -> Availability {
        Availability::following(&self.0.state)
    }

    /// What it knows of ads.
    pub(crate) fn ads_note(&self) -> String {
        self.0.ads.note()
    }

    /// Ends all browsers, and returns when their processes and profiles are gone.
    pub(crate) async fn close(&self) {
        self.0.closed.cancel();
        {
            let mut current = self.0.current.lock().await;
            for browser in [current.browser.take(), current.spare.take()].into_iter().flatten() {
                browser.kill();
            }
        }
        self.0.watches.close();
        if timeout(CLOSE_TIMEOUT, self.0.watches.wait()).await.is_err() {
            tracing::error!("browsers do not end");
        }
    }

    /// Keeps a browser ready: the first page should not wait for its start, nor the next one after a crash.
    async fn keep(&self) {
        loop {
            match self.browser().await {
                Ok(browser) => browser.dead.cancelled().await,
                Err(_) => sleep(FIRST_PAUSE).await,
            }
        }
    }

    /// Keeps a spare browser, from the first page on: a crawler that renders nothing needs none. Returns when the pool is
    /// closed.
    async fn keep_spare(&self) {
        let Inner { used, taken, closed, .. } = &*self.0;
        tokio::select! {
            () = used.cancelled() => {}
            () = closed.cancelled() => return,
        }
        let mut pause = FIRST_PAUSE;
        // A start takes a core for a moment: the page that the last spare one was taken for needs it more.
        while closed.run_until_cancelled(sleep(pause)).await.is_some() {
            if let Some(spare) = self.add_spare().await {
                pause = FIRST_PAUSE;
                tokio::select! {
                    () = spare.dead.cancelled() => {}
                    () = taken.notified() => {}
                    () = closed.cancelled() => {}
                }
            } else {
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }

    /// The spare browser, started if there is none. Pages go to the other one meanwhile.
    async fn add_spare(&self) -> Option<Arc<Browser>> {
        let _turn = self.0.starting.lock().await;
        let spare = self.0.current.lock().await.spare.clone();
        if let Some(spare) = spare.filter(|spare| spare.spent().is_none()) {
            return Some(spare);
        }
        let started = self.launch().await.inspect_err(|why| {
            tracing::warn!(problem = why.as_str(), "a spare browser cannot be started");
        });
        let browser = started.ok()?;
        let mut current = self.0.current.lock().await;
        if self.0.closed.is_cancelled() {
            browser.kill();
            return None;
        }
        if let Some(before) = current.spare.replace(browser.clone()) {
            before.kill();
        }
        Some(browser)
    }

    /// Starts a browser, and the watch over it. In a task of its own: whoever waits may be dropped, and a browser that is
    /// half started would have no owner.
    async fn launch(&self) -> Result<Arc<Browser>, String> {
        let (started, start) = oneshot::channel();
        let pool = self.clone();
        let starting = self.0.watches.track_future(async move {
            let launched = Browser::launch(&pool.0.plan, &pool.0.closed).await.map(|(browser, watch)| {
                pool.watch(browser.pid, watch);
                browser
            });
            if let Err(Ok(orphan)) = started.send(launched) {
                orphan.kill();
            }
        });
        mesh::spawn("start browser", starting).detach();
        start.await.unwrap_or_else(|_| Err("Chromium cannot be started".to_owned()))
    }

    fn watch(&self, pid: u32, watch: Watch) {
        let watched = self.0.watches.track_future(async move {
            let why = watch.run().await;
            tracing::info!(pid, why, "browser ended");
        });
        mesh::spawn("browser", watched).detach();
        tracing::info!(pid, "browser started");
    }

    /// The browser that takes pages; the spare or a new one if the one before is spent.
    pub(super) async fn browser(&self) -> Result<Arc<Browser>, &'static str> {
        if let Some(browser) = self.ready(&mut *self.0.current.lock().await)? {
            return Ok(browser);
        }
        let _turn = self.0.starting.lock().await;
        let mut current = self.0.current.lock().await;
        if let Some(browser) = self.ready(&mut current)? {
            return Ok(browser);
        }
        if current.wait_until.is_some_and(|until| until > Instant::now()) {
            return Err("Chromium cannot be started");
        }
        match self.launch().await {
            Ok(browser) => Ok(self.take_on(&mut current, browser)),
            Err(why) => {
                tracing::warn!(problem = why, "a browser cannot be started");
                current.pause = (current.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
                current.wait_until = Some(Instant::now() + current.pause);
                let _before = self.0.state.send_replace(Err(why));
                Err("Chromium cannot be started")
            }
        }
    }

    /// The browser that takes pages, if one may; the spare one if the one before is spent.
    fn ready(&self, current: &mut Current) -> Result<Option<Arc<Browser>>, &'static str> {
        if self.0.closed.is_cancelled() {
            return Err("the crawler shuts down");
        }
        if let Some(browser) = &current.browser {
            let Some(why) = browser.spent() else { return Ok(Some(browser.clone())) };
            metrics::recycled(why);
            browser.retire();
            current.browser = None;
        }
        let Some(spare) = current.spare.take() else { return Ok(None) };
        self.0.taken.notify_one();
        if spare.spent().is_none() {
            return Ok(Some(self.take_on(current, spare)));
        }
        spare.kill();
        Ok(None)
    }

    /// Makes it the browser that takes pages.
    fn take_on(&self, current: &mut Current, browser: Arc<Browser>) -> Arc<Browser> {
        browser.serve();
        *current =
            Current { browser: Some(browser.clone()), spare: current.spare.take(), ..Current::default() };
        let _before = self.0.state.send_replace(Ok(self.0.plan.chromium.detail()));
        browser
    }

    /// The process id of the spare browser, if it can be used.
    #[cfg(test)]
    pub(super) async fn spare_pid(&self) -> Option<u32> {
        let spare = self.0.current.lock().await.spare.clone();
        spare.filter(|spare| spare.spent().is_none()).map(|spare| spare.pid)
    }

    /// The rules about ads, if the job wants none.
    async fn ads(&self, order: &Order) -> Result<Option<Arc<Rules>>, Failure> {
        if !order.browser.block.ads {
            return Ok(None);
        }
        let rules = timeout_at(order.deadline, self.0.ads.rules()).await;
        let rules = rules.map_err(|_| Failure::Late("lists of ads"))?;
        rules.map(Some).map_err(|why| Failure::Asked(format!("block.ads: {why}")))
    }

    /// A tab for a page, and its browser. One that has just died may not be known as dead yet: nothing was asked of the site, so that
    /// another one is tried, once.
    async fn lease(&self, order: &Order) -> Result<(Arc<Browser>, Lease), &'static str> {
        let browser = self.browser().await?;
        self.0.used.cancel();
        match browser.lease(Owner::of(order), order.relay.clone()).await {
            Ok(lease) => Ok((browser, lease)),
            Err(why) if browser.spent().is_none() => Err(why),
            Err(_) => {
                let browser = self.browser().await?;
                let lease = browser.lease(Owner::of(order), order.relay.clone()).await?;
                Ok((browser, lease))
            }
        }
    }

    async fn render(&self, order: &Order) -> Result<Shown, Failure> {
        let ads = self.ads(order).await?;
        let (browser, mut lease) = self.lease(order).await.map_err(Failure::Ours)?;
        let (config, bytes) =
            (&self.0.plan.config, |size: ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX));
        let jar = if order.both_lanes && order.session.is_none() {
            Some(self.0.jars.of(order.job).await)
        } else {
            None
        };
        let bounds = Bounds {
            limits: self.0.limits,
            max_dom: bytes(config.max_dom),
            max_artifact: bytes(config.max_artifact),
            frames: frames::Limits {
                count: config.max_frames,
                depth: config.max_frame_depth,
                bytes: bytes(config.max_frame_bytes.min(config.max_dom)),
                answer: config.frame_timeout,
                total: config.frames_timeout,
            },
            endpoint: browser.cdp.websocket_address(),
            agent: &self.0.agent,
            jar: jar.as_deref(),
            ads: ads.as_ref(),
        };
        let Some(tab) = lease.tab() else { return Err(Failure::Ours("no tab")) };
        let own_proxy = tab.proxy();
        let failure = |url: &str| browser.failure(own_proxy.as_deref(), url);
        let (shown, leftover) = tokio::select! {
            biased;
            () = browser.dead.cancelled() => (Err(Failure::Ours("the browser died")), Leftover::Unusable),
            done = tab.render(&browser.cdp, order, bounds, &failure) => done,
        };
        lease.end(leftover).await;
        shown
    }
}

#[async_trait]
impl Fetch for Pool {
    async fn fetch(&self, order: &Order) -> Result<Fetched, Failure> {
        // The proxy would refuse it too, but a browser does not tell a bad name from a forbidden one.
        let (guard, host) = (&self.0.plan.guard, order.url.host());
        let port = order.url.as_url().port_or_known_default().unwrap_or(80);
        let check = async {
            match order.relay {
                Some(_) => guard.check_far(host, port).await,
                None => guard.resolve(host, port).await.map(|_| ()),
            }
        };
        timeout_at(order.deadline, check).await.map_err(|_| Failure::Late("connect"))??;
        let shown = self.render(order).await?;
        Ok(Fetched {
            status: shown.response.status,
            final_url: shown.url,
            redirects: shown.redirects,
            headers: shown.response.headers,
            content_type: Some(shown.body_type).filter(|kind| !kind.is_empty()),
            body: Bytes::from(shown.body),
            // Rendering says little about how the site answers.
            latency: None,
            wire_bytes: shown.bytes,
            artifacts: shown.artifacts,
            changes: shown.changes,
            ads_blocked: shown.ads,
        })
    }
}
