//! What must survive: restarts, crashes, a queue that dies or forgets, a database that goes away.

use std::time::Duration;

use api::{
    crawler::v1::page_outcome::Kind,
    job::v1::{
        self as pb,
        job::State,
        page::{Verdict, attempt::End},
    },
};
use domain::Lane;
use prost::Message;
use tokio::time::Instant;
use tonic::Code;
use tonic_types::StatusExt;

use crate::bench::{Bench, eventually, ok, on_both, outcome, read, reason, state, urls, with};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_after_a_restart_and_after_a_crash() {
    on_both(async |mut bench: Bench| {
        let job = bench.submit(pb::CreateCrawlJobRequest { urls: urls(40), ..Default::default() }).await;
        bench.crawl(Lane::Http, 10, ok).await;
        bench.stop().await;
        // What is answered meanwhile waits in the queue.
        bench.crawl(Lane::Http, 5, ok).await;
        bench.serve().await;
        bench.crawl(Lane::Http, 5, ok).await;
        bench.crash().await;
        bench.serve().await;
        let ended = bench.crawl_to_the_end(&[&job.name]).await.remove(0);
        assert_eq!((state(&ended), ended.counts.unwrap().succeeded), (State::Succeeded, 40));
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_32_crashes_at_any_moment_lose_nothing() {
    on_both(async |mut bench: Bench| {
        let mut jobs = Vec::new();
        for round in 0..10 {
            let job = bench.submit(pb::CreateCrawlJobRequest { urls: urls(30), ..Default::default() }).await;
            jobs.push(job.name);
            // Anywhere from before the first mark to after the last publish.
            tokio::time::sleep(Duration::from_millis(7 * round)).await;
            bench.crash().await;
            bench.serve().await;
        }
        let names: Vec<&str> = jobs.iter().map(String::as_str).collect();
        for ended in bench.crawl_to_the_end(&names).await {
            assert_eq!(ended.counts.unwrap().succeeded, 30);
            bench.check(&ended.name).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_08_submits_succeed_while_the_queue_is_away_and_work_goes_on_when_it_is_back() {
    on_both(async |mut bench: Bench| {
        let before = bench.submit(pb::CreateCrawlJobRequest { urls: urls(20), ..Default::default() }).await;
        bench.crawl(Lane::Http, 5, ok).await;
        bench.nats.kill().await.unwrap();
        let during = bench.submit(pb::CreateCrawlJobRequest { urls: urls(20), ..Default::default() }).await;
        bench.cancel(&bench.create(&["https://example.com/x"]).await.name).await.unwrap();
        bench.nats.restart().await.unwrap();
        for ended in bench.crawl_to_the_end(&[&before.name, &during.name]).await {
            assert_eq!(ended.counts.unwrap().succeeded, 20);
            bench.check(&ended.name).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_09_a_wiped_queue_delays_a_job_and_loses_nothing() {
    on_both(async |mut bench: Bench| {
        let job = bench.submit(pb::CreateCrawlJobRequest { urls: urls(30), ..Default::default() }).await;
        bench.crawl(Lane::Http, 7, ok).await;
        // Two are at a crawler, the rest waits in the queue: all that is gone.
        let held = bench.tasks(Lane::Http, 2).await;
        bench.nats.kill().await.unwrap();
        std::fs::remove_dir_all(bench.nats.store_dir()).unwrap();
        let wiped = Instant::now();
        bench.nats.restart().await.unwrap();
        // New work in the lane does not hide that the old is gone.
        bench.create(&["https://example.com/new"]).await;
        let ended = bench.crawl_to_the_end(&[&job.name]).await.remove(0);
        assert!(wiped.elapsed() < Duration::from_secs(40), "{:?}", wiped.elapsed());
        assert_eq!(ended.counts.unwrap().succeeded, 30);
        // The crawler that never noticed.
        bench.answer(&outcome(&read(&held[0]), Kind::Final, Verdict::Dns), "late").await;
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_10_a_page_without_an_outcome_is_dispatched_again() {
    with(&[("reconcile.dispatch_timeout", "\"300ms\"")], async |bench: Bench| {
        let job = bench.create(&["https://example.com/"]).await;
        let lost = bench.tasks(Lane::Http, 1).await.remove(0);
        lost.term().await.unwrap();
        let again = bench.tasks(Lane::Http, 1).await.remove(0);
        assert_eq!(read(&again).dispatch_sequence, 2);
        bench.answer(&outcome(&read(&lost), Kind::Final, Verdict::Dns), "stale").await;
        bench.answer(&ok(&read(&again)), "good").await;
        let ended = eventually(
            || bench.job(&job.name),
            |job| job.end_time.is_some() || job.counts.unwrap().pending > 0,
        )
        .await;
        // If it was slow, it may have been handed out once more.
        let ended = if ended.end_time.is_some() {
            ended
        } else {
            bench.crawl_to_the_end(&[&job.name]).await.remove(0)
        };
        assert_eq!(ended.verdicts.get("ok"), Some(&1));
        let page = bench.pages(&job.name).await.remove(0);
        let lost = &page.history[0];
        assert_eq!((lost.end(), lost.detail.as_str()), (End::Lost, "no outcome in time"));
        assert_eq!(page.history.last().unwrap().end(), End::Decided);
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_24_a_database_that_goes_away_is_unavailable_and_comes_back() {
    let postgres = store::testing::Postgres::start().unwrap();
    let bench = Bench::start(&postgres.fresh_url().unwrap(), &[]).await;
    let job = bench.submit(pb::CreateCrawlJobRequest { urls: urls(10), ..Default::default() }).await;
    bench.crawl(Lane::Http, 3, ok).await;
    postgres.stop().unwrap();
    bench.crawl(Lane::Http, 3, ok).await;
    let request = pb::CreateCrawlJobRequest { urls: urls(1), ..Default::default() };
    let refused = bench.client().create_crawl_job(bench.ask(request)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "JOB_STORE_UNREACHABLE"));
    assert!(refused.get_details_retry_info().is_some());
    postgres.start_again().unwrap();
    let get = || async {
        let request = pb::GetJobRequest { name: job.name.clone(), wait: None };
        bench.client().get_job(bench.ask(request)).await.map(|reply| reply.into_inner())
    };
    eventually(get, Result::is_ok).await.unwrap();
    let ended = bench.crawl_to_the_end(&[&job.name]).await.remove(0);
    assert_eq!(ended.counts.unwrap().succeeded, 10);
    bench.check(&job.name).await;
}

/// A field that only a later version of the crawler knows, beside all that this one knows.
#[tokio::test(flavor = "multi_thread")]
async fn row_69_an_outcome_of_a_later_version_is_booked() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/"]).await;
        let delivery = bench.tasks(Lane::Http, 1).await.remove(0);
        let mut payload = ok(&read(&delivery)).encode_to_vec();
        prost::encoding::string::encode(60_000, &"of a later version".to_owned(), &mut payload);
        bench.bus.publish_outcome("later".to_owned(), payload.into()).await.unwrap();
        delivery.ack().await.unwrap();
        assert_eq!(bench.ended(&job.name).await.verdicts.get("ok"), Some(&1));
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_waits_and_streams() {
    on_both(async |mut bench: Bench| {
        let job = bench.create(&["https://example.com/"]).await;
        let wait = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        // One connection, so that the wait is under way when the stream answers.
        let mut client = bench.client();
        let mut watching = client.clone();
        let waiting = bench.ask(pb::GetJobRequest { name: job.name.clone(), wait });
        let watch = bench.ask(pb::WatchJobRequest { name: job.name.clone(), after_sequence: 0 });
        let (answer, mut stream) = tokio::join!(client.get_job(waiting), async {
            let mut stream = watching.watch_job(watch).await.unwrap().into_inner();
            stream.message().await.unwrap().unwrap();
            bench.tasks(Lane::Http, 1).await;
            stream.message().await.unwrap().unwrap();
            let begun = Instant::now();
            bench.stop().await;
            assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
            stream
        });
        let answer = answer.unwrap().into_inner();
        assert_eq!(state(&answer), State::Running, "it answers with what it knows");
        let cut = loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                other => break other.unwrap_err(),
            }
        };
        assert_eq!(cut.code(), Code::Unavailable);
    })
    .await;
}
