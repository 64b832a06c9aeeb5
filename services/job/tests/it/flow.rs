//! From a submission over the queue to the last verdict.

use api::{
    crawler::v1::page_outcome::Kind,
    job::v1::{self as pb, job::State, page::Verdict},
};
use bytes::Bytes;
use domain::Lane;

use crate::bench::{Bench, eventually, ok, on_both, outcome, owned, read, reason, state, urls};

#[tokio::test(flavor = "multi_thread")]
async fn every_url_gets_its_verdict() {
    on_both(async |bench: Bench| {
        let mut all = urls(5);
        all.push("https://EXAMPLE.com:443/0#again".to_owned());
        let job = bench.submit(pb::CreateCrawlJobRequest { urls: all, ..Default::default() }).await;
        assert_eq!(
            (state(&job), job.counts.unwrap().pending, job.counts.unwrap().skipped),
            (State::Queued, 5, 1)
        );
        bench
            .crawl(Lane::Http, 5, |task| match task.url.as_str() {
                "https://example.com/1" => outcome(task, Kind::Final, Verdict::Dns),
                "https://example.com/2" => outcome(task, Kind::Final, Verdict::Robots),
                _ => ok(task),
            })
            .await;
        let job = bench.ended(&job.name).await;
        let counts = job.counts.unwrap();
        assert_eq!(state(&job), State::Succeeded);
        assert_eq!((counts.found, counts.succeeded, counts.failed, counts.skipped), (6, 3, 1, 2));
        assert!(job.start_time.is_some() && job.end_time.is_some());
        bench.check(&job.name).await;
        let pages = bench.pages(&job.name).await;
        assert_eq!(pages[5].verdict(), Verdict::Duplicate);
        assert_eq!(pages[5].detail, format!("duplicate of {}", pages[0].name));
        assert_eq!(
            (pages[0].attempts, pages[0].http_status, pages[0].lane_reason.as_str()),
            (1, Some(200), "http first")
        );
        let log = bench.log(&job.name).await;
        let types: Vec<&str> = log.iter().map(|event| event.r#type.as_str()).collect();
        assert_eq!(
            (types[0], types[1], types[types.len() - 1]),
            ("job.created", "job.started", "job.succeeded")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_success_has_failed() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/"]).await;
        bench.crawl(Lane::Http, 1, |task| outcome(task, Kind::Final, Verdict::HttpError)).await;
        let job = bench.ended(&job.name).await;
        assert_eq!((state(&job), job.verdicts["http_error"]), (State::Failed, 1));
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_02_16_what_comes_twice_or_too_late_changes_nothing() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/a", "https://example.com/b"]).await;
        let tasks = bench.tasks(Lane::Http, 2).await;
        let first = read(&tasks[0]);
        bench.answer(&outcome(&first, Kind::Retry, Verdict::Timeout), "one").await;
        // The page comes again with the next number; from now on the first is stale.
        let again = read(&bench.tasks(Lane::Http, 1).await[0]);
        assert_eq!((&again.page, again.dispatch_sequence, again.attempts), (&first.page, 2, 1));
        for n in 0..5 {
            bench.answer(&outcome(&first, Kind::Final, Verdict::Dns), &format!("stale-{n}")).await;
            bench
                .bus
                .publish_outcome(format!("garbage-{n}"), Bytes::from_static(b"\xffgarbage"))
                .await
                .unwrap();
        }
        for n in 0..5 {
            bench.answer(&ok(&again), &format!("last-{n}")).await;
            bench.answer(&ok(&read(&tasks[1])), &format!("other-{n}")).await;
        }
        let job = bench.ended(&job.name).await;
        assert_eq!((job.counts.unwrap().succeeded, job.counts.unwrap().failed), (2, 0));
        // A page of a job that never was.
        let nobody = outcome(&again, Kind::Final, Verdict::Dns);
        let nobody = api::crawler::v1::PageOutcome {
            page: domain::id::page_name(domain::JobId::new(), domain::PageId::new()),
            ..nobody
        };
        bench.answer(&nobody, "nobody").await;
        let next = bench.create(&["https://example.com/"]).await;
        bench.crawl(Lane::Http, 1, ok).await;
        bench.ended(&next.name).await;
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_tried_again_until_its_attempts_are_used_up() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/a", "https://example.com/b"]).await;
        bench.crawl(Lane::Http, 2, |task| outcome(task, Kind::Retry, Verdict::Timeout)).await;
        bench.crawl(Lane::Http, 2, |task| outcome(task, Kind::Infra, Verdict::Unspecified)).await;
        bench
            .crawl(Lane::Http, 2, |task| {
                assert_eq!((task.attempts, task.dispatch_sequence), (1, 3));
                outcome(task, Kind::Retry, Verdict::Timeout)
            })
            .await;
        bench
            .crawl(Lane::Http, 2, |task| match task.url.as_str() {
                "https://example.com/a" => ok(task),
                _ => outcome(task, Kind::Retry, Verdict::Blocked),
            })
            .await;
        let job = bench.ended(&job.name).await;
        assert_eq!((job.verdicts["ok"], job.verdicts["blocked"]), (1, 1));
        let pages = bench.pages(&job.name).await;
        assert!(pages.iter().all(|page| (page.attempts, page.infra_faults) == (3, 1)), "{pages:?}");
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_page_says_until_when() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/a"]).await;
        bench
            .crawl(Lane::Http, 1, |task| api::crawler::v1::PageOutcome {
                retry_after_seconds: Some(600),
                ..outcome(task, Kind::Retry, Verdict::Blocked)
            })
            .await;
        let pages = eventually(|| bench.pages(&job.name), |pages| pages[0].due_time.is_some()).await;
        assert_eq!(pages[0].page_state(), pb::page::State::Pending);
        let now = mesh::clock::now().unix_timestamp();
        let wait = pages[0].due_time.unwrap().seconds - now;
        assert!((590..=600).contains(&wait), "{wait}");
        assert_eq!(state(&bench.job(&job.name).await), State::Running);
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_to_the_browser_once() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/a"]).await;
        bench
            .crawl(Lane::Http, 1, |task| api::crawler::v1::PageOutcome {
                detail: "empty app root".to_owned(),
                ..outcome(task, Kind::Escalate, Verdict::Empty)
            })
            .await;
        bench
            .crawl(Lane::Browser, 1, |task| {
                assert_eq!(
                    (task.attempts, task.lane_reason.as_str()),
                    (0, "needs JavaScript: empty app root")
                );
                outcome(task, Kind::Escalate, Verdict::Empty)
            })
            .await;
        let job = bench.ended(&job.name).await;
        assert_eq!(job.verdicts["empty"], 1);
        let pages = bench.pages(&job.name).await;
        assert_eq!(pages[0].page_lane(), pb::page::Lane::Browser);
        bench.check(&job.name).await;

        let screenshot = pb::CrawlConfig { screenshot: true, ..Default::default() };
        let request = pb::CreateCrawlJobRequest {
            urls: owned(&["https://example.com/"]),
            config: Some(screenshot),
            ..Default::default()
        };
        let job = bench.submit(request).await;
        bench.crawl(Lane::Browser, 1, ok).await;
        bench.ended(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_05_a_page_that_is_handed_back_comes_at_once_and_a_poisonous_one_never_again() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/a", "https://example.com/b"]).await;
        bench
            .crawl(Lane::Http, 2, |task| match task.url.as_str() {
                "https://example.com/a" => outcome(task, Kind::Release, Verdict::Unspecified),
                _ => api::crawler::v1::PageOutcome {
                    crashes: 2,
                    ..outcome(task, Kind::Release, Verdict::Unspecified)
                },
            })
            .await;
        bench
            .crawl(Lane::Http, 2, |task| match task.url.as_str() {
                "https://example.com/a" => ok(task),
                _ => {
                    assert_eq!(task.crashes, 2, "crashes come along");
                    api::crawler::v1::PageOutcome {
                        crashes: 3,
                        ..outcome(task, Kind::Infra, Verdict::Unspecified)
                    }
                }
            })
            .await;
        let job = bench.ended(&job.name).await;
        assert_eq!((job.verdicts["ok"], job.verdicts["poison"]), (1, 1));
        let pages = bench.pages(&job.name).await;
        assert_eq!((pages[0].attempts, pages[1].attempts), (1, 0));
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pages_are_settled_in_batches() {
    on_both(async |bench: Bench| {
        let start = std::time::Instant::now();
        let job = bench.submit(pb::CreateCrawlJobRequest { urls: urls(1000), ..Default::default() }).await;
        let (mut puller, mut done) = (bench.bus.pull(Lane::Http), 0);
        while done < 1000 {
            let tasks = puller.pull(200).await.unwrap();
            done += tasks.len();
            let work = tasks.iter().map(|delivery| {
                let task = read(delivery);
                let bench = &bench;
                async move {
                    bench.answer(&ok(&task), &format!("{}:{}", task.page, task.dispatch_sequence)).await;
                    delivery.ack().await.unwrap();
                }
            });
            futures::future::join_all(work).await;
        }
        let job = bench.ended(&job.name).await;
        eprintln!("1000 pages in {:?}", start.elapsed());
        assert_eq!(job.counts.unwrap().succeeded, 1000);
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_wait_for_the_end() {
    on_both(async |bench: Bench| {
        let wait = Some(prost_types::Duration { seconds: 30, nanos: 0 });
        let request =
            pb::CreateCrawlJobRequest { urls: owned(&["https://example.com/"]), wait, ..Default::default() };
        let (job, ()) = tokio::join!(bench.submit(request), bench.crawl(Lane::Http, 1, ok));
        assert_eq!(state(&job), State::Succeeded);

        let job = bench.create(&["https://example.com/"]).await;
        let wait = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
        let request = pb::GetJobRequest { name: job.name.clone(), wait };
        let job = bench.client().get_job(bench.ask(request)).await.unwrap().into_inner();
        assert!(job.end_time.is_none(), "it answers when the time is up");

        // The deadline of the call is shorter than the wait: an answer comes all the same.
        let wait = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let mut request = bench.ask(pb::GetJobRequest { name: job.name.clone(), wait });
        request.set_timeout(std::time::Duration::from_secs(1));
        assert!(bench.client().get_job(request).await.unwrap().into_inner().end_time.is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawler_learns_how_to_fetch() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/"]).await;
        let request = || pb::GetJobSpecRequest { name: job.name.clone() };
        let crawler = || bench.client_of(domain::Service::Crawler);
        let spec = crawler().get_job_spec(request()).await.unwrap().into_inner();
        let config = spec.config.unwrap();
        assert_eq!((spec.tenant, spec.version, spec.ended), (bench.tenant.name(), 1, false));
        assert_eq!(
            (config.max_attempts, config.keep_html, config.page_timeout.unwrap().seconds),
            (Some(3), Some(true), 60)
        );
        bench.crawl(Lane::Http, 1, ok).await;
        bench.ended(&job.name).await;
        assert!(crawler().get_job_spec(request()).await.unwrap().into_inner().ended);

        let refused = bench.client().get_job_spec(request()).await.unwrap_err();
        assert_eq!(reason(&refused), "SERVICE_NOT_ALLOWED");
        let nobody = pb::GetJobSpecRequest { name: domain::JobId::new().name() };
        assert_eq!(reason(&crawler().get_job_spec(nobody).await.unwrap_err()), "JOB_NOT_FOUND");
    })
    .await;
}
