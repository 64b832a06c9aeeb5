//! Cancelled jobs: a hint from the job service stops their running pages and drops those that still come.
//!
//! Promises: hints only save work. A lost one costs nothing, the ledger drops the outcomes of a cancelled job anyway; a
//! bounded number of jobs is remembered, the oldest are forgotten first.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use domain::JobId;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The cancelled jobs, and the pages that run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cancels(Arc<Mutex<State>>);

struct State {
    limit: usize,
    order: VecDeque<JobId>,
    known: HashSet<JobId>,
    running: HashMap<JobId, (CancellationToken, usize)>,
}

/// A page of a job that runs. Dropping it says that the page has ended.
pub(crate) struct Running {
    cancels: Cancels,
    job: JobId,
    token: CancellationToken,
}

impl Cancels {
    /// Remembers at most `limit` jobs.
    pub(crate) fn new(limit: usize) -> Self {
        let (order, known, running) = (VecDeque::new(), HashSet::new(), HashMap::new());
        Self(Arc::new(Mutex::new(State { limit, order, known, running })))
    }

    /// The job is cancelled: its running pages are told.
    pub(crate) fn cancel(&self, job: JobId) {
        let mut state = self.0.lock();
        if state.known.insert(job) {
            state.order.push_back(job);
        }
        while state.order.len() > state.limit {
            if let Some(oldest) = state.order.pop_front() {
                state.known.remove(&oldest);
            }
        }
        if let Some((token, _)) = state.running.get(&job) {
            token.cancel();
        }
    }

    /// A page of the job begins. `None`: the job is cancelled.
    pub(crate) fn begin(&self, job: JobId) -> Option<Running> {
        let mut state = self.0.lock();
        if state.known.contains(&job) {
            return None;
        }
        let (token, pages) = state.running.entry(job).or_default();
        *pages += 1;
        Some(Running { cancels: self.clone(), job, token: token.clone() })
    }
}

impl Running {
    /// Waits until the job is cancelled.
    pub(crate) async fn cancelled(&self) {
        self.token.cancelled().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.cancels.0.lock();
        if let Some((_, pages)) = state.running.get_mut(&self.job) {
            *pages -= 1;
            if *pages == 0 {
                state.running.remove(&self.job);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn running_pages_are_told_and_later_ones_do_not_begin() {
        let cancels = Cancels::new(10);
        let (job, other) = (JobId::new(), JobId::new());
        let first = cancels.begin(job).expect("because nothing is cancelled yet");
        let second = cancels.begin(job).expect("because nothing is cancelled yet");
        let kept = cancels.begin(other).expect("because nothing is cancelled yet");
        cancels.cancel(job);
        assert!(first.cancelled().now_or_never().is_some() && second.cancelled().now_or_never().is_some());
        assert!(kept.cancelled().now_or_never().is_none());
        assert!(cancels.begin(job).is_none() && cancels.begin(other).is_some());
    }

    #[test]
    fn what_ended_and_what_is_old_is_forgotten() {
        let cancels = Cancels::new(2);
        let jobs = [JobId::new(), JobId::new(), JobId::new()];
        drop(cancels.begin(jobs[0]));
        assert!(cancels.0.lock().running.is_empty());
        for job in jobs {
            cancels.cancel(job);
            cancels.cancel(job);
        }
        assert_eq!(cancels.0.lock().known.len(), 2);
        assert!(cancels.begin(jobs[0]).is_some() && cancels.begin(jobs[2]).is_none());
    }
}
