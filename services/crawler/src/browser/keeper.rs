//! The watch over one browser: it notices its death, its silence, its growth, and cleans up behind it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::target::{CloseTargetParams, EventTargetCreated};
use chromiumoxide::handler::Handler;
use futures::StreamExt;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::instance::{Browser, CLOSE_TIMEOUT, TAB_TIMEOUT};
use super::process::Process;
use super::{Config, proc};
use crate::metrics;

/// How often contexts are swept.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The watch over one browser.
pub(super) struct Watch {
    browser: Arc<Browser>,
    process: Process,
    handler: Handler,
    config: Config,
}

impl Watch {
    /// A watch that has to be run.
    pub(super) fn new(browser: Arc<Browser>, process: Process, handler: Handler, config: Config) -> Self {
        Self { browser, process, handler, config }
    }

    /// Runs until the browser has ended and nothing of it is left. Returns why it ended.
    pub(super) async fn run(self) -> &'static str {
        let Self { browser, mut process, mut handler, config } = self;
        let sandbox = config.sandbox;
        metrics::browsers(1, sandbox);
        // The handler has to be polled all the time, or everything hangs; its first error is the end of the connection.
        let connection =
            mesh::spawn(
                "browser connection",
                async move { while let Some(Ok(())) = handler.next().await {} },
            );
        let why = tokio::select! {
            () = process.ended() => "died",
            _ = connection => "died",
            () = unhealthy(&browser, &config) => "hung",
            () = browser.kill.cancelled() => "killed",
            () = browser.finished() => "retired",
            () = tidy(&browser, &config) => "died",
        };
        browser.dead.cancel();
        process.end().await;
        metrics::browsers(-1, sandbox);
        why
    }
}

/// Returns when the browser does not answer twice in a row.
async fn unhealthy(browser: &Browser, config: &Config) {
    let mut tick = interval(config.health_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if !browser.alive().await && !browser.alive().await {
            tracing::warn!(pid = browser.pid, "a browser does not answer");
            return;
        }
        let pid = browser.pid;
        let memory = tokio::task::spawn_blocking(move || proc::group_memory(pid)).await.unwrap_or_default();
        if memory > config.max_browser_memory {
            browser.grown.store(true, Ordering::Relaxed);
        }
    }
}

/// Disposes of idle contexts, calms idle tabs and closes what pages open beside themselves. Returns when the browser is gone.
async fn tidy(browser: &Arc<Browser>, config: &Config) {
    let Ok(mut created) = browser.cdp.event_listener::<EventTargetCreated>().await else { return };
    let mut tick = interval(SWEEP_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = created.next() => {
                let Some(event) = event else { return };
                let info = &event.target_info;
                if info.opener_id.is_some() && info.r#type == "page" {
                    let close = CloseTargetParams::new(info.target_id.clone());
                    let _ = timeout(CLOSE_TIMEOUT, browser.cdp.execute(close)).await;
                }
            }
            _ = tick.tick() => {
                browser.calm().await;
                let _ = timeout(TAB_TIMEOUT, browser.contexts.sweep(&browser.cdp, config.context_idle)).await;
            }
        }
    }
}
