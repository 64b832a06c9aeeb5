//! One received message: its payload, how often it was delivered, and the answers a worker can give.
//!
//! Promises: no answer waits longer than `publish_timeout`, and none is sent to another store than the one that held the
//! message. Answers are not confirmed by the server; a lost ack means one more delivery, which every consumer must expect
//! anyway.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use async_nats::{Message, Subject};
use bytes::Bytes;
use opentelemetry::Context;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{Epoch, Error, epoch::Source, link::Link, trace};

/// A message that was pulled and waits for an answer. Dropped without one, it comes back after `ack_wait`.
#[derive(Debug)]
pub struct Delivery {
    /// What was published.
    pub payload: Bytes,
    /// How often the server sent it, this time included; at least 1. Some may never have reached a worker.
    pub deliveries: u64,
    /// The sender's trace context; empty if there was none.
    pub parent: Context,
    /// How many more waited in the same consumer when this one was sent.
    pub pending: u64,
    /// When the server took it.
    published: SystemTime,
    /// It came for a pull that was over: much of its `ack_wait` may have passed.
    pub(crate) late: bool,
    answer: Answer,
}

/// Where answers go, and what must still be true for them to be sent.
#[derive(Clone)]
struct Answer {
    link: Arc<Link>,
    reply: Subject,
    source: Source,
    since: Epoch,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("reply", &self.reply)
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

impl Answer {
    async fn send(&self, word: &'static str) -> Result<(), Error> {
        self.link.answerable(self.source, &self.since)?;
        let sent = self.link.client.publish(self.reply.clone(), Bytes::from_static(word.as_bytes()));
        match tokio::time::timeout(self.link.config.publish_timeout, sent).await {
            Ok(result) => result.map_err(Error::unavailable),
            Err(_) => Err(Error::unavailable("the answer could not be sent in time")),
        }
    }
}

/// Keeps a message alive until dropped.
#[derive(Debug)]
pub struct KeepAlive(tokio::task::AbortHandle);

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Delivery {
    /// Reads a message that a consumer of `source` sent; `None` if it did not come from one.
    pub(crate) fn new(link: &Arc<Link>, source: Source, message: Message) -> Option<Self> {
        let reply = message.reply.clone()?;
        let Counts { deliveries, sequence, published, pending } = counts(&reply)?;
        if source == Source::Work {
            // A store that ends before it has forgotten what it handed out.
            link.confirmed.fetch_max(sequence, Ordering::AcqRel);
        }
        let answer = Answer { link: Arc::clone(link), reply, source, since: link.since() };
        Some(Self {
            parent: trace::extract(message.headers.as_ref()),
            payload: message.payload,
            deliveries,
            pending,
            published,
            late: false,
            answer,
        })
    }

    /// How many workers had this message before and did not live to answer.
    ///
    /// At most one for each `ack_wait` that has passed at `now` since it was published: a server before 2.10.15 also counts a
    /// message that it could not send at all (nats-server #5338), as to a waiting request that another message has just ended.
    #[must_use]
    pub fn lapses(&self, now: SystemTime) -> u64 {
        let age = now.duration_since(self.published).ok();
        lapses(self.deliveries, age, self.answer.link.config.ack_wait)
    }

    /// A span for the work on this message, in the sender's trace.
    #[must_use]
    pub fn span(&self) -> tracing::Span {
        let span = tracing::info_span!("message", otel.kind = "consumer", deliveries = self.deliveries);
        // Without an OpenTelemetry layer there is no trace to join.
        let _ = span.set_parent(self.parent.clone());
        span
    }

    /// Done: the message is gone. Does not wait for the server.
    ///
    /// Fails like every answer with [`Error::Gone`] where the store that held the message is no more, and with
    /// [`Error::Unavailable`] while that is not known: then it comes again, if it is there.
    pub async fn ack(&self) -> Result<(), Error> {
        self.answer.send("+ACK").await
    }

    /// Starts a new `ack_wait`.
    pub async fn progress(&self) -> Result<(), Error> {
        self.answer.send("+WPI").await
    }

    /// Gives the message back: another worker gets it at once.
    pub async fn nak(&self) -> Result<(), Error> {
        self.answer.send("-NAK").await
    }

    /// Never again: the message is gone though it was not done.
    pub async fn term(&self) -> Result<(), Error> {
        self.answer.send("+TERM").await
    }

    /// Sends `progress` every `progress_interval` until the guard is dropped, and at once if the message came late. Drop it
    /// before the last answer.
    #[must_use]
    pub fn keep_alive(&self) -> KeepAlive {
        let (answer, period, late) =
            (self.answer.clone(), self.answer.link.config.progress_interval, self.late);
        #[expect(
            clippy::disallowed_methods,
            reason = "a leaf cannot use mesh::spawn; the task dies with its guard"
        )]
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(period);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            if !late {
                tick.tick().await;
            }
            loop {
                tick.tick().await;
                // A lost beat is not worth stopping for: the next may come through before ack_wait is over.
                if answer.send("+WPI").await == Err(Error::Gone) {
                    return;
                }
            }
        });
        KeepAlive(task.abort_handle())
    }
}

