//! Change detection: each page against the page of the same URL in an earlier job.

use api::{
    crawler::v1::{PageOutcome, PageTask, page_outcome::Kind},
    job::v1::{self as pb, page::Change, page::Verdict},
};
use domain::{JobId, Lane};

use crate::bench::{Bench, eventually, ok, on_both, outcome, owned, reason, with};

fn url(path: &str) -> String {
    format!("https://example.com/{path}")
}

/// A page with this text.
fn said(task: &PageTask, text: &str) -> PageOutcome {
    let mut key = [0; 16];
    key[..text.len()].copy_from_slice(text.as_bytes());
    PageOutcome { content_key: key.to_vec(), ..ok(task) }
}

impl Bench {
    /// A job with these pages and their texts; `404` and `dns` are no texts.
    async fn crawled(&self, pages: &[(&str, &str)], baseline: &str) -> pb::Job {
        let request = pb::CreateCrawlJobRequest {
            urls: pages.iter().map(|(path, _)| url(path)).collect(),
            baseline: baseline.to_owned(),
            ..Default::default()
        };
        let job = self.submit(request).await;
        self.crawl(Lane::Http, pages.len(), |task| {
            let (_, text) = pages.iter().find(|(path, _)| task.url == url(path)).unwrap();
            match *text {
                "404" => {
                    PageOutcome { http_status: Some(404), ..outcome(task, Kind::Final, Verdict::HttpError) }
                }
                "dns" => PageOutcome { http_status: None, ..outcome(task, Kind::Final, Verdict::Dns) },
                text => said(task, text),
            }
        })
        .await;
        self.ended(&job.name).await
    }

    async fn with_change(&self, job: &str, change: Change) -> Vec<pb::Page> {
        let request = pb::ListPagesRequest {
            parent: job.to_owned(),
            change: change.into(),
            page_size: 1,
            ..Default::default()
        };
        let (mut pages, mut token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListPagesRequest { page_token: token, ..request.clone() };
            let list = self.client().list_pages(self.ask(request)).await.unwrap().into_inner();
            pages.extend(list.pages);
            token = list.next_page_token;
            if token.is_empty() {
                return pages;
            }
        }
    }
}

fn urls(pages: &[pb::Page]) -> Vec<&str> {
    pages.iter().map(|page| page.url.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_is_new_the_same_or_changed_and_what_is_gone_is_listed() {
    on_both(async |bench: Bench| {
        let before = bench
            .crawled(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "dns"), ("f", "1")], "")
            .await;
        assert!(
            before.changes.is_none() && bench.pages(&before.name).await[0].change() == Change::Unspecified
        );
        let now = [("a", "1"), ("b", "2"), ("c", "404"), ("e", "1"), ("f", "dns"), ("g", "1")];
        let after = bench.crawled(&now, &before.name).await;
        assert_eq!(after.baseline, before.name);
        let changes = after.changes.unwrap();
        assert_eq!((changes.new, changes.same, changes.changed), (2, 1, 1));
        assert_eq!((changes.removed, changes.complete), (Some(2), true));
        for (change, paths) in [
            (Change::Same, vec![url("a")]),
            (Change::Changed, vec![url("b")]),
            (Change::New, vec![url("e"), url("g")]),
            (Change::Removed, vec![url("c"), url("d")]),
        ] {
            assert_eq!(urls(&bench.with_change(&after.name, change).await), paths, "{change:?}");
        }
        // A page that could not be reached is not gone.
        let old = bench.pages(&before.name).await;
        let changed = &bench.with_change(&after.name, Change::Changed).await[0];
        assert_eq!(changed.baseline_page, old[1].name);
        let removed = &bench.with_change(&after.name, Change::Removed).await[1];
        assert_eq!((&removed.name, removed.change()), (&old[3].name, Change::Removed));
        bench.check(&after.name).await;
        let log = bench.log(&after.name).await;
        assert_eq!(log.last().unwrap().job.as_ref().unwrap().changes, Some(changes));
        assert!(log[0].job.as_ref().unwrap().changes.unwrap().removed.is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_does_not_know_what_is_gone() {
    on_both(async |bench: Bench| {
        let before = bench.crawled(&[("a", "1"), ("b", "1")], "").await;
        let request = pb::CreateCrawlJobRequest {
            urls: owned(&["https://example.com/a"]),
            baseline: before.name.clone(),
            ..Default::default()
        };
        let job = bench.submit(request).await;
        let cancelled = bench.cancel(&job.name).await.unwrap();
        assert_eq!(cancelled.changes.unwrap().removed, None);
        assert!(bench.with_change(&job.name, Change::Removed).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_is_an_ended_job_of_ones_own() {
    on_both(async |bench: Bench| {
        let running = bench.create(&["https://example.com/"]).await;
        let refused = async |baseline: &str| {
            let request = pb::CreateCrawlJobRequest {
                urls: owned(&["https://example.com/"]),
                baseline: baseline.to_owned(),
                ..Default::default()
            };
            reason(&bench.client().create_crawl_job(bench.ask(request)).await.unwrap_err())
        };
        assert_eq!(refused(&running.name).await, "JOB_NOT_ENDED");
        assert_eq!(refused(&JobId::new().name()).await, "JOB_NOT_FOUND");
        assert_eq!(refused("job").await, "INVALID_NAME");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_compares_each_job_with_the_last_that_succeeded() {
    let soon = [("schedules.min_interval", "\"1s\""), ("schedules.poll", "\"200ms\"")];
    with(&soon, async |bench: Bench| {
        let schedule = pb::Schedule {
            interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            job: Some(pb::CreateCrawlJobRequest {
                urls: owned(&["https://example.com/a"]),
                ..Default::default()
            }),
            track_changes: Some(true),
            ..Default::default()
        };
        let request = pb::CreateScheduleRequest { schedule: Some(schedule), ..Default::default() };
        let schedule = bench.schedules().create_schedule(bench.ask(request)).await.unwrap().into_inner();
        let mut last = String::new();
        for (text, new, same, changed) in [("1", 1, 0, 0), ("1", 0, 1, 0), ("2", 0, 0, 1)] {
            let list = async || {
                let request = pb::ListJobsRequest { schedule: schedule.name.clone(), ..Default::default() };
                bench.client().list_jobs(bench.ask(request)).await.unwrap().into_inner().jobs
            };
            let jobs = eventually(list, |jobs| jobs.first().is_some_and(|job| job.end_time.is_none())).await;
            assert_eq!(jobs[0].baseline, last);
            bench.crawl(Lane::Http, 1, |task| said(task, text)).await;
            let ended = bench.ended(&jobs[0].name).await;
            let changes = ended.changes.unwrap();
            assert_eq!((changes.new, changes.same, changes.changed), (new, same, changed));
            last = ended.name;
        }
    })
    .await;
}
