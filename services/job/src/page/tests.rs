//! What a page becomes of each outcome, and the proptest of the ledger.

use std::time::Duration;

use domain::Verdict;
use proptest::prelude::*;

use super::*;

pub(crate) fn retry() -> Retry {
    Retry {
        base: Duration::from_secs(2),
        cap: Duration::from_secs(60),
        max_retry_after: Duration::from_secs(900),
        infra_base: Duration::from_secs(1),
        infra_cap: Duration::from_secs(30),
        max_infra_faults: 20,
        max_crashes: 3,
        max_history: 20,
    }
}

pub(crate) fn spec(render: Render, max_attempts: i32) -> Spec {
    Spec {
        render,
        page_timeout: Duration::from_secs(60),
        max_attempts,
        screenshot: false,
        keep_html: true,
        result_ttl: Duration::from_secs(3600),
        respect_robots: true,
        extraction: None,
        browser: None,
        follow: None,
        fetch: None,
        session: None,
    }
}

fn record(lane: Lane, attempts: i32, infra_faults: i32, crashes: i32) -> Record {
    Record { lane, lane_reason: "http first".to_owned(), attempts, infra_faults, crashes }
}

pub(crate) fn outcome(kind: Kind, verdict: Option<Verdict>) -> Outcome {
    Outcome {
        job: JobId::new(),
        page: PageId::new(),
        dispatch_seq: 1,
        kind,
        verdict,
        detail: "empty app root".to_owned(),
        http_status: None,
        crashes: 0,
        stored: false,
        retry_after: None,
        answer: Answer::default(),
        content_key: None,
        discovery: None,
    }
}

const SECOND: Duration = Duration::from_secs(1);
const FULL: f64 = 1.0;

#[test]
fn an_outcome_moves_a_page() {
    use Kind::{Escalate, Final, Infra, Release, Retry};
    use Lane::{Browser, Http};
    use Next::{Again, Settled};
    use Verdict::{Blocked, Empty, HttpError, Ok, Poison};
    let now = Duration::ZERO;
    // before, kind, verdict, crashes → after (lane, attempts, faults, crashes), what comes next
    let table = [
        ("done", (Http, 0, 0, 0), Final, Some(Ok), 0, (Http, 1, 0, 0), Settled(Ok)),
        ("poison is no attempt", (Http, 1, 0, 0), Final, Some(Poison), 3, (Http, 1, 0, 3), Settled(Poison)),
        (
            "an end without verdict is our fault",
            (Http, 0, 0, 0),
            Final,
            None,
            0,
            (Http, 0, 1, 0),
            Again(SECOND),
        ),
        ("first retry", (Http, 0, 0, 0), Retry, Some(HttpError), 0, (Http, 1, 0, 0), Again(2 * SECOND)),
        ("second retry", (Http, 1, 0, 0), Retry, Some(HttpError), 0, (Http, 2, 0, 0), Again(4 * SECOND)),
        ("no attempt left", (Http, 2, 0, 0), Retry, Some(Blocked), 0, (Http, 3, 0, 0), Settled(Blocked)),
        (
            "no attempt and no verdict",
            (Http, 2, 0, 0),
            Retry,
            None,
            0,
            (Http, 3, 0, 0),
            Settled(Verdict::Infra),
        ),
        ("our fault", (Http, 2, 3, 0), Infra, None, 0, (Http, 2, 4, 0), Again(8 * SECOND)),
        ("our fault, capped", (Http, 0, 18, 0), Infra, None, 0, (Http, 0, 19, 0), Again(30 * SECOND)),
        ("our fault too often", (Http, 0, 19, 0), Infra, None, 0, (Http, 0, 20, 0), Settled(Verdict::Infra)),
        ("to the browser", (Http, 1, 0, 0), Escalate, Some(Empty), 0, (Browser, 1, 0, 0), Again(now)),
        (
            "beyond the browser",
            (Browser, 0, 0, 0),
            Escalate,
            Some(Empty),
            0,
            (Browser, 1, 0, 0),
            Settled(Empty),
        ),
        ("beyond, without verdict", (Browser, 0, 0, 0), Escalate, None, 0, (Browser, 0, 1, 0), Again(SECOND)),
        ("handed back", (Browser, 1, 2, 1), Release, None, 1, (Browser, 1, 2, 1), Again(now)),
        (
            "crashes are remembered",
            (Http, 0, 0, 1),
            Retry,
            Some(HttpError),
            2,
            (Http, 1, 0, 2),
            Again(2 * SECOND),
        ),
        ("crashes do not shrink", (Http, 0, 0, 2), Release, None, 0, (Http, 0, 0, 2), Again(now)),
        ("three crashes", (Http, 0, 0, 2), Infra, None, 3, (Http, 0, 0, 3), Settled(Poison)),
        ("crashed, but done", (Http, 0, 0, 2), Final, Some(Ok), 3, (Http, 1, 0, 3), Settled(Ok)),
    ];
    for (name, before, kind, verdict, crashes, after, next) in table {
        let mut page = record(before.0, before.1, before.2, before.3);
        let outcome = Outcome { crashes, ..outcome(kind, verdict) };
        let came = retry().settle(&mut page, &outcome, &spec(Render::Auto, 3), FULL);
        assert_eq!(came, next, "{name}");
        let is = (page.lane, page.attempts, page.infra_faults, page.crashes);
        assert_eq!(is, after, "{name}");
    }
}

