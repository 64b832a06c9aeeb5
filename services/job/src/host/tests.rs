//! How fast a host is visited, whatever it answers.

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn pace() -> Pace {
    Pace {
        min_delay: SECOND / 4,
        max_concurrency: 4,
        latency_factor: 1.0,
        max_latency_delay: 10 * SECOND,
        back_off: SECOND,
        max_back_off: 60 * SECOND,
        max_retry_after: 900 * SECOND,
    }
}

/// Hosts under `example.com` have no limit, all others `public`.
pub(crate) fn paces(public: Pace) -> Paces {
    let local = Pace { min_delay: Duration::ZERO, max_concurrency: 1000, latency_factor: 0.0, ..pace() };
    Paces::new(Politeness { public, local, local_hosts: vec!["example.com".to_owned()] }, Vec::new())
}

fn start() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn fetched(start_time: OffsetDateTime, latency: Duration) -> Answer {
    Answer { start_time: Some(start_time), answered: true, latency: Some(latency), ..Answer::default() }
}

fn refused(start_time: OffsetDateTime, retry_after: Option<Duration>) -> Answer {
    Answer { throttled: true, retry_after, ..fetched(start_time, SECOND / 10) }
}

fn known() -> Host {
    Host { known: true, ..Host::new("example.com".to_owned(), start()) }
}

#[test]
fn a_new_host_gets_one_page_until_it_has_answered() {
    let (pace, now) = (pace(), start());
    let mut host = Host::new("example.com".to_owned(), now);
    assert_eq!(host.admit(0, now, &pace), Admission::Now);
    assert_eq!(host.admit(1, now + 5 * SECOND, &pace), Admission::Later);
    assert!(host.busy);
    host.learn(&Answer { crawl_delay: Some(2 * SECOND), ..fetched(now, SECOND / 100) }, now + SECOND, &pace);
    assert_eq!((host.busy, host.delay(&pace)), (false, (2 * SECOND, Reason::CrawlDelay)));
    assert_eq!(host.admit(0, now + SECOND, &pace), Admission::Later);
    assert_eq!(host.admit(0, now + 2 * SECOND, &pace), Admission::Now);
    assert_eq!(host.admit(1, now + 9 * SECOND, &pace), Admission::Later, "a Crawl-delay means one at a time");
    host.learn(&Answer { crawl_delay: Some(Duration::ZERO), ..fetched(now, SECOND) }, now, &pace);
    assert_eq!(host.crawl_delay, None, "the file changed");
}

#[test]
fn complaints_double_the_delay_once_each_and_successes_halve_it() {
    let (pace, now) = (pace(), start());
    let mut host = known();
    // Three requests that were out together are one complaint.
    for _ in 0..3 {
        host.learn(&refused(now, None), now + SECOND, &pace);
    }
    assert_eq!((host.back_off, host.throttles, host.next_time), (SECOND, 1, now + 2 * SECOND));
    host.learn(&refused(now + 2 * SECOND, None), now + 3 * SECOND, &pace);
    assert_eq!((host.back_off, host.throttles), (2 * SECOND, 2));
    assert_eq!(host.delay(&pace), (2 * SECOND, Reason::BackOff));
    host.learn(&fetched(now, SECOND / 10), now + 4 * SECOND, &pace);
    assert_eq!(host.back_off, 2 * SECOND, "that request was sent before");
    for left in [SECOND, SECOND / 2, Duration::ZERO] {
        host.learn(&fetched(now + 5 * SECOND, SECOND / 10), now + 6 * SECOND, &pace);
        assert_eq!(host.back_off, left);
    }
}

#[test]
fn retry_after_holds_everybody_up_to_its_limit() {
    let (pace, now) = (pace(), start());
    let mut host = known();
    host.learn(&refused(now, Some(30 * SECOND)), now, &pace);
    assert_eq!(host.admit(0, now + 29 * SECOND, &pace), Admission::Later);
    assert_eq!(host.admit(0, now + 30 * SECOND, &pace), Admission::Now);
    host.learn(&refused(now, Some(86_400 * SECOND)), now, &pace);
    assert_eq!(host.hold_time, Some(now + 900 * SECOND));
}

#[test]
fn slow_answers_slow_it_down_and_failures_do_not() {
    let (pace, now) = (pace(), start());
    let mut host = known();
    host.learn(&fetched(now, 3 * SECOND), now, &pace);
    assert_eq!(host.delay(&pace), (3 * SECOND, Reason::Latency));
    host.learn(&Answer { start_time: Some(now), ..Answer::default() }, now, &pace);
    assert_eq!(host.delay(&pace).0, 3 * SECOND);
    for _ in 0..100 {
        host.learn(&fetched(now, 100 * SECOND), now, &pace);
    }
    assert_eq!(host.delay(&pace).0, pace.max_latency_delay);
    let unbegun = host.clone();
    assert!(!host.learn(&Answer::default(), now + SECOND, &pace));
    assert_eq!(host, unbegun);
}

