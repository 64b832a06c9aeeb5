//! Hosts: their names in, their rates out.

use std::time::Duration;

use api::job::v1 as pb;
use domain::PageUrl;
use mesh::Violations;
use time::OffsetDateTime;
use tonic::Status;

use super::{read_timestamp, reply::timestamp, violation};
use crate::host::{Answer, Host, Pace, Reason, Reservation};

/// Longest answer time, longest pause and longest wait that are believed.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads `hosts/{host}` or `hosts/{host}:{port}`, as politeness counts hosts.
pub(crate) fn host_key(field: &str, name: &str) -> Result<String, Status> {
    let bad = || violation(field, "INVALID_NAME", "is not hosts/{host} or hosts/{host}:{port}");
    let host = name.strip_prefix("hosts/").ok_or_else(bad)?;
    if host.contains(['/', '?', '#', '@', '\\']) || host != host.trim() {
        return Err(bad());
    }
    PageUrl::parse(&format!("http://{host}/")).map(|url| url.host_key()).map_err(|_| bad())
}

/// Reads for which host a visit is reserved, and how long the visitor can wait.
pub(crate) fn reserve_visit(request: &pb::ReserveVisitRequest) -> Result<(String, Duration), Status> {
    let key = host_key("name", &request.name)?;
    let patience = request.patience.and_then(|patience| Duration::try_from(patience).ok());
    let patience = patience.ok_or_else(|| violation("patience", "OUT_OF_RANGE", "must be at least 0s"))?;
    Ok((key, patience.min(LONGEST)))
}

/// A reservation as its visitor sees it.
pub(crate) fn reservation(reservation: Reservation) -> pb::ReserveVisitResponse {
    let (reserved, wait) = match reservation {
        Reservation::After(wait) => (true, wait),
        Reservation::AskAgain(wait) => (false, wait),
    };
    pb::ReserveVisitResponse { reserved, wait: prost_types::Duration::try_from(wait).ok() }
}

/// Reads how a host answered to a visit.
pub(crate) fn report_visit(request: &pb::ReportVisitRequest) -> Result<(String, Answer), Status> {
    let key = host_key("name", &request.name)?;
    let start_time = request.start_time.and_then(read_timestamp);
    let mut wrong = Violations::new();
    if start_time.is_none() {
        wrong.add("start_time", "REQUIRED", "must be a point in time");
    }
    let mut duration = |field: &str, given: Option<prost_types::Duration>| {
        let given = given?;
        let read = Duration::try_from(given).ok();
        if read.is_none() {
            wrong.add(field, "OUT_OF_RANGE", "must be at least 0s");
        }
        read.map(|read| read.min(LONGEST))
    };
    let answer = Answer {
        start_time,
        answered: request.answered,
        latency: duration("latency", request.latency),
        crawl_delay: duration("crawl_delay", request.crawl_delay),
        throttled: request.throttled,
        retry_after: duration("retry_after", request.retry_after),
    };
    wrong.into_result()?;
    Ok((key, answer))
}

/// A host as callers see it.
pub(crate) fn host(
    host: &Host,
    pace: &Pace,
    local: bool,
    waiting_pages: i64,
    now: OffsetDateTime,
) -> pb::Host {
    let (delay, reason) = host.delay(pace);
    let duration = |duration: Duration| prost_types::Duration::try_from(duration).ok();
    let concurrency = host.concurrency(pace);
    pb::Host {
        name: format!("hosts/{}", host.key),
        delay: duration(delay),
        reason: match reason {
            Reason::Default => pb::host::Reason::Default,
            Reason::CrawlDelay => pb::host::Reason::CrawlDelay,
            Reason::Latency => pb::host::Reason::Latency,
            Reason::BackOff => pb::host::Reason::BackOff,
        }
        .into(),
        explanation: explain(host, delay, reason, concurrency, now),
        max_concurrency: i32::try_from(concurrency).unwrap_or(i32::MAX),
        next_time: (host.next_time > now).then(|| timestamp(host.next_time)),
        latency: host.latency.and_then(duration),
        crawl_delay: host.crawl_delay.and_then(duration),
        back_off: Some(host.back_off).filter(|back_off| !back_off.is_zero()).and_then(duration),
        hold_time: host.hold_time.filter(|hold| *hold > now).map(timestamp),
        throttle_time: host.throttle_time.map(timestamp),
        throttles: host.throttles,
        local,
        waiting_pages,
    }
}

fn explain(host: &Host, delay: Duration, reason: Reason, concurrency: u32, now: OffsetDateTime) -> String {
    let hold = host.hold_time.filter(|hold| *hold > now);
    if let Some(hold) = hold {
        let seconds = (hold - now).whole_seconds();
        return format!("nothing for {seconds} s: the host asked to slow down");
    }
    let rate =
        if delay.is_zero() { "no pause between pages".to_owned() } else { format!("a page each {delay:?}") };
    let why = match reason {
        Reason::Default => "as the settings say",
        Reason::CrawlDelay => "as the Crawl-delay of its robots.txt asks",
        Reason::Latency => "because it answers slowly",
        Reason::BackOff => "because it answered 429 or 503",
    };
    let first = if host.known { "" } else { "; it was not visited yet" };
    format!("{rate}, {concurrency} at a time, {why}{first}")
}
