//! The times of schedules, through changes of clocks and downtimes.

use time::{format_description::well_known::Rfc3339, macros::datetime};

use super::*;
use crate::{page, spec::Render};

fn cron(expression: &str, time_zone: &str) -> Timing {
    Timing::cron(expression, time_zone).unwrap()
}

/// The next times, in UTC.
fn times(timing: &Timing, after: OffsetDateTime, count: usize) -> Vec<String> {
    let mut times = Vec::new();
    let mut now = after;
    for _ in 0..count {
        now = timing.next(None, now).unwrap();
        times.push(now.format(&Rfc3339).unwrap());
    }
    times
}

#[test]
fn a_time_of_the_day_is_that_of_its_zone() {
    let berlin = cron("30 8 * * MON-FRI", "europe/berlin");
    assert_eq!(
        berlin,
        Timing::Cron { expression: "30 8 * * MON-FRI".to_owned(), time_zone: "Europe/Berlin".to_owned() }
    );
    // A Friday in winter time, a Monday in summer time.
    assert_eq!(
        times(&berlin, datetime!(2026-03-27 00:00 UTC), 2),
        ["2026-03-27T07:30:00Z", "2026-03-30T06:30:00Z"]
    );
    assert_eq!(
        times(&cron("@monthly", ""), datetime!(2026-01-31 23:59:59.5 UTC), 2),
        ["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]
    );
}

#[test]
fn a_time_in_a_gap_comes_at_its_end_and_only_that_day() {
    // On 29 March 2026 clocks in Berlin go from 02:00 (01:00 UTC) to 03:00.
    assert_eq!(
        times(&cron("30 2 * * *", "Europe/Berlin"), datetime!(2026-03-28 00:00 UTC), 3),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
    // What comes each hour goes on from hour to hour.
    assert_eq!(
        times(&cron("@hourly", "Europe/Berlin"), datetime!(2026-03-28 23:30 UTC), 4),
        ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z", "2026-03-29T03:00:00Z"]
    );
}

#[test]
fn a_time_that_the_clock_shows_twice_comes_once_and_an_hourly_one_twice() {
    // On 25 October 2026 clocks in Berlin go from 03:00 (01:00 UTC) back to 02:00.
    assert_eq!(
        times(&cron("30 2 * * *", "Europe/Berlin"), datetime!(2026-10-24 12:00 UTC), 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    assert_eq!(
        times(&cron("30 * * * *", "Europe/Berlin"), datetime!(2026-10-24 23:45 UTC), 3),
        ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]
    );
}

#[test]
fn what_is_no_timing_is_told_with_field_and_reason() {
    for (expression, time_zone, field, reason) in [
        ("", "", "cron", "INVALID_CRON"),
        ("* * * *", "", "cron", "INVALID_CRON"),
        ("0 * * * * *", "", "cron", "INVALID_CRON"),
        ("60 * * * *", "", "cron", "INVALID_CRON"),
        ("@reboot", "", "cron", "INVALID_CRON"),
        ("5/0 * * * *", "", "cron", "INVALID_CRON"),
        ("@daily", "Europe/Atlantis", "time_zone", "UNKNOWN_TIME_ZONE"),
        ("@daily", "../../etc/passwd", "time_zone", "UNKNOWN_TIME_ZONE"),
    ] {
        let refusal = Timing::cron(expression, time_zone).unwrap_err();
        assert_eq!((refusal.field, refusal.reason), (field, reason), "{expression}");
    }
    let now = datetime!(2026-01-01 00:00 UTC);
    let minute = Duration::from_secs(60);
    let never = cron("0 0 30 2 *", "").check(minute, now).unwrap_err();
    assert_eq!((never.reason, never.description.as_str()), ("INVALID_CRON", "never comes"));
    assert!(cron("0 0 29 2 *", "").check(minute, now).is_ok(), "leap years come");
}

#[test]
fn a_timing_that_comes_too_often_is_refused() {
    let now = datetime!(2026-01-01 00:00 UTC);
    let hour = Duration::from_secs(3600);
    for (expression, good) in [
        ("@hourly", true),
        ("@yearly", true),
        ("0,59 3 * * *", false),
        ("59 23 * * *", true),
        ("30 0,1 1 1,7 *", true),
        ("*/5 0 24 12 *", false),
    ] {
        assert_eq!(cron(expression, "Europe/Berlin").check(hour, now).is_ok(), good, "{expression}");
    }
}

fn schedule(timing: Timing, overlap: Overlap, now: OffsetDateTime) -> Schedule {
    let job = Template {
        urls: vec!["https://example.com/".to_owned()],
        spec: page::tests::spec(Render::Auto, 3),
        webhook: None,
        labels: BTreeMap::new(),
        priority: "normal".to_owned(),
        max_duration: None,
        baseline: None,
    };
    let plan = Plan { timing, job, labels: BTreeMap::new(), overlap, paused: false, track_changes: false };
    Schedule::new(TenantId::new(), plan, now).unwrap()
}

#[test]
fn after_a_downtime_one_job_makes_up_for_all_and_the_distance_is_kept() {
    let start = datetime!(2026-01-01 00:00:10 UTC);
    let mut schedule = schedule(Timing::Every(Duration::from_secs(600)), Overlap::Skip, start);
    assert_eq!(schedule.turn(start, false), None);
    let late = datetime!(2026-01-01 05:03 UTC);
    assert_eq!(schedule.turn(late, false), Some(Turn::Fire));
    schedule.fire(JobId::new());
    schedule.advance(late);
    assert_eq!(schedule.last_time, Some(datetime!(2026-01-01 00:10:10 UTC)));
    assert_eq!(schedule.next_time, Some(datetime!(2026-01-01 05:10:10 UTC)));
    assert_eq!(schedule.turn(late, false), None, "once");
}

#[test]
fn a_time_is_skipped_while_the_last_job_has_not_ended_unless_that_is_allowed() {
    let start = datetime!(2026-01-01 00:00 UTC);
    let due = datetime!(2026-01-01 01:00 UTC);
    for (overlap, turn) in [(Overlap::Skip, Turn::Skip), (Overlap::Allow, Turn::Fire)] {
        let schedule = schedule(cron("@hourly", ""), overlap, start);
        assert_eq!((schedule.turn(due, true), schedule.turn(due, false)), (Some(turn), Some(Turn::Fire)));
    }
}

#[test]
fn a_pause_is_not_made_up_for_and_a_label_moves_no_time() {
    let start = datetime!(2026-01-01 00:00 UTC);
    let mut schedule = schedule(Timing::Every(Duration::from_secs(3600)), Overlap::Skip, start);
    let plan = schedule.plan.clone();
    let labels = BTreeMap::from([("team".to_owned(), "docs".to_owned())]);
    let later = datetime!(2026-01-01 00:20 UTC);
    schedule.change(Plan { labels, ..plan.clone() }, later).unwrap();
    assert_eq!(schedule.next_time, Some(datetime!(2026-01-01 01:00 UTC)));
    schedule.change(Plan { paused: true, ..plan.clone() }, later).unwrap();
    assert_eq!((schedule.next_time, schedule.turn(datetime!(2026-01-02 00:00 UTC), false)), (None, None));
    schedule.change(plan, datetime!(2026-01-02 00:05 UTC)).unwrap();
    assert_eq!(schedule.next_time, Some(datetime!(2026-01-02 01:05 UTC)));
    assert_eq!(schedule.version, 4);
}