#[test]
fn an_escalation_says_why_and_only_happens_where_the_caller_left_the_choice() {
    let mut page = record(Lane::Http, 0, 0, 0);
    retry().settle(&mut page, &outcome(Kind::Escalate, None), &spec(Render::Auto, 3), FULL);
    assert_eq!(page.lane_reason, "needs JavaScript: empty app root");

    let mut page = record(Lane::Http, 0, 0, 0);
    let escalate = outcome(Kind::Escalate, Some(Verdict::Empty));
    let next = retry().settle(&mut page, &escalate, &spec(Render::Http, 3), FULL);
    assert_eq!((next, page.lane), (Next::Settled(Verdict::Empty), Lane::Http));
}

#[test]
fn retry_after_is_honoured_up_to_its_limit() {
    for (seconds, wait) in [(1, 2), (30, 30), (100_000, 900)] {
        let mut page = record(Lane::Http, 0, 0, 0);
        let asked = Some(Duration::from_secs(seconds));
        let outcome = Outcome { retry_after: asked, ..outcome(Kind::Retry, Some(Verdict::Blocked)) };
        let next = retry().settle(&mut page, &outcome, &spec(Render::Auto, 3), FULL);
        assert_eq!(next, Next::Again(Duration::from_secs(wait)), "{seconds}");
    }
}

proptest! {
    #[test]
    fn back_off_stays_in_its_bounds(n in -1..1000i32, chance in 0.0..1.0f64) {
        let wait = back_off(2 * SECOND, 60 * SECOND, n, chance);
        prop_assert!(wait >= SECOND && wait <= 60 * SECOND, "{wait:?}");
    }

    #[test]
    fn a_page_ends(kinds in prop::collection::vec(0..4usize, 40), max_attempts in 1..=10i32) {
        let kinds = kinds.into_iter().map(|kind| {
            [Kind::Final, Kind::Retry, Kind::Infra, Kind::Escalate][kind]
        });
        let mut page = record(Lane::Http, 0, 0, 0);
        let spec = spec(Render::Auto, max_attempts);
        let mut ended = false;
        for kind in kinds {
            let outcome = outcome(kind, (kind == Kind::Retry).then_some(Verdict::Timeout));
            if matches!(retry().settle(&mut page, &outcome, &spec, FULL), Next::Settled(_)) {
                ended = true;
                break;
            }
        }
        prop_assert!(ended);
        prop_assert!(page.attempts <= max_attempts && page.infra_faults <= 20);
    }
}
