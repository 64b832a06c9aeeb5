//! The scheduler: creates the jobs of schedules whose time has come.
//!
//! Promises: every job service runs one, and each due time has one job: the row of the schedule decides who was first.

use std::{sync::Arc, time::Duration};

use domain::ScheduleId;
use mesh::Shutdown;
use time::OffsetDateTime;
use tokio::time::sleep;
use tracing::{Instrument, Span, debug, error, info, info_span, warn};

use crate::{
    announcer::Announcer,
    error::Error,
    hub::Hub,
    job::Job,
    metrics,
    schedule::Schedule,
    store::{DueSchedule, Prepared, Store},
    trace,
    wire::{self, Rules},
};

/// The shortest pause between two looks.
const LEAST: Duration = Duration::from_millis(10);

/// The loop.
pub(crate) struct Scheduler {
    pub(crate) store: Store,
    pub(crate) hub: Hub,
    pub(crate) announcer: Announcer,
    pub(crate) rules: Arc<Rules>,
    /// How long it sleeps at most: another process may have changed a schedule.
    pub(crate) poll: Duration,
}

impl Scheduler {
    /// Creates jobs until the shutdown begins.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        loop {
            let pause = match self.round().await {
                Ok(pause) => pause,
                Err(error) if error.unavailable() => {
                    debug!(%error, "schedules wait for the job store");
                    self.poll
                }
                Err(error) => {
                    error!(error = ?error, "the schedules failed");
                    self.poll
                }
            };
            tokio::select! {
                () = shutdown.begun() => return,
                () = self.hub.has_schedules() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Runs what is due. Returns when to look again without being woken.
    async fn round(&self) -> Result<Duration, Error> {
        for id in self.store.due_schedules(mesh::clock::now()).await? {
            // A trace of its own: nobody has called.
            let span = info_span!(parent: None, "schedule", schedule = %id);
            self.run_one(id, mesh::clock::now()).instrument(span).await?;
        }
        let next = self.store.next_schedule().await?;
        let wait = next.map(|next| Duration::try_from(next - mesh::clock::now()).unwrap_or_default());
        Ok(wait.unwrap_or(self.poll).clamp(LEAST, self.poll.max(LEAST)))
    }

    async fn run_one(&self, id: ScheduleId, now: OffsetDateTime) -> Result<(), Error> {
        let traceparent = trace::traceparent(&Span::current());
        let prepare = |schedule: &Schedule, last: Option<&Job>| {
            let submission =
                wire::scheduled(schedule, last, &self.rules).map_err(|status| status.message().to_owned())?;
            Ok(Prepared::new(schedule.tenant, &submission, traceparent.clone(), now, Duration::ZERO))
        };
        match self.store.run_schedule(id, now, prepare).await? {
            None => {}
            Some(DueSchedule::Fired(job)) => {
                metrics::schedule_due("created");
                metrics::created();
                info!(job = %job.id, pages = job.counts.found, "a schedule created a job");
                self.announcer.tell(&job).await;
            }
            Some(DueSchedule::Skipped) => {
                metrics::schedule_due("skipped");
                debug!("the last job of a schedule has not ended");
            }
            Some(DueSchedule::Refused(why)) => {
                metrics::schedule_due("refused");
                warn!(why, "the job of a schedule is not allowed any more");
            }
        }
        Ok(())
    }
}
