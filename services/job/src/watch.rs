//! A job's event log as a stream that follows the job to its end.
//!
//! Promises: every event after the given sequence, in order, once; ends after the terminal event; holds no more than one
//! read of events, however slow the reader.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use api::job::v1 as pb;
use futures::{Stream, stream};
use mesh::Shutdown;
use tokio::{sync::OwnedSemaphorePermit, time::sleep};
use tonic::{Code, Status};

use crate::{
    event::Event,
    hub::Subscription,
    job::Job,
    store::Store,
    wire::{self, Headers},
};

/// Events of one read.
const READ: u64 = 100;
/// How often the log is read without being woken, for changes that another process made.
const POLL: Duration = Duration::from_secs(1);

/// The answer of `WatchJob`.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<pb::JobEvent, Status>> + Send>>;

struct Watch {
    store: Store,
    /// What of the job does not change.
    job: Job,
    after: i64,
    read: VecDeque<Event>,
    ended: bool,
    changes: Subscription,
    shutdown: Shutdown,
    _permit: OwnedSemaphorePermit,
}

/// Follows a job from an event on.
pub(crate) fn events(
    store: Store,
    job: Job,
    after: i64,
    changes: Subscription,
    shutdown: Shutdown,
    permit: OwnedSemaphorePermit,
) -> Events {
    let watch =
        Watch { store, job, after, read: VecDeque::new(), ended: false, changes, shutdown, _permit: permit };
    Box::pin(stream::try_unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Ok(event.map(|event| (event, watch)))
    }))
}

impl Watch {
    async fn next(&mut self) -> Result<Option<pb::JobEvent>, Status> {
        loop {
            if let Some(event) = self.read.pop_front() {
                self.after = event.sequence;
                self.ended = event.event_type.terminal();
                return Ok(Some(wire::event(&self.job, &event, Headers::Hidden)));
            }
            if self.ended {
                return Ok(None);
            }
            // In this order: what ended before the log was read has its last event in it.
            let job = self.store.job(self.job.tenant, self.job.id).await?;
            self.read = self.store.events(self.job.id, self.after, READ).await?.into();
            if !self.read.is_empty() {
                continue;
            }
            if job.state.terminal() {
                return Ok(None);
            }
            tokio::select! {
                () = self.changes.changed() => {}
                () = sleep(POLL) => {}
                () = self.shutdown.begun() => return Err(going_away()),
            }
        }
    }
}

fn going_away() -> Status {
    let message = "the service shuts down, watch again from the last event";
    mesh::refuse_with(Code::Unavailable, "SHUTTING_DOWN", message, &[])
}
