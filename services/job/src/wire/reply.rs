//! Domain to protobuf.

use std::time::Duration;

use api::job::v1::{self as pb, crawl_config, webhook_target};
use domain::{JobId, Lane, Priority, Verdict, id::page_name};
use prost::Message;
use time::OffsetDateTime;

use super::{browser, deep_crawl};
use crate::{
    attempt::{Attempt, End},
    change::{Change, Changes},
    discovery::Kind,
    event::{Event, EventType},
    job::{Counts, Job, State},
    page::{self, Page},
    spec::{Format, Render, Spec, Webhook},
    store::Entry,
};

/// What stands in the place of a header's value.
pub(super) const HIDDEN: &str = "***";

/// Who reads headers: of a webhook target, or of the requests to sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headers {
    /// The webhook service those of webhooks, the crawler those of pages.
    Shown,
    /// Everyone else: a value may be a credential.
    Hidden,
}

/// A job as callers see it.
pub(crate) fn job(job: &Job, headers: Headers) -> pb::Job {
    pb::Job {
        name: job.id.name(),
        state: state(job.state).into(),
        priority: priority(job.priority).into(),
        // The webhook service needs no credentials of pages.
        config: Some(config(&job.spec, Headers::Hidden)),
        webhook: job.webhook.as_ref().map(|target| webhook(target, headers)),
        labels: job.labels.clone().into_iter().collect(),
        counts: Some(counts(&job.counts)),
        verdicts: job.verdicts.clone().into_iter().collect(),
        create_time: Some(timestamp(job.create_time)),
        start_time: job.start_time.map(timestamp),
        end_time: job.end_time.map(timestamp),
        urls: job.first_urls.clone(),
        discovery: job.spec.follow.is_some().then(|| pb::Discovery {
            refused: job.discovered.refused.clone().into_iter().collect(),
            dropped: job.discovered.dropped,
            sources: job.discovered.sources,
        }),
        retry_of: job.retry_of.map(|job| job.name()).unwrap_or_default(),
        deadline: job.deadline.map(timestamp),
        schedule: job.schedule.map(|schedule| schedule.name()).unwrap_or_default(),
        baseline: job.baseline.map(|job| job.name()).unwrap_or_default(),
        changes: job.changes.map(|Changes { new, same, changed, removed, complete }| pb::Changes {
            new,
            same,
            changed,
            removed,
            complete,
        }),
    }
}

/// A line of the ledger of a job with this baseline.
pub(crate) fn page(page: &Page, baseline: Option<JobId>, now: OffsetDateTime) -> pb::Page {
    let since = page.host_since.filter(|_| page.state == page::State::Pending);
    let waits = since.and_then(|since| Duration::try_from(now - since).ok()).unwrap_or_default();
    pb::Page {
        name: page_name(page.job, page.id),
        url: page.url.clone(),
        page_state: match page.state {
            page::State::Pending => pb::page::State::Pending,
            page::State::Running => pb::page::State::Running,
            page::State::Done => pb::page::State::Done,
        }
        .into(),
        verdict: page.verdict.map_or(pb::page::Verdict::Unspecified, verdict).into(),
        detail: page.detail.clone(),
        http_status: page.http_status,
        page_lane: lane(page.lane).into(),
        lane_reason: page.lane_reason.clone(),
        attempts: page.attempts,
        infra_faults: page.infra_faults,
        history: page.history.iter().cloned().chain(page.last_attempt()).map(attempt).collect(),
        due_time: page.due_time.map(timestamp),
        end_time: page.end_time.map(timestamp),
        host_wait: prost_types::Duration::try_from(page.host_wait + waits).ok(),
        host_wait_time: since.map(timestamp),
        depth: page.depth,
        found_on: page.found_on.map(|parent| page_name(page.job, parent)).unwrap_or_default(),
        found_on_url: page.found_on_url.clone().unwrap_or_default(),
        rule: page.rule.clone(),
        score: page.score,
        found_time: page.found_time.map(timestamp),
        waited: page
            .found_time
            .zip(page.first_dispatch_time)
            .and_then(|(found, dispatched)| (dispatched - found).try_into().ok())
            .and_then(|wait: std::time::Duration| wait.try_into().ok()),
        kind: kind(page.kind).into(),
        new_links: page.new_links,
        change: page.change.map_or(pb::page::Change::Unspecified, change).into(),
        baseline_page: baseline.zip(page.base).map(|(job, base)| page_name(job, base)).unwrap_or_default(),
    }
}

fn attempt(attempt: Attempt) -> pb::page::Attempt {
    pb::page::Attempt {
        dispatch_time: Some(timestamp(attempt.dispatch_time)),
        end_time: attempt.end_time.map(timestamp),
        attempt_lane: lane(attempt.lane).into(),
        lane_reason: attempt.lane_reason,
        end: attempt.end.map_or(pb::page::attempt::End::Unspecified, end).into(),
        verdict: attempt.verdict.map_or(pb::page::Verdict::Unspecified, verdict).into(),
        detail: attempt.detail,
        http_status: attempt.http_status,
        crashes: attempt.crashes,
    }
}

fn end(end: End) -> pb::page::attempt::End {
    match end {
        End::Decided => pb::page::attempt::End::Decided,
        End::Retried => pb::page::attempt::End::Retried,
        End::Fault => pb::page::attempt::End::Fault,
        End::Escalated => pb::page::attempt::End::Escalated,
        End::Released => pb::page::attempt::End::Released,
        End::Lost => pb::page::attempt::End::Lost,
    }
}

