//! A delivery: one event on its way to one receiver, and what an answer means for it. No I/O.

use std::time::Duration;

use domain::{JobId, TenantId, id::DeliveryId};
use serde::Deserialize;
use time::OffsetDateTime;

/// Where a delivery is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Delivered,
    Failed,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Delivered, Self::Failed].into_iter().find(|state| state.as_str() == word)
    }
}

/// One event on its way to one receiver.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: DeliveryId,
    pub(crate) tenant: TenantId,
    pub(crate) job: JobId,
    pub(crate) event_type: String,
    /// The same in every attempt, so that a receiver can tell a repetition.
    pub(crate) event_id: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) state: State,
    pub(crate) attempts: u32,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) next_attempt_time: Option<OffsetDateTime>,
    pub(crate) traceparent: String,
}

/// One POST, as it went.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) start_time: OffsetDateTime,
    pub(crate) duration: Duration,
    pub(crate) http_status: Option<u16>,
    pub(crate) error: String,
    pub(crate) response: String,
}

/// Section `[delivery]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Time from one attempt to the next, after the first.
    #[serde(deserialize_with = "durations")]
    pub schedule: Vec<Duration>,
    /// Share by which each delay is varied, 0 to 0.5.
    pub jitter: f64,
    /// Least delay after 429, 503 and a timeout.
    #[serde(with = "humantime_serde")]
    pub throttle_floor: Duration,
    /// Longest Retry-After that is honoured.
    #[serde(with = "humantime_serde")]
    pub max_retry_after: Duration,
    /// Wall-clock time of one attempt.
    #[serde(with = "humantime_serde")]
    pub attempt_timeout: Duration,
    /// Attempts at once.
    pub concurrency: usize,
    /// Attempts at once to one host.
    pub per_host: usize,
    /// Most bytes read of an answer.
    pub max_answer: bytesize::ByteSize,
    /// Most bytes kept of an answer.
    pub kept_answer: bytesize::ByteSize,
    /// How long finished deliveries are kept.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
}

fn durations<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
    let list = Vec::<humantime_serde::Serde<Duration>>::deserialize(deserializer)?;
    Ok(list.into_iter().map(humantime_serde::Serde::into_inner).collect())
}

/// What came back from a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An HTTP answer, with its `Retry-After`.
    Http { status: u16, retry_after: Option<Duration> },
    /// No answer in time.
    Timeout,
    /// No answer for another reason.
    None,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Delivered,
    Failed,
    Again(Duration),
}

/// Decides what becomes of a delivery after its attempt number `attempt` (from 1). `random` is from 0 to 1.
pub(crate) fn next(config: &Config, attempt: u32, answer: Answer, random: f64) -> Next {
    match answer {
        Answer::Http { status: 200..=299, .. } => return Next::Delivered,
        // 410 Gone: the receiver says that nobody will ever listen here again.
        Answer::Http { status: 410, .. } => return Next::Failed,
        Answer::Http { .. } | Answer::Timeout | Answer::None => {}
    }
    let index = usize::try_from(attempt).unwrap_or(usize::MAX).saturating_sub(1);
    let Some(delay) = config.schedule.get(index) else { return Next::Failed };
    let varied = delay.mul_f64(1.0 + config.jitter * (2.0 * random - 1.0));
    let throttled = matches!(answer, Answer::Timeout | Answer::Http { status: 429 | 503, .. });
    let floor = if throttled { config.throttle_floor } else { Duration::ZERO };
    let asked = match answer {
        Answer::Http { retry_after: Some(asked), .. } => asked.min(config.max_retry_after),
        _ => Duration::ZERO,
    };
    Next::Again(varied.max(floor).max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            schedule: vec![Duration::from_secs(5), Duration::from_secs(100)],
            jitter: 0.2,
            throttle_floor: Duration::from_secs(60),
            max_retry_after: Duration::from_secs(1000),
            attempt_timeout: Duration::from_secs(15),
            concurrency: 1,
            per_host: 1,
            max_answer: bytesize::ByteSize::kib(16),
            kept_answer: bytesize::ByteSize::kib(1),
            retention: Duration::from_secs(1),
        }
    }

    #[test]
    fn an_answer_decides() {
        let http = |status| Answer::Http { status, retry_after: None };
        let asks = |status, secs| Answer::Http { status, retry_after: Some(Duration::from_secs(secs)) };
        let again = |secs| Next::Again(Duration::from_secs(secs));
        for (attempt, answer, expected) in [
            (1, http(200), Next::Delivered),
            (1, http(204), Next::Delivered),
            (1, http(410), Next::Failed),
            (1, http(302), again(5)),
            (1, http(404), again(5)),
            (1, http(500), again(5)),
            (2, http(500), again(100)),
            (3, http(500), Next::Failed),
            (1, http(503), again(60)),
            (2, http(503), again(100)),
            (1, asks(429, 300), again(300)),
            (1, asks(429, 1_000_000), again(1000)),
            (1, asks(429, 0), again(60)),
            (1, Answer::Timeout, again(60)),
            (1, Answer::None, again(5)),
        ] {
            assert_eq!(next(&config(), attempt, answer, 0.5), expected, "attempt {attempt}, {answer:?}");
        }
    }

    #[test]
    fn jitter_varies_a_delay_by_its_share() {
        let http = Answer::Http { status: 500, retry_after: None };
        assert_eq!(next(&config(), 2, http, 0.0), Next::Again(Duration::from_secs(80)));
        assert_eq!(next(&config(), 2, http, 1.0), Next::Again(Duration::from_secs(120)));
    }
}
