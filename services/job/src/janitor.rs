//! The janitor: deletes what is too old, a little at a time.

use std::time::Duration;

use mesh::Shutdown;
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error, info};

use crate::{
    metrics,
    store::{Ages, Store},
};

/// `[janitor]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Janitor {
    /// How often it looks.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Rows that one transaction deletes.
    pub batch: u64,
    /// Ended jobs go after this.
    #[serde(with = "humantime_serde")]
    pub job_retention: Duration,
    /// Events of ended jobs go after this.
    #[serde(with = "humantime_serde")]
    pub event_retention: Duration,
    /// Hosts that were not visited for so long are forgotten.
    #[serde(with = "humantime_serde")]
    pub host_retention: Duration,
    /// Request ids are forgotten after this.
    #[serde(with = "humantime_serde")]
    pub request_id_retention: Duration,
}

/// Sweeps until the shutdown begins.
pub(crate) async fn run(store: Store, config: Janitor, shutdown: Shutdown) {
    let mut round = interval(config.interval);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = round.tick() => {}
        }
        let now = mesh::clock::now();
        let ages = Ages {
            jobs: now - config.job_retention,
            events: now - config.event_retention,
            hosts: now - config.host_retention,
            request_ids: now - config.request_id_retention,
        };
        let mut rows = 0;
        while !shutdown.has_begun() {
            match store.sweep(ages, config.batch).await {
                Ok(0) => break,
                Ok(swept) => rows += swept,
                Err(error) if error.unavailable() => {
                    debug!(%error, "the sweep waits for the job store");
                    break;
                }
                Err(error) => {
                    error!(error = ?error, "the sweep failed");
                    break;
                }
            }
        }
        if rows > 0 {
            metrics::swept(rows);
            info!(rows, "old rows were deleted");
        }
    }
}