fn lane(lane: Lane) -> pb::page::Lane {
    match lane {
        Lane::Http => pb::page::Lane::Http,
        Lane::Browser => pb::page::Lane::Browser,
    }
}

fn change(change: Change) -> pb::page::Change {
    match change {
        Change::New => pb::page::Change::New,
        Change::Same => pb::page::Change::Same,
        Change::Changed => pb::page::Change::Changed,
        Change::Removed => pb::page::Change::Removed,
    }
}

/// The proto value of a kind.
pub(super) fn kind(kind: Kind) -> pb::page::Kind {
    match kind {
        Kind::Page => pb::page::Kind::Page,
        Kind::RobotsFile => pb::page::Kind::RobotsFile,
        Kind::Sitemap => pb::page::Kind::Sitemap,
    }
}

/// A line of a job's event log, with the job as it stood then.
pub(crate) fn event(job_now: &Job, event: &Event, headers: Headers) -> pb::JobEvent {
    pb::JobEvent {
        sequence: event.sequence,
        r#type: event.event_type.as_str().to_owned(),
        occur_time: Some(timestamp(event.time)),
        job: Some(job(&job_now.as_of(event.snapshot.clone()), headers)),
    }
}

/// A line of the log of all jobs, for the webhook service.
pub(crate) fn entry(entry: &Entry) -> pb::list_events_response::Entry {
    pb::list_events_response::Entry {
        cursor: entry.cursor,
        event_id: entry.event.id(),
        tenant: entry.event.tenant.name(),
        event: Some(event(&entry.job, &entry.event, Headers::Shown)),
        traceparent: entry.event.traceparent.clone().unwrap_or_default(),
    }
}

/// How to fetch, with every default filled in.
pub(crate) fn config(spec: &Spec, headers: Headers) -> pb::CrawlConfig {
    pb::CrawlConfig {
        render: match spec.render {
            Render::Auto => crawl_config::Render::Auto,
            Render::Http => crawl_config::Render::Http,
            Render::Browser => crawl_config::Render::Browser,
        }
        .into(),
        page_timeout: prost_types::Duration::try_from(spec.page_timeout).ok(),
        max_attempts: Some(spec.max_attempts),
        screenshot: spec.screenshot,
        keep_html: Some(spec.keep_html),
        result_ttl: prost_types::Duration::try_from(spec.result_ttl).ok(),
        respect_robots: Some(spec.respect_robots),
        extraction: spec.extraction.as_ref().and_then(|message| pb::Extraction::decode(&message.0[..]).ok()),
        browser: spec.browser.as_ref().map(|browser| Box::new(browser::reply(browser, headers))),
        deep_crawl: spec.follow.as_ref().map(deep_crawl::write),
        fetch: spec.fetch.as_ref().map(|options| Box::new(super::fetch::fetch(options, headers))),
        session: spec.session.as_ref().map(super::session::show),
    }
}

/// Keeps as many items as fit into `budget` bytes, one at least. Returns whether some were left out.
pub(crate) fn fit<M: Message>(items: &mut Vec<M>, budget: usize) -> bool {
    let mut sum = 0;
    // Each item costs its tag and length, too.
    let kept = items.iter().take_while(|item| {
        sum += item.encoded_len() + 8;
        sum <= budget
    });
    let kept = kept.count().max(1);
    let cut = kept < items.len();
    items.truncate(kept);
    cut
}

pub(super) fn webhook(webhook: &Webhook, headers: Headers) -> pb::WebhookTarget {
    let shown = |value: &String| if headers == Headers::Shown { value.clone() } else { HIDDEN.to_owned() };
    pb::WebhookTarget {
        url: webhook.url.clone(),
        headers: webhook.headers.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
        event_types: webhook.event_types.iter().map(EventType::to_string).collect(),
        format: match webhook.format {
            Format::Standard => webhook_target::Format::Standard,
            Format::Crawl4ai => webhook_target::Format::Crawl4ai,
        }
        .into(),
    }
}

fn counts(counts: &Counts) -> pb::Counts {
    pb::Counts {
        found: counts.found,
        succeeded: counts.succeeded,
        failed: counts.failed,
        skipped: counts.skipped,
        cancelled: counts.cancelled,
        pending: counts.pending,
        running: counts.running,
    }
}

fn state(state: State) -> pb::job::State {
    match state {
        State::Queued => pb::job::State::Queued,
        State::Running => pb::job::State::Running,
        State::Succeeded => pb::job::State::Succeeded,
        State::Failed => pb::job::State::Failed,
        State::Cancelled => pb::job::State::Cancelled,
        State::Paused => pb::job::State::Paused,
    }
}

pub(super) fn priority(priority: Priority) -> pb::job::Priority {
    match priority {
        Priority::High => pb::job::Priority::High,
        Priority::Normal => pb::job::Priority::Normal,
        Priority::Low => pb::job::Priority::Low,
    }
}

/// The proto value of a verdict: the same word in another case.
fn verdict(verdict: Verdict) -> pb::page::Verdict {
    pb::page::Verdict::from_str_name(&verdict.as_str().to_ascii_uppercase())
        .unwrap_or(pb::page::Verdict::Unspecified)
}

pub(super) fn timestamp(time: OffsetDateTime) -> prost_types::Timestamp {
    // Nanoseconds of a second always fit.
    let nanos = i32::try_from(time.nanosecond()).unwrap_or_default();
    prost_types::Timestamp { seconds: time.unix_timestamp(), nanos }
}
