//! Folders for objects, named as garbage before they are used: many in one transaction, so that a page waits for none.
//!
//! Promises: a folder is handed out once, with at least the grace left until the janitor would take it for garbage. Those
//! that are never used are garbage by themselves.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::sync::Mutex;
use tracing::debug;
use uuid::Uuid;

use crate::{error::Error, store::Store};

/// Folders that are named at once.
const BATCH: usize = 32;
/// Folders of failed stores that are remembered while the database is away; the grace ends the others.
const MAX_FAILED: usize = 1024;

/// Folders that are ready. Clones share them.
#[derive(Clone)]
pub(crate) struct Folders {
    store: Store,
    grace: Duration,
    ready: Arc<Mutex<Ready>>,
}

#[derive(Default)]
struct Ready {
    folders: Vec<String>,
    /// When they become garbage.
    due: Option<OffsetDateTime>,
    /// Folders that are garbage already, and not yet known to be.
    failed: Vec<String>,
}

impl Folders {
    /// Hands out folders of `store` that have at least `grace` left.
    pub(crate) fn new(store: Store, grace: Duration) -> Self {
        Self { store, grace, ready: Arc::default() }
    }

    /// A folder that nobody has had.
    pub(crate) async fn take(&self, now: OffsetDateTime) -> Result<String, Error> {
        let mut ready = self.ready.lock().await;
        if !ready.failed.is_empty() {
            self.store.set_due(&ready.failed, now).await?;
            ready.failed.clear();
        }
        if ready.due.is_none_or(|due| due < now + self.grace) {
            ready.folders.clear();
        }
        if let Some(folder) = ready.folders.pop() {
            return Ok(folder);
        }
        let due = now + self.grace * 2;
        let mut folders: Vec<String> = (0..BATCH).map(|_| new_folder(now)).collect();
        self.store.reserve(&folders, due).await?;
        let first = folders.pop().ok_or(Error::ObjectsSlow)?;
        (ready.folders, ready.due) = (folders, Some(due));
        Ok(first)
    }

    /// Makes the folder of a failed store garbage: now, or as soon as the database is back. On a full disk sooner is better.
    pub(crate) async fn fail(&self, folder: String, now: OffsetDateTime) {
        if let Err(error) = self.store.set_due(std::slice::from_ref(&folder), now).await {
            debug!(folder, %error, "a failed store is cleared away later");
            let mut ready = self.ready.lock().await;
            if ready.failed.len() < MAX_FAILED {
                ready.failed.push(folder);
            }
        }
    }
}

/// A name below a folder for the day and one of 256 below it: a file system minds neither a large folder nor many new ones.
fn new_folder(now: OffsetDateTime) -> String {
    let id = Uuid::now_v7().simple().to_string();
    format!("{}/{}/{id}", now.date(), &id[id.len() - 2..])
}

#[cfg(test)]
mod tests {
    use super::new_folder;

    #[test]
    fn a_folder_is_named_by_its_day_and_is_never_shared() {
        let now = time::macros::datetime!(2026-11-21 23:59 UTC);
        let folder = new_folder(now);
        let (day, rest) = folder.split_once('/').unwrap();
        let (bucket, id) = rest.split_once('/').unwrap();
        assert_eq!((day, bucket.len(), id.len()), ("2026-11-21", 2, 32));
        assert_ne!(new_folder(now), new_folder(now));
    }
}
