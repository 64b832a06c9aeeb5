//! All streams, subjects, consumers and fixed limits of the bus, on one page.
//!
//! With the prefix `crawlmesh`:
//!
//! | stream               | subjects                               | kept                       | consumers                 |
//! |----------------------|----------------------------------------|----------------------------|---------------------------|
//! | `CRAWLMESH_WORK`     | `crawlmesh.work.<lane>.<priority>`     | until acked; full = refuse | one durable for each pair |
//! | `CRAWLMESH_OUTCOMES` | `crawlmesh.outcome`                    | by age and size            | one durable a reader      |
//! | (core NATS)          | `crawlmesh.notify.{work,event,cancel}` | not at all                 | –                         |

use std::time::Duration;

use domain::{Lane, Priority};

/// How long an id is remembered: covers the retries of one publish, not more.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// Messages that all workers of one lane and priority together may hold without an ack.
pub const MAX_ACK_PENDING: i64 = 20_000;
/// Pull requests that may wait at one consumer; each idle worker process has one there.
pub const MAX_WAITING: i64 = 4096;
/// Publishes of one process that may wait for their acks at the same time.
pub const MAX_PUBLISHES_IN_FLIGHT: usize = 1024;
/// Messages a subscription buffers for a slow reader; what does not fit is dropped (only hints and redelivered work).
pub const SUBSCRIPTION_CAPACITY: usize = 4096;
/// Room for the headers in the server's message limit.
pub const HEADER_ROOM: usize = 4096;
/// How often a quiet connection is probed; two lost answers are a lost connection.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Out of ten free slots, how many are offered to each priority first: high, normal, low.
pub const WEIGHTS: [u32; 3] = [6, 3, 1];
/// Priorities in the order they are served; `WEIGHTS` has the same order.
pub const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];
/// The oldest server that has consumer names in its API and checks filter overlaps correctly.
pub const OLDEST_SERVER: (i64, i64, i64) = (2, 9, 7);
/// The oldest server known to answer a `no_wait` pull whose messages another worker took meanwhile.
pub const ANSWERS_NO_WAIT: (i64, i64, i64) = (2, 14, 0);

/// The names under one prefix.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names for a checked prefix (see [`crate::Config::check`]).
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The stream of page tasks.
    #[must_use]
    pub fn work_stream(&self) -> String {
        format!("{}_WORK", self.prefix.to_uppercase())
    }

    /// All subjects of page tasks.
    #[must_use]
    pub fn work_subjects(&self) -> String {
        format!("{}.work.>", self.prefix)
    }

    /// The subject of one lane and priority.
    #[must_use]
    pub fn work_subject(&self, lane: Lane, priority: Priority) -> String {
        format!("{}.work.{lane}.{priority}", self.prefix)
    }

    /// The durable consumer of one lane and priority.
    #[must_use]
    pub fn work_consumer(&self, lane: Lane, priority: Priority) -> String {
        format!("{lane}-{priority}")
    }

    /// The stream of page outcomes.
    #[must_use]
    pub fn outcome_stream(&self) -> String {
        format!("{}_OUTCOMES", self.prefix.to_uppercase())
    }

    /// The subject of page outcomes.
    #[must_use]
    pub fn outcome_subject(&self) -> String {
        format!("{}.outcome", self.prefix)
    }

    /// The core NATS subject of a wake-up.
    #[must_use]
    pub fn notify_subject(&self, topic: &str) -> String {
        format!("{}.notify.{topic}", self.prefix)
    }
}
