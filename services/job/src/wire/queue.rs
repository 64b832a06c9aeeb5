//! The messages of the work queue: a task out, an outcome in.

use std::time::Duration;

use api::crawler::v1::{self as pb, page_outcome};
use api::job::v1::page;
use domain::id::{page_name, parse_page_name};
use prost::Message;

use super::{discovery, list::read_verdict, reply::kind};
use crate::{
    host::Answer,
    page::{Kind, Outcome},
    store::Dispatched,
};

/// Characters of a detail that the ledger keeps.
const MAX_DETAIL: usize = 500;
/// Longest answer time and longest Crawl-delay.
const LONGEST: Duration = Duration::from_secs(3600);

/// A message that is not an outcome. Only a bug or a newer version sends one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be read")]
pub(crate) struct Garbage(&'static str);

/// The task for a dispatched page.
pub(crate) fn encode_task(page: &Dispatched) -> Vec<u8> {
    pb::PageTask {
        page: page_name(page.job, page.id),
        dispatch_sequence: page.dispatch_seq,
        url: page.url.clone(),
        spec_version: page.spec_version,
        attempts: page.attempts,
        crashes: page.crashes,
        lane_reason: page.lane_reason.clone(),
        tenant: page.tenant.name(),
        depth: page.depth,
        seed: page.seed.clone().unwrap_or_default(),
        kind: kind(page.kind).into(),
    }
    .encode_to_vec()
}

/// Reads an outcome.
pub(crate) fn read_outcome(payload: &[u8]) -> Result<Outcome, Garbage> {
    let message = pb::PageOutcome::decode(payload).map_err(|_| Garbage("message"))?;
    let (job, page) = parse_page_name(&message.page).map_err(|_| Garbage("page"))?;
    let kind = match page_outcome::Kind::try_from(message.kind) {
        Ok(page_outcome::Kind::Final) => Kind::Final,
        Ok(page_outcome::Kind::Retry) => Kind::Retry,
        Ok(page_outcome::Kind::Infra) => Kind::Infra,
        Ok(page_outcome::Kind::Escalate) => Kind::Escalate,
        Ok(page_outcome::Kind::Release) => Kind::Release,
        Ok(page_outcome::Kind::Unspecified) | Err(_) => return Err(Garbage("kind")),
    };
    let verdict = page::Verdict::try_from(message.verdict).map_err(|_| Garbage("verdict"))?;
    // Postgres stores no NUL.
    let detail = message.detail.chars().filter(|c| *c != '\0').take(MAX_DETAIL).collect();
    let retry_after = read_seconds(message.retry_after_seconds);
    let answer = read_answer(&message);
    Ok(Outcome {
        job,
        page,
        dispatch_seq: message.dispatch_sequence,
        kind,
        verdict: read_verdict(verdict),
        detail,
        http_status: message.http_status,
        crashes: message.crashes.max(0),
        stored: message.stored,
        retry_after,
        answer,
        content_key: message.content_key.as_slice().try_into().ok(),
        discovery: message.discovery.map(|message| Box::new(discovery::read(message))),
    })
}

/// What an outcome says about the host. A page that was handed back, or that we spoilt, says nothing.
fn read_answer(message: &pb::PageOutcome) -> Answer {
    use page_outcome::Kind::{Infra, Release};
    if matches!(message.kind(), Infra | Release) {
        return Answer::default();
    }
    let duration = |duration: Option<prost_types::Duration>| {
        duration.and_then(|duration| Duration::try_from(duration).ok()).map(|duration| duration.min(LONGEST))
    };
    Answer {
        start_time: message.start_time.and_then(super::read_timestamp),
        answered: message.http_status.is_some(),
        latency: duration(message.latency),
        crawl_delay: duration(message.crawl_delay),
        throttled: message.throttled,
        retry_after: read_seconds(message.retry_after_seconds),
    }
}

fn read_seconds(seconds: Option<i32>) -> Option<Duration> {
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
}
