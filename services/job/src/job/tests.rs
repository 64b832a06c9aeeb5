//! The state machine of a job, and the sums of its ledger.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::page::{self, Kind, Next, Record};
use crate::spec::Render;

fn job() -> Job {
    Job {
        id: JobId::new(),
        tenant: TenantId::new(),
        state: State::Queued,
        priority: Priority::Normal,
        spec: page::tests::spec(Render::Auto, 3),
        spec_version: 1,
        webhook: None,
        labels: BTreeMap::new(),
        first_urls: Vec::new(),
        counts: Counts::default(),
        verdicts: Verdicts::new(),
        discovered: crate::discovery::Discovered::default(),
        event_sequence: 0,
        traceparent: None,
        create_time: at(0),
        start_time: None,
        end_time: None,
        progress_time: None,
        deadline: None,
        retry_of: None,
        schedule: None,
        baseline: None,
        changes: None,
    }
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
}

fn running(pages: i64) -> Job {
    let mut job = job();
    job.add_pages(pages, 0);
    job.record(EventType::Created, at(0));
    job.dispatch(pages, at(1));
    job
}

#[test]
fn a_job_starts_once() {
    let mut job = job();
    job.add_pages(2, 1);
    assert_eq!(job.verdicts, [("duplicate".to_owned(), 1)].into());
    let event = job.dispatch(1, at(5)).expect("because it was queued");
    assert_eq!(
        (event.event_type, event.sequence, event.snapshot.state),
        (EventType::Started, 1, State::Running)
    );
    assert_eq!(event.snapshot.counts.running, 1);
    assert!(job.dispatch(1, at(6)).is_none());
    assert_eq!(job.start_time, Some(at(5)));
}

#[test]
fn the_last_verdict_ends_a_job() {
    for (verdicts, end) in [
        (vec![Verdict::Ok], EventType::Succeeded),
        (vec![Verdict::Dns, Verdict::NotModified], EventType::Succeeded),
        (vec![Verdict::Dns], EventType::Failed),
        (vec![Verdict::Robots, Verdict::Duplicate], EventType::Failed),
    ] {
        let mut job = running(verdicts.len().try_into().unwrap());
        for verdict in &verdicts {
            job.settle(*verdict);
        }
        let event = job.advance(at(9), Duration::from_secs(100)).expect("because nothing is left");
        assert_eq!(event.event_type, end, "{verdicts:?}");
        assert!(job.state.terminal() && job.end_time == Some(at(9)) && job.counts.add_up());
        assert!(job.advance(at(10), Duration::ZERO).is_none(), "a job ends once");
    }
}

#[test]
fn progress_is_told_no_faster_than_asked() {
    let mut job = running(10);
    let mut told = Vec::new();
    for second in [1, 2, 5, 6, 8] {
        job.settle(Verdict::Ok);
        let event = job.advance(at(second), Duration::from_secs(3));
        told.push(event.map(|event| (event.event_type, event.sequence)));
    }
    let progress = |sequence| Some((EventType::Progress, sequence));
    assert_eq!(told, [progress(3), None, progress(4), None, progress(5)]);
}

#[test]
fn only_a_running_job_can_be_cancelled() {
    let mut job = running(3);
    job.settle(Verdict::Ok);
    let event = job.cancel(at(4)).expect("because it runs").expect("because it was not cancelled");
    assert_eq!(
        (event.event_type, job.counts.cancelled, job.counts.add_up()),
        (EventType::Cancelled, 2, true)
    );
    assert!(job.cancel(at(5)).expect("because it is cancelled").is_none());
    assert_eq!(job.end_time, Some(at(4)));

    let mut job = running(1);
    job.settle(Verdict::Ok);
    job.advance(at(2), Duration::ZERO);
    assert!(matches!(job.cancel(at(3)), Err(Error::Finished(_, State::Succeeded))));
}