/// What an ack subject says.
#[derive(Debug, PartialEq)]
struct Counts {
    deliveries: u64,
    /// The message's number in its stream.
    sequence: u64,
    published: SystemTime,
    pending: u64,
}

/// See [`Delivery::lapses`]. Rounded, since clocks differ a little; without an age (they differ much) each delivery counts.
fn lapses(deliveries: u64, age: Option<Duration>, ack_wait: Duration) -> u64 {
    let before = deliveries.saturating_sub(1);
    let Some(age) = age else { return before };
    let possible = (age + ack_wait / 2).as_nanos() / ack_wait.as_nanos().max(1);
    before.min(u64::try_from(possible).unwrap_or(u64::MAX))
}

/// Reads an ack subject, which has 9 tokens, or 11 and more with a domain (NATS ADR-15).
fn counts(reply: &str) -> Option<Counts> {
    let rest = reply.strip_prefix("$JS.ACK.")?;
    let tokens: Vec<&str> = rest.split('.').collect();
    let first = match tokens.len() {
        7 => 2,
        n if n >= 9 => 4,
        _ => return None,
    };
    let number = |at: usize| tokens[first + at].parse().ok();
    let published = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(number(3)?))?;
    Some(Counts { deliveries: number(0)?, sequence: number(1)?, published, pending: number(4)? })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Counts, counts, lapses};

    #[test]
    fn ack_subjects_are_read() {
        let published = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let read = |deliveries, sequence, pending| Some(Counts { deliveries, sequence, published, pending });
        for (reply, expected) in [
            ("$JS.ACK.S.C.3.10.4.1700000000000000000.7", read(3, 10, 7)),
            ("$JS.ACK.dom.hash.S.C.2.10.4.1700000000000000000.5", read(2, 10, 5)),
            ("$JS.ACK.dom.hash.S.C.2.10.4.1700000000000000000.5.rnd", read(2, 10, 5)),
            ("$JS.ACK.S.C.x.10.4.1.7", None),
            ("_INBOX.x", None),
            ("$JS.ACK.S", None),
        ] {
            assert_eq!(counts(reply), expected, "{reply}");
        }
    }

    #[test]
    fn a_lapse_takes_its_time() {
        let after = |deliveries, millis| {
            lapses(deliveries, Some(Duration::from_millis(millis)), Duration::from_secs(3))
        };
        assert_eq!([after(1, 0), after(1, 60_000)], [0, 0]);
        // Sent to nobody, and again at once; then three workers died.
        assert_eq!([after(2, 1), after(3, 3_001), after(4, 6_002), after(5, 9_003)], [0, 1, 2, 3]);
        // The server's clock is a little ahead, or much.
        assert_eq!([after(2, 2_900), after(3, 5_900)], [1, 2]);
        assert_eq!(lapses(3, None, Duration::from_secs(3)), 2);
        assert_eq!(after(u64::MAX, u64::MAX), (u64::MAX / 1000 + 1) / 3);
    }
}
