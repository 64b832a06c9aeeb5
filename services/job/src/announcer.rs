//! Wakes everyone who has to do with a job that was created or changed. Hints only: a lost one costs a little time.

use bytes::Bytes;
use queue::Bus;

use crate::{hub::Hub, job::Job};

/// Tells of changed jobs. Clones share everything.
#[derive(Clone)]
pub(crate) struct Announcer {
    pub(crate) bus: Bus,
    pub(crate) hub: Hub,
}

impl Announcer {
    /// Tells those who wait for the job, those who hand out pages, and the webhook service.
    pub(crate) async fn tell(&self, job: &Job) {
        self.hub.changed(job.id);
        self.hub.work();
        if job.webhook.is_some() {
            self.bus.notify("event", Bytes::new()).await;
        }
    }
}
