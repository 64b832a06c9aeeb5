//! Which attempt is the last one, and what a row keeps.

use std::time::Duration;

use domain::{JobId, PageId};

use super::*;
use crate::discovery;

fn page(state: State, dispatched: Option<u64>, history: Vec<Attempt>) -> Page {
    let done = state == State::Done;
    Page {
        id: PageId::new(),
        job: JobId::new(),
        idx: 0,
        url: "https://example.com/".to_owned(),
        state,
        verdict: done.then_some(Verdict::Ok),
        detail: "the end".to_owned(),
        http_status: Some(200),
        lane: Lane::Http,
        lane_reason: "http first".to_owned(),
        attempts: 1,
        infra_faults: 0,
        crashes: 0,
        history,
        dispatch_time: dispatched.map(at),
        due_time: None,
        end_time: done.then(|| at(90)),
        host_wait: Duration::ZERO,
        host_since: None,
        kind: discovery::Kind::Page,
        depth: 0,
        found_on: None,
        found_on_url: None,
        rule: String::new(),
        score: None,
        found_time: None,
        first_dispatch_time: None,
        new_links: 0,
        change: None,
        base: None,
    }
}

fn at(second: u64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn retried(second: u64) -> Attempt {
    Attempt {
        dispatch_time: at(second),
        end_time: Some(at(second + 1)),
        lane: Lane::Browser,
        lane_reason: "asked for".to_owned(),
        end: Some(End::Retried),
        verdict: Some(Verdict::Timeout),
        detail: "body".to_owned(),
        http_status: None,
        crashes: 0,
    }
}

#[test]
fn the_last_attempt_is_read_from_the_row_unless_it_is_kept_there() {
    let ends = |page: Page| page.last_attempt().map(|last| (last.dispatch_time, last.end));
    assert_eq!(ends(page(State::Pending, None, vec![])), None);
    assert_eq!(ends(page(State::Done, None, vec![])), None, "never handed out");
    assert_eq!(ends(page(State::Running, Some(5), vec![])), Some((at(5), None)));
    assert_eq!(ends(page(State::Done, Some(5), vec![])), Some((at(5), Some(End::Decided))));
    assert_eq!(ends(page(State::Running, Some(9), vec![retried(5)])), Some((at(9), None)));
    assert_eq!(ends(page(State::Pending, Some(5), vec![retried(5)])), None, "it waits for the next");
    assert_eq!(ends(page(State::Done, Some(5), vec![retried(5)])), None, "it was cancelled while it waited");
}

#[test]
fn a_running_attempt_has_nothing_of_the_one_before() {
    let last = page(State::Running, Some(9), vec![retried(5)]).last_attempt().unwrap();
    assert_eq!((last.end_time, last.verdict, last.detail.as_str(), last.http_status), (None, None, "", None));
}

#[test]
fn a_row_keeps_the_newest_as_words_that_can_be_read_back() {
    let mut history = Vec::new();
    for second in 0..7 {
        keep(&mut history, retried(second), 3);
    }
    assert_eq!(history, [retried(4), retried(5), retried(6)]);
    let text = serde_json::to_string(&history).unwrap();
    assert!(text.contains(r#""lane":"browser""#) && text.contains(r#""verdict":"timeout""#), "{text}");
    assert_eq!(serde_json::from_str::<Vec<Attempt>>(&text).unwrap(), history);
}
