//! Wake-ups inside this process: who waits for a job, what has changed, and whether there is something to dispatch.
//!
//! They only save time. Whoever waits also polls the database, where another process may have made the change.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use domain::JobId;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// Changed jobs that are remembered for the reconciler; it checks a sample, so more are forgotten.
const MAX_CHANGED: usize = 1000;

/// The wake-ups. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<HashMap<JobId, watch::Sender<()>>>,
    changed: Mutex<HashSet<JobId>>,
    work: Notify,
    hungry: AtomicBool,
    schedules: Notify,
}

/// Someone who waits for a job. There are as many as there are calls and streams.
#[derive(Debug)]
pub(crate) struct Subscription {
    hub: Hub,
    job: JobId,
    changes: watch::Receiver<()>,
}

impl Hub {
    /// Wakes those who wait for a job.
    pub(crate) fn changed(&self, job: JobId) {
        if let Some(sender) = self.0.waiting.lock().get(&job) {
            sender.send_replace(());
        }
        let mut changed = self.0.changed.lock();
        if changed.len() < MAX_CHANGED {
            changed.insert(job);
        }
    }

    /// Waits for a job's changes from now on.
    pub(crate) fn subscribe(&self, job: JobId) -> Subscription {
        let mut waiting = self.0.waiting.lock();
        let changes = waiting.entry(job).or_insert_with(|| watch::Sender::new(())).subscribe();
        Subscription { hub: self.clone(), job, changes }
    }

    /// Jobs that changed since the last call, at most `limit`; the others stay for the next.
    pub(crate) fn take_changed(&self, limit: usize) -> Vec<JobId> {
        let mut changed = self.0.changed.lock();
        let taken: Vec<JobId> = changed.iter().take(limit).copied().collect();
        for job in &taken {
            changed.remove(job);
        }
        taken
    }

    /// Says that pages wait.
    pub(crate) fn work(&self) {
        self.0.work.notify_one();
    }

    /// Says that the queue has room: of interest if pages may wait for it.
    pub(crate) fn room(&self) {
        if self.0.hungry.load(Ordering::SeqCst) {
            self.0.work.notify_one();
        }
    }

    /// Whether pages may wait for room in the queue. True while somebody looks: what changes meanwhile may not be seen.
    pub(crate) fn set_hungry(&self, hungry: bool) {
        self.0.hungry.store(hungry, Ordering::SeqCst);
    }

    /// Says that a schedule was changed.
    pub(crate) fn rescheduled(&self) {
        self.0.schedules.notify_one();
    }

    /// Waits for [`Hub::rescheduled`]; one call before counts.
    pub(crate) async fn has_schedules(&self) {
        self.0.schedules.notified().await;
    }

    /// Waits for [`Hub::work`]; one call before counts.
    pub(crate) async fn has_work(&self) {
        self.0.work.notified().await;
    }
}

impl Subscription {
    /// Waits for a change since the last call.
    pub(crate) async fn changed(&mut self) {
        // The sender lives as long as a subscription does.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut waiting = self.hub.0.waiting.lock();
        if waiting.get(&self.job).is_some_and(|sender| sender.receiver_count() <= 1) {
            waiting.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn room_wakes_whoever_waits_for_it() {
        let hub = Hub::default();
        let woken = async || timeout(Duration::from_millis(10), hub.has_work()).await.is_ok();
        hub.room();
        assert!(!woken().await, "nobody waits for room");
        hub.set_hungry(true);
        hub.room();
        assert!(woken().await);
        hub.set_hungry(false);
        hub.work();
        assert!(woken().await, "new pages are told in any case");
    }

    #[tokio::test]
    async fn a_change_wakes_all_who_wait_and_nothing_is_left_behind() {
        let (hub, job) = (Hub::default(), JobId::new());
        let (mut one, mut two) = (hub.subscribe(job), hub.subscribe(job));
        hub.changed(JobId::new());
        hub.changed(job);
        for subscription in [&mut one, &mut two] {
            timeout(Duration::from_secs(5), subscription.changed()).await.expect("because it changed");
            let again = timeout(Duration::from_millis(10), subscription.changed()).await;
            assert!(again.is_err(), "one change wakes once");
        }
        drop(one);
        assert_eq!(hub.0.waiting.lock().len(), 1);
        drop(two);
        assert!(hub.0.waiting.lock().is_empty());
        assert_eq!(
            (hub.take_changed(1).len(), hub.take_changed(10).len(), hub.take_changed(10).len()),
            (1, 1, 0)
        );
    }
}
