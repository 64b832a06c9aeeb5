//! How the work on one page went, as the ledger is told.

use std::time::Duration;

use api::crawler::v1 as pb;
use api::job::v1::page;
use domain::{Lane, Verdict};
use prost_types::Timestamp;
use time::OffsetDateTime;

use crate::classify::{Judgement, Kind};
use crate::discover::Discovery;
use crate::task::Task;

/// How the work on one page went.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// What the ledger should do, and why.
    pub(crate) judgement: Judgement,
    /// The site's HTTP status; `None`: no answer.
    pub(crate) http_status: Option<u16>,
    /// Bytes received for the page.
    pub(crate) wire_bytes: u64,
    /// Whether the result service keeps a document of it.
    pub(crate) stored: bool,
    /// Key of the main text, if the page has content.
    pub(crate) content_key: Option<[u8; 16]>,
    /// What the page leads to, if its job follows links.
    pub(crate) discovery: Option<Box<Discovery>>,
    /// What the work showed of the site.
    pub(crate) visit: Visit,
}

/// What the work on a page showed of its site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Visit {
    /// When the page was asked for; `None`: it was not.
    pub(crate) start: Option<OffsetDateTime>,
    /// From the request to the head of the answer; `None`: there was none, or it is not known.
    pub(crate) latency: Option<Duration>,
    /// The pause that robots.txt asks for, zero for none; `None`: it was not asked.
    pub(crate) crawl_delay: Option<Duration>,
    /// Whether the site asked to slow down.
    pub(crate) throttled: bool,
}

impl From<Judgement> for Outcome {
    fn from(judgement: Judgement) -> Self {
        Self {
            judgement,
            http_status: None,
            wire_bytes: 0,
            stored: false,
            content_key: None,
            discovery: None,
            visit: Visit::default(),
        }
    }
}

impl Outcome {
    /// The word that counts it in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match (self.judgement.kind, self.judgement.verdict) {
            (Kind::Final, Some(verdict)) => verdict.as_str(),
            (Kind::Final, None) | (Kind::Infra, _) => "infra",
            (Kind::Retry, _) => "retry",
            (Kind::Escalate, _) => "escalate",
            (Kind::Release, _) => "release",
        }
    }

    /// The message for the ledger.
    pub(crate) fn encode(
        &self,
        task: &Task,
        lane: Lane,
        start: OffsetDateTime,
        end: OffsetDateTime,
    ) -> pb::PageOutcome {
        let verdict = self.judgement.verdict.map_or(page::Verdict::Unspecified, verdict);
        let wait = self.judgement.retry_after.map(|wait| i32::try_from(wait.as_secs()).unwrap_or(i32::MAX));
        pb::PageOutcome {
            page: task.name(),
            dispatch_sequence: task.dispatch_sequence,
            kind: kind(self.judgement.kind).into(),
            verdict: verdict.into(),
            detail: self.judgement.detail.to_string(),
            http_status: self.http_status.map(i32::from),
            lane: self::lane(lane).into(),
            start_time: Some(timestamp(self.visit.start.unwrap_or(start))),
            end_time: Some(timestamp(end)),
            wire_bytes: i64::try_from(self.wire_bytes).unwrap_or(i64::MAX),
            crashes: task.crashes,
            stored: self.stored,
            retry_after_seconds: wait,
            latency: self.visit.latency.and_then(duration),
            crawl_delay: self.visit.crawl_delay.and_then(duration),
            throttled: self.visit.throttled,
            content_key: self.content_key.map(|key| key.to_vec()).unwrap_or_default(),
            discovery: self.discovery.as_ref().map(|discovery| discovery.encode()),
        }
    }
}

fn kind(kind: Kind) -> pb::page_outcome::Kind {
    use pb::page_outcome::Kind as Wire;
    match kind {
        Kind::Final => Wire::Final,
        Kind::Retry => Wire::Retry,
        Kind::Infra => Wire::Infra,
        Kind::Escalate => Wire::Escalate,
        Kind::Release => Wire::Release,
    }
}

/// The wire's word for a lane.
pub(crate) fn lane(lane: Lane) -> page::Lane {
    match lane {
        Lane::Http => page::Lane::Http,
        Lane::Browser => page::Lane::Browser,
    }
}

/// The wire's word for a verdict.
pub(crate) fn verdict(verdict: Verdict) -> page::Verdict {
    use page::Verdict as Wire;
    match verdict {
        Verdict::Ok => Wire::Ok,
        Verdict::NotModified => Wire::NotModified,
        Verdict::HttpError => Wire::HttpError,
        Verdict::Blocked => Wire::Blocked,
        Verdict::Soft404 => Wire::Soft404,
        Verdict::Empty => Wire::Empty,
        Verdict::LoginWall => Wire::LoginWall,
        Verdict::Robots => Wire::Robots,
        Verdict::NotAllowed => Wire::NotAllowed,
        Verdict::Dns => Wire::Dns,
        Verdict::Connect => Wire::Connect,
        Verdict::Tls => Wire::Tls,
        Verdict::Timeout => Wire::Timeout,
        Verdict::TooLarge => Wire::TooLarge,
        Verdict::UnsupportedType => Wire::UnsupportedType,
        Verdict::Duplicate => Wire::Duplicate,
        Verdict::Budget => Wire::Budget,
        Verdict::Cancelled => Wire::Cancelled,
        Verdict::Poison => Wire::Poison,
        Verdict::Infra => Wire::Infra,
        Verdict::Interaction => Wire::Interaction,
    }
}

/// A length of time on the wire.
pub(crate) fn duration(duration: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(duration).ok()
}

/// A point in time on the wire.
pub(crate) fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: time.unix_timestamp(), nanos: i32::try_from(time.nanosecond()).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_its_word_on_the_wire() {
        for &word in Verdict::ALL {
            assert_eq!(verdict(word).as_str_name(), word.as_str().to_ascii_uppercase());
        }
    }
}
