//! The event log: watched by callers, followed by the webhook service.

use std::collections::HashMap;

use api::{
    crawler::v1::page_outcome::Kind,
    job::v1::{self as pb, page::Verdict},
};
use domain::{Lane, Service};
use tokio_stream::StreamExt;
use tonic::Code;

use crate::bench::{Bench, PATIENCE, ok, on_both, outcome, owned, reason};

fn with_webhook(url: &str) -> pb::CreateCrawlJobRequest {
    let webhook = pb::WebhookTarget {
        url: "https://hooks.example.com/x?token=1".to_owned(),
        headers: HashMap::from([("Authorization".to_owned(), "Bearer secret".to_owned())]),
        ..Default::default()
    };
    pb::CreateCrawlJobRequest { urls: owned(&[url]), webhook: Some(webhook), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_follows_to_the_end_and_resumes() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/a", "https://example.com/b"]).await;
        let request = pb::WatchJobRequest { name: job.name.clone(), after_sequence: 0 };
        let mut stream = bench.client().watch_job(bench.ask(request)).await.unwrap().into_inner();
        let first = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
        assert_eq!((first.sequence, first.r#type.as_str()), (1, "job.created"));
        drop(stream);

        let request = pb::WatchJobRequest { name: job.name.clone(), after_sequence: 1 };
        let stream = bench.client().watch_job(bench.ask(request)).await.unwrap().into_inner();
        let follow = tokio::time::timeout(PATIENCE, stream.collect::<Result<Vec<_>, _>>());
        let work = async {
            bench.crawl(Lane::Http, 1, |task| outcome(task, Kind::Retry, Verdict::Timeout)).await;
            bench.crawl(Lane::Http, 2, ok).await;
        };
        let (events, ()) = tokio::join!(follow, work);
        let events = events.unwrap().unwrap();
        assert_eq!(events[0].sequence, 2, "it goes on after the given one");
        assert_eq!(events.last().unwrap().r#type, "job.succeeded");
        assert!(events.iter().any(|event| event.r#type == "job.progress"));
        bench.check(&job.name).await;

        let last = events.last().unwrap().sequence;
        let after = |after_sequence| {
            let request = pb::WatchJobRequest { name: job.name.clone(), after_sequence };
            let (mut client, request) = (bench.client(), bench.ask(request));
            async move { client.watch_job(request).await }
        };
        let nothing: Vec<_> = after(last).await.unwrap().into_inner().collect().await;
        assert!(nothing.is_empty(), "nothing comes after the terminal event");
        for unknown in [last + 1, i64::MAX] {
            let refused = after(unknown).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "EVENT_UNKNOWN"));
        }
        assert_eq!(reason(&after(-1).await.unwrap_err()), "OUT_OF_RANGE");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_67_watches_are_limited_and_given_back() {
    let url = store::testing::sqlite().unwrap().url;
    let bench = Bench::start(&url, &[("limits.max_watches", "1")]).await;
    let job = bench.create(&["https://example.com/"]).await;
    let watch = || {
        let request = pb::WatchJobRequest { name: job.name.clone(), after_sequence: 0 };
        let (mut client, request) = (bench.client(), bench.ask(request));
        async move { client.watch_job(request).await }
    };
    let held = watch().await.unwrap();
    let refused = watch().await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "TOO_MANY_WATCHES"));
    drop(held);
    let _ = crate::bench::eventually(
        || async { watch().await.map(|_| ()).map_err(|s| reason(&s)) },
        Result::is_ok,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_service_sees_events_of_jobs_with_a_webhook_and_their_secrets() {
    on_both(async |bench: Bench| {
        let silent = bench.create(&["https://example.com/silent"]).await;
        let job = bench.submit(with_webhook("https://example.com/told")).await;
        let hidden = |job: &pb::Job| job.webhook.as_ref().unwrap().headers["Authorization"].clone();
        assert_eq!(hidden(&job), "***");
        bench.crawl(Lane::Http, 2, ok).await;
        bench.ended(&silent.name).await;
        assert_eq!(hidden(&bench.ended(&job.name).await), "***");
        let log = bench.log(&job.name).await;
        assert!(log.iter().all(|event| hidden(event.job.as_ref().unwrap()) == "***"));

        let (mut after, mut entries) = (0, Vec::new());
        loop {
            let request = pb::ListEventsRequest { after, page_size: 2 };
            let more =
                bench.client_of(Service::Webhook).list_events(request).await.unwrap().into_inner().entries;
            let Some(last) = more.last() else { break };
            assert!(more.len() <= 2 && more[0].cursor > after);
            after = last.cursor;
            entries.extend(more);
        }
        let told: Vec<_> = entries.iter().map(|entry| entry.event.clone().unwrap()).collect();
        assert_eq!(told.len(), log.len(), "all events of this job, none of the other");
        for (told, logged) in told.iter().zip(&log) {
            assert_eq!((told.sequence, &told.r#type), (logged.sequence, &logged.r#type));
            assert_eq!(hidden(told.job.as_ref().unwrap()), "Bearer secret");
        }
        let id = job.name.trim_start_matches("jobs/").replace('-', "");
        assert_eq!(entries[0].event_id, format!("{id}.1"));
        assert_eq!(entries[0].tenant, bench.tenant.name());
        let refused = bench.client().list_events(pb::ListEventsRequest::default()).await.unwrap_err();
        assert_eq!(reason(&refused), "SERVICE_NOT_ALLOWED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_misses_no_event_however_many_are_written_at_once() {
    on_both(async |bench: Bench| {
        let jobs = 40;
        let submit = async {
            let calls = (0..jobs).map(|n| bench.submit(with_webhook(&format!("https://example.com/{n}"))));
            futures::future::join_all(calls).await
        };
        let follow = async {
            let (mut after, mut created) = (0, Vec::new());
            let mut client = bench.client_of(Service::Webhook);
            while created.len() < jobs {
                let request = pb::ListEventsRequest { after, page_size: 3 };
                for entry in client.list_events(request).await.unwrap().into_inner().entries {
                    after = entry.cursor;
                    let event = entry.event.unwrap();
                    if event.r#type == "job.created" {
                        created.push(event.job.unwrap().name);
                    }
                }
            }
            created
        };
        let (submitted, mut seen) =
            tokio::join!(submit, async { tokio::time::timeout(PATIENCE, follow).await.unwrap() });
        let mut names: Vec<String> = submitted.into_iter().map(|job| job.name).collect();
        names.sort();
        seen.sort();
        assert_eq!(seen, names);
    })
    .await;
}
