//! Each attempt at a page is told, whatever ended it.

use api::{
    crawler::v1::{PageOutcome, PageTask, page_outcome::Kind},
    job::v1::{
        self as pb,
        page::{Attempt, Lane as WireLane, Verdict, attempt::End},
    },
};
use domain::Lane;

use crate::bench::{Bench, eventually, ok, on_both, outcome, read, with};

fn ends(page: &pb::Page) -> Vec<(End, WireLane, Verdict, &str, Option<i32>)> {
    let end = |attempt: &Attempt| (attempt.end(), attempt.attempt_lane(), attempt.verdict());
    page.history
        .iter()
        .map(|attempt| (end(attempt), attempt))
        .map(|((end, lane, verdict), attempt)| {
            (end, lane, verdict, attempt.detail.as_str(), attempt.http_status)
        })
        .collect()
}

/// What a crawler says at the n-th delivery of a page.
fn say(task: &PageTask, kind: Kind, verdict: Verdict, detail: &str, status: Option<i32>) -> PageOutcome {
    PageOutcome { detail: detail.to_owned(), http_status: status, ..outcome(task, kind, verdict) }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_is_told_with_its_lane_and_its_end() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/"]).await;
        let page = async || bench.pages(&job.name).await.remove(0);
        assert!(ends(&page().await).len() <= 1, "it runs, or waits to be handed out");
        for (kind, verdict, detail, status) in [
            (Kind::Release, Verdict::Unspecified, "shutting down", None),
            (Kind::Retry, Verdict::Timeout, "body", None),
            (Kind::Infra, Verdict::Unspecified, "the store is away", Some(200)),
            (Kind::Escalate, Verdict::Empty, "empty app root", Some(200)),
        ] {
            bench.crawl(Lane::Http, 1, |task| say(task, kind, verdict, detail, status)).await;
        }
        let running = bench.tasks(Lane::Browser, 1).await.remove(0);
        let first = [
            (End::Released, WireLane::Http, Verdict::Unspecified, "shutting down", None),
            (End::Retried, WireLane::Http, Verdict::Timeout, "body", None),
            (End::Fault, WireLane::Http, Verdict::Unspecified, "the store is away", Some(200)),
            (End::Escalated, WireLane::Http, Verdict::Empty, "empty app root", Some(200)),
        ];
        let now = page().await;
        let runs = (End::Unspecified, WireLane::Browser, Verdict::Unspecified, "", None);
        assert_eq!(ends(&now), [&first[..], &[runs]].concat());
        assert!(now.history[4].end_time.is_none());
        bench
            .answer(&say(&read(&running), Kind::Final, Verdict::HttpError, "HTTP 410", Some(410)), "end")
            .await;
        bench.ended(&job.name).await;

        let ended = page().await;
        let last = (End::Decided, WireLane::Browser, Verdict::HttpError, "HTTP 410", Some(410));
        assert_eq!(ends(&ended), [&first[..], &[last]].concat());
        assert_eq!((ended.attempts, ended.infra_faults), (2, 1));
        assert_eq!(ended.history[0].lane_reason, "http first");
        assert_eq!(ended.history[4].lane_reason, ended.lane_reason);
        assert_eq!(ended.history[4].end_time, ended.end_time);
        let times: Vec<_> = ended
            .history
            .iter()
            .flat_map(|attempt| [attempt.dispatch_time.unwrap(), attempt.end_time.unwrap()])
            .map(|time| (time.seconds, time.nanos))
            .collect();
        assert!(times.is_sorted(), "{times:?}");
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_never_ran_has_no_attempt_and_one_that_was_cancelled_has_those_it_had() {
    on_both(async |bench: Bench| {
        let twice = bench.create(&["https://example.com/", "https://example.com/"]).await;
        bench.crawl(Lane::Http, 1, ok).await;
        bench.ended(&twice.name).await;
        let pages = bench.pages(&twice.name).await;
        let duplicate = pages.iter().find(|page| page.verdict() == Verdict::Duplicate).unwrap();
        assert_eq!(duplicate.history, []);

        let job = bench.create(&["https://example.com/later"]).await;
        let wait = |task: &PageTask| PageOutcome {
            retry_after_seconds: Some(600),
            ..say(task, Kind::Retry, Verdict::Blocked, "HTTP 429", Some(429))
        };
        bench.crawl(Lane::Http, 1, wait).await;
        eventually(|| bench.pages(&job.name), |pages| pages[0].due_time.is_some()).await;
        bench.cancel(&job.name).await.unwrap();
        let page = bench.pages(&job.name).await.remove(0);
        assert_eq!(page.verdict(), Verdict::Cancelled);
        assert_eq!(
            ends(&page),
            [(End::Retried, WireLane::Http, Verdict::Blocked, "HTTP 429", Some(429))],
            "it was cancelled while it waited"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_before_a_retry_by_the_owner_stay_and_a_row_keeps_the_newest() {
    with(&[("retry.max_history", "2")], async |bench: Bench| {
        // The second page is never answered: it keeps the job open.
        let job = bench.create(&["https://example.com/a", "https://example.com/b"]).await;
        let a = async || bench.pages(&job.name).await.remove(0);
        let mut tasks: Vec<PageTask> = bench.tasks(Lane::Http, 2).await.iter().map(read).collect();
        let mut task = tasks.remove(tasks.iter().position(|task| task.url.ends_with("/a")).unwrap());
        for round in 1..=4 {
            let detail = format!("round {round}");
            let failed = say(&task, Kind::Final, Verdict::Dns, &detail, None);
            bench.answer(&failed, &detail).await;
            eventually(&a, |page| page.verdict() == Verdict::Dns).await;
            let request = pb::RetryFailedPagesRequest { name: job.name.clone(), ..Default::default() };
            bench.client().retry_failed_pages(bench.ask(request)).await.unwrap();
            task = read(&bench.tasks(Lane::Http, 1).await.remove(0));
        }
        let page = a().await;
        let rounds = [("round 3", End::Decided), ("round 4", End::Decided), ("", End::Unspecified)];
        let told: Vec<_> =
            page.history.iter().map(|attempt| (attempt.detail.as_str(), attempt.end())).collect();
        assert_eq!(told, rounds, "the newest two, and the one that runs");
        assert_eq!(page.attempts, 0, "the count begins anew");
    })
    .await;
}
