//! Publishing and asking: the part of the bus that sends.
//!
//! Promises: `Ok` from a publish means that the server stored the message. While the server is away every call fails at
//! once with [`Error::Unavailable`] and nothing is kept for later: whoever owns the message tries again.

use std::sync::{Arc, atomic::Ordering};

use async_nats::jetstream::{
    context::{PublishAckFuture, PublishError, PublishErrorKind},
    message::PublishMessage,
};
use bytes::Bytes;
use domain::{Lane, Priority};
use futures::{StreamExt, stream};
use tokio::sync::watch;

use crate::{Config, Epoch, Error, Listener, Outcomes, Puller, link::Link, subjects, trace};

/// One page task to publish.
#[derive(Debug, Clone)]
pub struct Work {
    /// Which workers may take it.
    pub lane: Lane,
    /// How soon.
    pub priority: Priority,
    /// Published again with the same id within two minutes, it is stored once.
    pub id: String,
    /// What the worker gets.
    pub payload: Bytes,
    /// The W3C trace context that the work belongs to; the current span's if there is none.
    pub traceparent: Option<String>,
}

/// A connection to the bus. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    link: Arc<Link>,
    supervisor: tokio::task::AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("prefix", &self.0.link.config.prefix).finish_non_exhaustive()
    }
}

impl Bus {
    /// Starts to connect, and goes on trying in the background. `name` is shown by the server's monitoring, and in metrics.
    ///
    /// Fails only with [`Error::Config`].
    pub async fn connect(config: &Config, name: &'static str) -> Result<Self, Error> {
        let link = Link::open(config, name).await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a leaf cannot use mesh::spawn; the task dies with the bus"
        )]
        let supervisor = tokio::spawn(Arc::clone(&link).supervise()).abort_handle();
        Ok(Self(Arc::new(Inner { link, supervisor })))
    }

    /// Whether the bus can be used, and if not, why.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<Result<(), String>> {
        self.0.link.ready()
    }

    /// The same for programs.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<Result<(), Error>> {
        self.0.link.state()
    }

    /// What is known of the server since the last connection to it. Unlike with [`Bus::ready`], a reader that was busy
    /// meanwhile still sees that the server was away.
    #[must_use]
    pub fn epochs(&self) -> watch::Receiver<Epoch> {
        self.0.link.epochs()
    }

    /// Payload bytes that fit into one message, with room left for headers.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.0.link.client.max_payload().saturating_sub(subjects::HEADER_ROOM)
    }

    /// Publishes one page task and waits until it is stored.
    pub async fn publish_work(&self, work: Work) -> Result<(), Error> {
        let pending = self.send_work(work).await?;
        let sequence = self.stored(pending).await?;
        self.0.link.confirmed.fetch_max(sequence, Ordering::AcqRel);
        Ok(())
    }

    /// Publishes many page tasks, in order, without waiting for one before sending the next.
    ///
    /// Returns one result for each, in their order.
    pub async fn publish_work_batch(&self, works: Vec<Work>) -> Vec<Result<(), Error>> {
        // `buffered` starts them in order; each is sent on its first poll, so the server sees them in order.
        stream::iter(works)
            .map(|work| self.publish_work(work))
            .buffered(subjects::MAX_PUBLISHES_IN_FLIGHT / 4)
            .collect()
            .await
    }

    /// Publishes the outcome of a page and waits until it is stored.
    pub async fn publish_outcome(&self, id: String, payload: Bytes) -> Result<(), Error> {
        let pending = self.send(self.0.link.names.outcome_subject(), &id, payload, None).await?;
        self.stored(pending).await.map(|_| ())
    }

    /// The page tasks of one lane, for one worker process.
    #[must_use]
    pub fn pull(&self, lane: Lane) -> Puller {
        Puller::new(Arc::clone(&self.0.link), lane)
    }

    /// The outcomes of pages for one reader. Readers with the same `durable` share the outcomes, others get their own copy.
    #[must_use]
    pub fn outcomes(&self, durable: &str) -> Outcomes {
        Outcomes::new(Arc::clone(&self.0.link), durable)
    }

    /// Sends a hint to all who listen now. Lost if the server is away.
    pub async fn notify(&self, topic: &str, payload: Bytes) {
        let link = &self.0.link;
        if link.usable().is_err() {
            return;
        }
        let sent = link.client.publish(link.names.notify_subject(topic), payload);
        if !matches!(tokio::time::timeout(link.config.publish_timeout, sent).await, Ok(Ok(()))) {
            tracing::debug!(topic, "a hint was lost");
        }
    }

    /// Waits until what was sent so far has left, acks above all; a service calls it before it ends. The client forgets what it
    /// still holds when its last handle is dropped, and a message whose ack was lost comes back as if its worker had crashed.
    pub async fn flush(&self) {
        let link = &self.0.link;
        if !matches!(tokio::time::timeout(link.config.publish_timeout, link.client.flush()).await, Ok(Ok(())))
        {
            tracing::debug!("what was sent last may be lost");
        }
    }

    /// Listens to one topic from now on.
    pub async fn listen(&self, topic: &str) -> Result<Listener, Error> {
        let link = &self.0.link;
        link.client
            .subscribe(link.names.notify_subject(topic))
            .await
            .map(Listener)
            .map_err(Error::unavailable)
    }

    /// How many page tasks of a lane wait for a worker; those that workers hold are not counted.
    pub async fn backlog(&self, lane: Lane) -> Result<u64, Error> {
        let link = &self.0.link;
        link.usable()?;
        let mut sum = 0;
        for priority in subjects::PRIORITIES {
            let name = link.names.work_consumer(lane, priority);
            sum += link.consumer(&link.names.work_stream(), &name).await?.num_pending;
        }
        Ok(sum)
    }

    async fn send_work(&self, work: Work) -> Result<PublishAckFuture, Error> {
        let subject = self.0.link.names.work_subject(work.lane, work.priority);
        self.send(subject, &work.id, work.payload, work.traceparent.as_deref()).await
    }

    async fn send(
        &self,
        subject: String,
        id: &str,
        payload: Bytes,
        traceparent: Option<&str>,
    ) -> Result<PublishAckFuture, Error> {
        let link = &self.0.link;
        link.usable()?;
        if id.contains(['\r', '\n']) {
            return Err(Error::Config("an id must not contain a line break".to_owned()));
        }
        if payload.len() > self.max_payload() {
            return Err(Error::TooLarge { limit: self.max_payload() });
        }
        let mut headers = async_nats::HeaderMap::new();
        trace::inject(&mut headers, traceparent);
        let message = PublishMessage::build().headers(headers).message_id(id).payload(payload);
        link.js.send_publish(subject, message).await.map_err(|e| self.publish_error(&e))
    }

    /// The sequence under which the server stored it.
    async fn stored(&self, pending: PublishAckFuture) -> Result<u64, Error> {
        tokio::select! {
            ack = pending.into_future() => ack.map(|ack| ack.sequence).map_err(|e| self.publish_error(&e)),
            // The answer to a publish does not survive its connection.
            error = self.0.link.unusable() => Err(error),
        }
    }

    fn publish_error(&self, error: &PublishError) -> Error {
        if matches!(error.kind(), PublishErrorKind::StreamNotFound | PublishErrorKind::TimedOut) {
            self.0.link.missing();
        }
        Error::publish(error, self.max_payload())
    }
}
