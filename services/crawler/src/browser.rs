//! The browser lane: headless Chromium, pooled. A browser is the unit of failure, a context the unit of tenancy (one for
//! each job), a tab the unit of work.
//!
//! Promises: all its traffic goes through the filter proxy of libs/egress; a page has its answer by its deadline whatever
//! it does; a browser that dies, hangs, grows or ages is replaced; no process and no profile outlives its browser. Only
//! this folder knows chromiumoxide.

mod ads;
mod bare;
mod block;
mod capture;
mod chromium;
mod context;
mod cookies;
mod events;
mod frames;
mod har;
mod instance;
mod keeper;
mod lease;
mod net_error;
pub(crate) mod options;
mod pool;
mod prepare;
mod proc;
mod process;
mod progress;
mod record;
mod session;
mod shown;
mod steps;
mod tab;
#[cfg(test)]
mod tests;
mod visit;
mod world;

pub use ads::find_ad_lists;
pub use chromium::find_chromium;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;
use tokio::sync::watch;

pub(crate) use pool::Pool;

/// `[browser]`; the keys are explained in config.default.toml.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether this crawler renders pages at all.
    pub enabled: bool,
    /// Path of Chromium; empty: the usual places.
    pub executable: PathBuf,
    /// Whether Chromium's own sandbox is on.
    pub sandbox: bool,
    /// Whether frames of other sites get processes of their own.
    pub isolate_sites: bool,
    /// Pages rendered at the same time.
    pub slots: usize,
    /// Where profiles are kept; empty: under the system's temporary folder.
    pub work_dir: PathBuf,
    /// Pages after which a browser is replaced.
    pub max_pages_per_browser: u32,
    /// Age after which a browser is replaced.
    #[serde(with = "humantime_serde")]
    pub max_browser_age: Duration,
    /// Memory of its processes after which a browser is replaced.
    pub max_browser_memory: ByteSize,
    /// Browsers that are kept started beside the one that takes pages: 0 or 1.
    pub spare: usize,
    /// From starting Chromium to its first answer.
    #[serde(with = "humantime_serde")]
    pub launch_timeout: Duration,
    /// How often a browser is asked whether it is alive.
    #[serde(with = "humantime_serde")]
    pub health_interval: Duration,
    /// Width of the viewport, CSS pixels.
    pub viewport_width: u32,
    /// Height of the viewport, CSS pixels.
    pub viewport_height: u32,
    /// Silence on the network after which a page has settled.
    #[serde(with = "humantime_serde")]
    pub quiet: Duration,
    /// Time from parsing after which a page has settled anyway.
    #[serde(with = "humantime_serde")]
    pub settle_cap: Duration,
    /// Most bytes of the rendered page as HTML.
    pub max_dom: ByteSize,
    /// Most bytes of a screenshot, a PDF, an MHTML or a HAR of one page.
    pub max_artifact: ByteSize,
    /// Most requests of one page.
    pub max_requests: usize,
    /// Frames of other origins that are read into one page.
    pub max_frames: usize,
    /// How deep such frames may stand in one another.
    pub max_frame_depth: usize,
    /// Most bytes of all such frames of one page as HTML.
    pub max_frame_bytes: ByteSize,
    /// How long such a frame is waited for, each time it is asked for something.
    #[serde(with = "humantime_serde")]
    pub frame_timeout: Duration,
    /// How long all such frames of one page may take.
    #[serde(with = "humantime_serde")]
    pub frames_timeout: Duration,
    /// Lists of ads; empty: those in the usual places.
    pub ad_lists: Vec<PathBuf>,
    /// Most bytes of them together.
    pub max_ad_lists: ByteSize,
    /// How long a job's context is kept for its next page.
    #[serde(with = "humantime_serde")]
    pub context_idle: Duration,
}

impl Config {
    /// Every problem of these settings: the key and what is wrong with it.
    pub(crate) fn check(&self) -> Vec<(&'static str, &'static str)> {
        let pixels = 16..=4096;
        let rules = [
            (!(1..=64).contains(&self.slots), "slots", "must be from 1 to 64"),
            (self.max_pages_per_browser == 0, "max_pages_per_browser", "must be at least 1"),
            (self.max_browser_age < Duration::from_secs(1), "max_browser_age", "must be at least 1s"),
            (self.max_browser_memory < ByteSize::mib(256), "max_browser_memory", "must be at least 256MiB"),
            (self.spare > 1, "spare", "must be 0 or 1"),
            (self.launch_timeout < Duration::from_millis(100), "launch_timeout", "must be at least 100ms"),
            (self.health_interval < Duration::from_millis(100), "health_interval", "must be at least 100ms"),
            (!pixels.contains(&self.viewport_width), "viewport_width", "must be from 16 to 4096"),
            (!pixels.contains(&self.viewport_height), "viewport_height", "must be from 16 to 4096"),
            (self.settle_cap < self.quiet, "settle_cap", "must be at least browser.quiet"),
            (self.max_dom < ByteSize::kib(1), "max_dom", "must be at least 1KiB"),
            (self.max_artifact < ByteSize::kib(64), "max_artifact", "must be at least 64KiB"),
            (self.max_frames > 1000, "max_frames", "must be at most 1000"),
            (self.max_frame_depth > 20, "max_frame_depth", "must be at most 20"),
            (
                self.frames_timeout < self.frame_timeout,
                "frames_timeout",
                "must be at least browser.frame_timeout",
            ),
            (self.max_requests == 0, "max_requests", "must be at least 1"),
            (self.max_ad_lists > ByteSize::mib(256), "max_ad_lists", "must be at most 256MiB"),
        ];
        rules.iter().filter(|(broken, ..)| *broken).map(|&(_, key, problem)| (key, problem)).collect()
    }
}

/// Whether a lane works: what it runs, or why it does not. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Availability(watch::Receiver<Result<String, String>>);

impl Availability {
    /// Always the same.
    pub(crate) fn fixed(state: Result<String, String>) -> Self {
        Self(watch::channel(state).1)
    }

    fn following(state: &watch::Sender<Result<String, String>>) -> Self {
        Self(state.subscribe())
    }

    /// As it is now.
    pub(crate) fn state(&self) -> Result<String, String> {
        self.0.borrow().clone()
    }

    /// Waits until the lane works; for ever, if it never will.
    pub(crate) async fn wait(&self) {
        if self.0.clone().wait_for(Result::is_ok).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
