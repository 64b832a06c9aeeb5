//! Hosts: their names in, their rates out.

use std::time::Duration;

use api::job::v1 as pb;
use domain::PageUrl;
use time::OffsetDateTime;
use tonic::Status;

use super::{reply::timestamp, violation};
use crate::host::{Host, Pace, Reason};

/// Reads `hosts/{host}` or `hosts/{host}:{port}`, as politeness counts hosts.
pub(crate) fn host_key(field: &str, name: &str) -> Result<String, Status> {
    let bad = || violation(field, "INVALID_NAME", "is not hosts/{host} or hosts/{host}:{port}");
    let host = name.strip_prefix("hosts/").ok_or_else(bad)?;
    if host.contains(['/', '?', '#', '@', '\\']) || host != host.trim() {
        return Err(bad());
    }
    PageUrl::parse(&format!("http://{host}/")).map(|url| url.host_key()).map_err(|_| bad())
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