#[test]
fn ones_own_hosts_are_known() {
    let hosts = || Politeness { public: pace(), local: pace(), local_hosts: vec!["Docs.lan".to_owned()] };
    let allow: Vec<IpNet> = ["127.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).to_vec();
    let paces = Paces::new(hosts(), allow);
    for (key, local) in [
        ("127.0.0.1", true),
        ("127.0.0.1:8080", true),
        ("[fd00::1]:8080", true),
        ("[2606::1]", false),
        ("10.0.0.1", false),
        ("localhost:3000", true),
        ("a.localhost", true),
        ("notlocalhost", false),
        ("docs.lan", true),
        ("a.docs.lan:81", true),
        ("mydocs.lan", false),
        ("example.com", false),
    ] {
        assert_eq!(paces.local(key), local, "{key}");
    }
    assert!(!Paces::new(hosts(), Vec::new()).local("localhost"));
}

/// What happens to a host, in steps of a few milliseconds.
#[derive(Debug, Clone)]
enum Step {
    Ask,
    Done { latency_ms: u64, throttled: bool, retry_after: Option<u64>, crawl_delay: Option<u64> },
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let done = (
        0..2000u64,
        prop::bool::weighted(0.1),
        prop::option::weighted(0.1, 0..5u64),
        prop::option::weighted(0.05, 0..3u64),
    )
        .prop_map(|(latency_ms, throttled, retry_after, crawl_delay)| Step::Done {
            latency_ms,
            throttled,
            retry_after,
            crawl_delay,
        });
    (0..400u64, prop_oneof![3 => Just(Step::Ask), 1 => done])
}

proptest! {
    #[test]
    fn the_rate_and_the_number_never_exceed_the_limit(steps in prop::collection::vec(step(), 1..300)) {
        let pace = pace();
        let mut host = Host::new("example.com".to_owned(), start());
        let mut now = start();
        let mut out: Vec<OffsetDateTime> = Vec::new();
        let mut last: Option<(OffsetDateTime, Duration)> = None;
        for (pause, step) in steps {
            now += Duration::from_millis(pause);
            match step {
                Step::Ask => {
                    let (delay, most) = (host.delay(&pace).0, host.concurrency(&pace));
                    let hold = host.hold_time;
                    let running = u32::try_from(out.len()).unwrap();
                    if host.admit(running, now, &pace) == Admission::Now {
                        prop_assert!(running < most && most <= pace.max_concurrency);
                        prop_assert!(last.is_none_or(|(at, delay)| now >= at + delay));
                        prop_assert!(hold.is_none_or(|hold| now >= hold));
                        last = Some((now, delay));
                        out.push(now);
                    }
                }
                Step::Done { latency_ms, throttled, retry_after, crawl_delay } => {
                    let Some(started) = out.pop() else { continue };
                    let answer = Answer {
                        start_time: Some(started),
                        answered: true,
                        latency: Some(Duration::from_millis(latency_ms)),
                        crawl_delay: crawl_delay.map(Duration::from_secs),
                        throttled,
                        retry_after: retry_after.map(Duration::from_secs),
                    };
                    host.learn(&answer, now, &pace);
                    prop_assert!(host.back_off <= pace.max_back_off);
                    prop_assert!(host.next_time <= now + pace.max_retry_after);
                    prop_assert!(!host.busy);
                }
            }
        }
    }
}

#[test]
fn visits_take_their_moments_among_the_pages() {
    let (pace, now) = (pace(), start());
    let (delay, patience) = (pace.min_delay, 2 * SECOND);
    let mut host = known();
    assert_eq!(host.reserve(0, patience, now, &pace), Reservation::After(Duration::ZERO));
    assert_eq!(host.reserve(2, patience, now, &pace), Reservation::After(delay));
    assert_eq!(host.admit(0, now + delay, &pace), Admission::Later, "the visit has that moment");
    assert_eq!(host.admit(0, now + 2 * delay, &pace), Admission::Now);
    // As many as may be out: nothing is reserved.
    let before = host.clone();
    assert!(matches!(host.reserve(4, patience, now, &pace), Reservation::AskAgain(wait) if !wait.is_zero()));
    assert_eq!(host, before);
    // Too far away.
    let asked = Answer { throttled: true, ..fetched(now, SECOND / 10) };
    host.learn(&Answer { retry_after: Some(60 * SECOND), ..asked }, now, &pace);
    let before = host.clone();
    assert_eq!(host.reserve(0, patience, now, &pace), Reservation::AskAgain(60 * SECOND));
    assert_eq!(host, before);
    let mut local = known();
    let open = Pace { min_delay: Duration::ZERO, latency_factor: 0.0, ..pace };
    for _ in 0..3 {
        assert_eq!(local.reserve(0, patience, now, &open), Reservation::After(Duration::ZERO));
    }
}

#[test]
fn a_visit_counts_as_a_page_until_it_is_heard_of_or_its_visitor_has_given_up() {
    let (now, patience) = (start(), 2 * SECOND);
    let pace = Pace { min_delay: Duration::ZERO, latency_factor: 0.0, max_concurrency: 2, ..pace() };
    let mut host = known();
    let now_or_later = |host: &mut Host, running, now| host.admit(running, now, &pace) == Admission::Now;
    for _ in 0..2 {
        assert_eq!(host.reserve(0, patience, now, &pace), Reservation::After(Duration::ZERO));
    }
    assert!(matches!(host.reserve(0, patience, now, &pace), Reservation::AskAgain(_)));
    assert!(!now_or_later(&mut host, 0, now) && host.busy);
    assert!(
        host.visited(&Answer::default(), now + SECOND, &pace),
        "kept, though it says nothing of the host"
    );
    assert!(now_or_later(&mut host, 0, now + SECOND) && !host.busy);
    assert!(!now_or_later(&mut host, 1, now + SECOND));
    assert!(now_or_later(&mut host, 1, now + patience), "the other one was never heard of");
    assert!(!host.visited(&Answer::default(), now + patience, &pace) || host.visits.is_empty());
}
