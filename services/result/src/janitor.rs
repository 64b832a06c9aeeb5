//! The janitor: takes away documents whose time is over, and the objects that no document names.
//!
//! Promises: first the row goes, into the garbage table, then the objects, then the garbage row. Whatever is interrupted
//! is done again, so nothing is left for ever, and no reader finds a row without its objects. Any number of replicas.

use std::{sync::LazyLock, time::Duration};

use ::store::comparable;
use opentelemetry::{KeyValue, metrics::Counter};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::{Janitor as Settings, document::whole_second, error::Error, objects::Objects, store::Store};

/// Rounds of one visit: what is left waits for the next, so that a visit ends.
const ROUNDS: usize = 100;
/// When a folder that could not be deleted is tried again.
const POSTPONE: Duration = Duration::from_secs(600);

static REMOVED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh::metrics::meter()
        .u64_counter("crawlmesh.result.removed")
        .with_description(
            "Documents and sessions whose time was over, and folders of objects, that were removed.",
        )
        .build()
});

/// Removes what is to be removed.
pub(crate) struct Janitor {
    store: Store,
    objects: Objects,
    /// How long a session stays when its time is over.
    linger: Duration,
    settings: Settings,
}

impl Janitor {
    /// A janitor of `store` and `objects`.
    pub(crate) fn new(store: Store, objects: Objects, linger: Duration, settings: Settings) -> Self {
        Self { store, objects, linger, settings }
    }

    /// Visits for ever, at start and then at every interval.
    pub(crate) async fn run(self) {
        let mut ticks = interval(self.settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = mesh::clock::now();
            if let Err(error) = self.sessions(now).await {
                warn!(%error, "sessions whose time is over were not removed");
            }
            match self.visit(whole_second(now)).await {
                Ok((0, 0)) => {}
                Ok((documents, folders)) => info!(documents, folders, "removed"),
                Err(error) => warn!(%error, "the janitor's visit failed"),
            }
        }
    }

    /// Removes the sessions that no page may still change.
    async fn sessions(&self, now: OffsetDateTime) -> Result<(), Error> {
        let before = comparable(now - self.linger);
        for _ in 0..ROUNDS {
            let removed = self.store.expire_sessions(before, self.settings.batch).await?;
            REMOVED.add(removed, &[KeyValue::new("what", "session")]);
            if removed < self.settings.batch {
                break;
            }
        }
        Ok(())
    }

    /// Removes what is due at `now`; returns how many documents and folders.
    async fn visit(&self, now: OffsetDateTime) -> Result<(u64, u64), Error> {
        let (mut documents, mut folders) = (0, 0);
        for _ in 0..ROUNDS {
            let expired = self.store.expire(now, self.settings.batch).await?;
            let (due, deleted) = self.sweep(now).await?;
            documents += expired;
            folders += deleted;
            REMOVED.add(expired, &[KeyValue::new("what", "document")]);
            REMOVED.add(deleted, &[KeyValue::new("what", "folder")]);
            if expired < self.settings.batch && due < self.settings.batch {
                break;
            }
        }
        Ok((documents, folders))
    }

    /// Deletes one batch of folders that are due; returns how many were due and how many were deleted.
    async fn sweep(&self, now: OffsetDateTime) -> Result<(u64, u64), Error> {
        let folders = self.store.due(now, self.settings.batch).await?;
        let due = folders.len() as u64;
        let (mut gone, mut left) = (Vec::new(), Vec::new());
        for folder in folders {
            match self.objects.delete_folder(&folder).await {
                Ok(()) => gone.push(folder),
                Err(error) => {
                    warn!(folder, %error, "objects were not deleted");
                    left.push(folder);
                }
            }
        }
        // Those that cannot be deleted must not stand before the others for ever.
        self.store.set_due(&left, now + POSTPONE).await?;
        self.store.forget(&gone).await?;
        Ok((due, gone.len() as u64))
    }
}
