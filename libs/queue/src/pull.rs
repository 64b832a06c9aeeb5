//! Pulling page tasks and outcomes: which consumers one pull asks, and by what weights.
//!
//! Promises: a pull brings at most what it asked for, as soon as there is something, and may be dropped at any time.

use std::{sync::Arc, time::Duration};

use domain::Lane;

use crate::{Delivery, Error, epoch::Source, link::Link, requests::Requests, subjects, topology};

/// Pulls the page tasks of one lane, the higher priorities first, none starving.
pub struct Puller {
    requests: Requests,
}

impl Puller {
    pub(crate) fn new(link: Arc<Link>, lane: Lane) -> Self {
        let stream = link.names.work_stream();
        let consumers = subjects::PRIORITIES.map(|p| (stream.clone(), link.names.work_consumer(lane, p)));
        Self { requests: Requests::new(link, Source::Work, &consumers, &subjects::WEIGHTS) }
    }

    /// Returns 1 to `max` messages as soon as there is one, or none after `pull_wait`.
    ///
    /// May be dropped while it waits.
    pub async fn pull(&mut self, max: usize) -> Result<Vec<Delivery>, Error> {
        let wait = self.requests.link.config.pull_wait;
        self.requests.pull(max, wait).await
    }

    /// Stops pulling, and returns what was on its way here: it is the caller's to settle.
    pub async fn close(self) -> Vec<Delivery> {
        self.requests.close().await
    }
}

/// Pulls the outcomes of pages for one durable reader.
pub struct Outcomes {
    requests: Requests,
    durable: String,
    /// The epoch in which the consumer was last put in place.
    ensured: u64,
}

impl Outcomes {
    pub(crate) fn new(link: Arc<Link>, durable: &str) -> Self {
        let consumers = [(link.names.outcome_stream(), durable.to_owned())];
        let requests = Requests::new(link, Source::Outcomes, &consumers, &[1]);
        Self { requests, durable: durable.to_owned(), ensured: 0 }
    }

    /// Returns 1 to `max` outcomes as soon as there is one, or none after `wait`.
    ///
    /// May be dropped while it waits.
    pub async fn pull(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        let link = Arc::clone(&self.requests.link);
        link.usable()?;
        let epoch = link.epoch();
        if self.ensured != epoch || self.requests.doubtful {
            topology::ensure_outcomes(&link.js, &link.config, &self.durable).await?;
            self.ensured = epoch;
            self.requests.doubtful = false;
        }
        let pulled = self.requests.pull(max, wait).await;
        if pulled.is_err() {
            self.ensured = 0;
        }
        pulled
    }
    /// Stops pulling, and gives back what was on its way here, so that another reader gets it at once.
    pub async fn close(self) {
        for delivery in self.requests.close().await {
            // It comes back by itself after ack_wait if this is lost.
            let _ = delivery.nak().await;
        }
    }
}