/// What may happen to a job.
#[derive(Debug, Clone)]
enum Step {
    Dispatch(i64),
    Outcome(Kind, Option<Verdict>),
    GiveBack,
    Advance,
    Cancel,
    Pause,
    Resume,
    RetryFailed,
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let kinds = vec![Kind::Final, Kind::Retry, Kind::Infra, Kind::Escalate, Kind::Release];
    let verdicts = Verdict::ALL.to_vec();
    prop_oneof![
        4 => (1..5i64).prop_map(Step::Dispatch),
        8 => (prop::sample::select(kinds), prop::option::of(prop::sample::select(verdicts)))
            .prop_map(|(kind, verdict)| Step::Outcome(kind, verdict)),
        1 => Just(Step::GiveBack),
        4 => Just(Step::Advance),
        1 => Just(Step::Cancel),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => Just(Step::RetryFailed),
        1 => Just(Step::Expire),
    ]
}

/// A ledger in memory, driven like the store drives the real one.
fn apply(job: &mut Job, step: &Step, now: OffsetDateTime) -> Vec<Event> {
    match step {
        Step::Dispatch(pages) => {
            let pages = (*pages).min(job.counts.pending);
            if pages > 0 && job.state != State::Paused {
                job.dispatch(pages, now).into_iter().collect()
            } else {
                Vec::new()
            }
        }
        Step::Outcome(kind, verdict) if job.counts.running > 0 => {
            let mut record = Record {
                lane: domain::Lane::Http,
                lane_reason: String::new(),
                attempts: 0,
                infra_faults: 0,
                crashes: 0,
            };
            let outcome = page::tests::outcome(*kind, *verdict);
            match page::tests::retry().settle(&mut record, &outcome, &job.spec, 0.5) {
                Next::Settled(verdict) => job.settle(verdict),
                Next::Again(_) => job.give_back(1),
            }
            job.advance(now, Duration::ZERO).into_iter().collect()
        }
        Step::GiveBack if job.counts.running > 0 => {
            job.give_back(1);
            Vec::new()
        }
        Step::Advance => job.advance(now, Duration::ZERO).into_iter().collect(),
        Step::Cancel => job.cancel(now).ok().flatten().into_iter().collect(),
        Step::Pause => job.pause(now).ok().flatten().into_iter().collect(),
        Step::Resume => job.resume(now).ok().flatten().into_iter().collect(),
        Step::RetryFailed => {
            let failed = |verdict: &&Verdict| verdict.outcome() == domain::Outcome::Failed;
            for verdict in Verdict::ALL.iter().filter(failed) {
                let pages = job.verdicts.get(verdict.as_str()).copied().unwrap_or_default();
                if pages > 0 && !job.state.terminal() {
                    job.retry(*verdict, pages);
                }
            }
            Vec::new()
        }
        Step::Expire => {
            job.deadline = Some(now);
            job.expire(now).into_iter().collect()
        }
        Step::Outcome(..) | Step::GiveBack => Vec::new(),
    }
}

proptest! {
    #[test]
    fn sums_always_add_up_and_a_job_ends_once(
        pages in 1..30i64,
        duplicates in 0..5i64,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut job = job();
        job.add_pages(pages, duplicates);
        let mut events = vec![job.record(EventType::Created, at(0))];
        let mut terminal = None;
        for (second, step) in (1..).zip(&steps) {
            events.extend(apply(&mut job, step, at(second)));
            prop_assert!(job.counts.add_up(), "{step:?}: {:?}", job.counts);
            prop_assert_eq!(job.counts.found, pages + duplicates);
            prop_assert_eq!(
                job.verdicts.values().sum::<i64>(),
                job.counts.found - job.counts.pending - job.counts.running
            );
            if let Some(state) = terminal {
                prop_assert_eq!(job.state, state, "a terminal state is final");
            }
            terminal = job.state.terminal().then_some(job.state);
            prop_assert_eq!(terminal.is_some(), job.end_time.is_some());
        }
        let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
        prop_assert_eq!(sequences, (1..=job.event_sequence).collect::<Vec<_>>());
        let ends = events.iter().filter(|event| event.event_type.terminal()).count();
        prop_assert_eq!(ends, usize::from(job.state.terminal()));
    }
}
