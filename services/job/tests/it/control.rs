//! Pausing, resuming, trying again, priorities and deadlines.

use api::{
    crawler::v1::page_outcome::Kind,
    job::v1::{self as pb, job::Priority, job::State, page::Verdict},
};
use domain::Lane;
use tonic::Code;

use crate::bench::{Bench, eventually, ok, on_both, outcome, owned, read, reason, state, urls, with};

impl Bench {
    async fn pause(&self, name: &str) -> pb::Job {
        let request = pb::PauseJobRequest { name: name.to_owned() };
        self.client().pause_job(self.ask(request)).await.unwrap().into_inner()
    }

    async fn resume(&self, name: &str) -> pb::Job {
        let request = pb::ResumeJobRequest { name: name.to_owned() };
        self.client().resume_job(self.ask(request)).await.unwrap().into_inner()
    }

    async fn retry(&self, name: &str, request_id: &str) -> Result<pb::Job, tonic::Status> {
        let request =
            pb::RetryFailedPagesRequest { name: name.to_owned(), request_id: request_id.to_owned() };
        self.client().retry_failed_pages(self.ask(request)).await.map(tonic::Response::into_inner)
    }

    async fn types(&self, name: &str) -> Vec<String> {
        self.log(name)
            .await
            .into_iter()
            .map(|event| event.r#type)
            .filter(|kind| kind != "job.progress")
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_hands_out_nothing_and_goes_on_where_it_was() {
    with(&[("dispatch.queue_depth", "4")], async |bench: Bench| {
        let job = bench.submit(pb::CreateCrawlJobRequest { urls: urls(20), ..Default::default() }).await;
        eventually(|| bench.bus.backlog(Lane::Http), |backlog| *backlog == Ok(4)).await.unwrap();
        let paused = bench.pause(&job.name).await;
        assert_eq!(state(&paused), State::Paused);
        assert_eq!(bench.pause(&job.name).await, paused, "pausing twice changes nothing");
        // What is out is finished, and nothing follows; others go on.
        bench.crawl(Lane::Http, 4, ok).await;
        let held = eventually(|| bench.job(&job.name), |job| job.counts.unwrap().succeeded == 4).await;
        assert_eq!((state(&held), held.counts.unwrap().pending), (State::Paused, 16));
        let other = bench.create(&["https://example.com/other"]).await;
        bench
            .crawl(Lane::Http, 1, |task| {
                assert!(task.page.starts_with(&other.name), "{task:?}");
                ok(task)
            })
            .await;
        bench.ended(&other.name).await;
        assert!(bench.pages(&job.name).await.iter().all(|page| page.due_time.is_none()));
        let resumed = bench.resume(&job.name).await;
        assert_eq!(state(&resumed), State::Running);
        assert_eq!(bench.resume(&job.name).await.state(), State::Running, "resuming twice changes nothing");
        bench.crawl_to_the_end(&[&job.name]).await;
        assert_eq!(
            bench.types(&job.name).await[1..],
            ["job.started", "job.paused", "job.resumed", "job.succeeded"]
        );
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_can_be_cancelled_and_an_ended_one_not_paused() {
    on_both(async |bench: Bench| {
        let job = bench.submit(pb::CreateCrawlJobRequest { urls: urls(3), ..Default::default() }).await;
        bench.pause(&job.name).await;
        let cancelled = bench.cancel(&job.name).await.unwrap();
        assert_eq!((state(&cancelled), cancelled.counts.unwrap().cancelled), (State::Cancelled, 3));
        let request = pb::PauseJobRequest { name: job.name.clone() };
        let refused = bench.client().pause_job(bench.ask(request)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "JOB_FINISHED"));
        let request = pb::SetJobPriorityRequest { name: job.name.clone(), priority: 0 };
        let refused = bench.client().set_job_priority(bench.ask(request)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "REQUIRED"));
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_pages_are_tried_again_in_a_job_that_goes_on() {
    on_both(async |bench: Bench| {
        let job =
            bench.create(&["https://example.com/0", "https://example.com/1", "https://example.com/2"]).await;
        let last = bench.tasks(Lane::Http, 3).await;
        for delivery in &last[..2] {
            let task = read(delivery);
            bench.answer(&outcome(&task, Kind::Final, Verdict::Dns), &task.page).await;
            delivery.ack().await.unwrap();
        }
        eventually(|| bench.job(&job.name), |job| job.counts.unwrap().failed == 2).await;
        let again = bench.retry(&job.name, "").await.unwrap();
        let counts = again.counts.unwrap();
        assert_eq!((&again.name, counts.failed, counts.pending + counts.running), (&job.name, 0, 3));
        assert_eq!(reason(&bench.retry(&job.name, "").await.unwrap_err()), "NOTHING_TO_RETRY");
        bench
            .crawl(Lane::Http, 2, |task| {
                assert_eq!((task.attempts, task.dispatch_sequence), (0, 2));
                ok(task)
            })
            .await;
        let task = read(&last[2]);
        bench.answer(&ok(&task), &task.page).await;
        last[2].ack().await.unwrap();
        assert_eq!(bench.ended(&job.name).await.counts.unwrap().succeeded, 3);
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_pages_of_an_ended_job_become_a_new_job() {
    on_both(async |bench: Bench| {
        let request = pb::CreateCrawlJobRequest {
            urls: urls(4),
            labels: [("team".to_owned(), "docs".to_owned())].into(),
            priority: Priority::Low.into(),
            ..Default::default()
        };
        let job = bench.submit(request).await;
        bench
            .crawl(Lane::Http, 4, |task| match task.url.ends_with(['1', '3']) {
                true => outcome(task, Kind::Final, Verdict::HttpError),
                false => ok(task),
            })
            .await;
        let ended = bench.ended(&job.name).await;
        let again = bench.retry(&job.name, "once").await.unwrap();
        assert_eq!(bench.retry(&job.name, "once").await.unwrap().name, again.name, "a repeated call");
        assert_eq!(
            (&again.retry_of, &again.labels, again.priority()),
            (&job.name, &ended.labels, Priority::Low)
        );
        assert_eq!(again.urls, owned(&["https://example.com/1", "https://example.com/3"]));
        bench.crawl(Lane::Http, 2, ok).await;
        bench.ended(&again.name).await;
        assert_eq!(bench.job(&job.name).await, ended, "the first stays as it ended");
        assert_eq!(reason(&bench.retry(&again.name, "").await.unwrap_err()), "NOTHING_TO_RETRY");
        bench.check(&again.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_raised_goes_first() {
    with(&[("dispatch.queue_depth", "1")], async |bench: Bench| {
        let first = bench.create(&["https://example.com/a"]).await;
        eventually(|| bench.bus.backlog(Lane::Http), |backlog| *backlog == Ok(1)).await.unwrap();
        let normal = bench.create(&["https://example.com/b"]).await;
        let low = pb::CreateCrawlJobRequest {
            urls: owned(&["https://example.com/c"]),
            priority: Priority::Low.into(),
            ..Default::default()
        };
        let low = bench.submit(low).await;
        let request = pb::SetJobPriorityRequest { name: low.name.clone(), priority: Priority::High.into() };
        let raised = bench.client().set_job_priority(bench.ask(request)).await.unwrap().into_inner();
        assert_eq!(raised.priority(), Priority::High);
        for name in [&first.name, &low.name, &normal.name] {
            bench
                .crawl(Lane::Http, 1, |task| {
                    assert!(task.page.starts_with(name.as_str()), "{task:?}");
                    ok(task)
                })
                .await;
            bench.ended(name).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_when_its_time_is_up() {
    on_both(async |bench: Bench| {
        let mut hints = bench.bus.listen("cancel").await.unwrap();
        let request = pb::CreateCrawlJobRequest {
            urls: urls(3),
            max_duration: Some(prost_types::Duration { seconds: 2, nanos: 0 }),
            ..Default::default()
        };
        let job = bench.submit(request).await;
        assert!(job.deadline.unwrap().seconds - job.create_time.unwrap().seconds == 2);
        bench.crawl(Lane::Http, 1, ok).await;
        let ended = bench.ended(&job.name).await;
        assert_eq!((state(&ended), ended.counts.unwrap().skipped), (State::Succeeded, 2));
        assert_eq!(ended.verdicts["budget"], 2);
        let hint =
            tokio::time::timeout(crate::bench::PATIENCE, tokio_stream::StreamExt::next(&mut hints)).await;
        assert_eq!(format!("jobs/{}", std::str::from_utf8(&hint.unwrap().unwrap()).unwrap()), job.name);
        let pages = bench.pages(&job.name).await;
        assert_eq!(pages.iter().filter(|page| page.detail == "the job's max_duration was over").count(), 2);
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_by_label_and_time() {
    on_both(async |bench: Bench| {
        let mut jobs = Vec::new();
        for team in ["docs", "docs", "shop"] {
            let request = pb::CreateCrawlJobRequest {
                urls: urls(1),
                labels: [("team".to_owned(), team.to_owned()), ("n".to_owned(), jobs.len().to_string())]
                    .into(),
                ..Default::default()
            };
            jobs.push(bench.submit(request).await);
        }
        let list = async |request: pb::ListJobsRequest| {
            let reply = bench.client().list_jobs(bench.ask(request)).await.unwrap().into_inner();
            (reply.jobs.into_iter().map(|job| job.name).collect::<Vec<_>>(), reply.next_page_token)
        };
        let label = |label: &str| pb::ListJobsRequest { label: label.to_owned(), ..Default::default() };
        let name = |n: usize| jobs[n].name.clone();
        assert_eq!(list(label("team=docs")).await.0, [name(1), name(0)]);
        assert_eq!(list(label("n=2")).await.0, [name(2)]);
        assert!(list(label("team=")).await.0.is_empty());
        let one = pb::ListJobsRequest { page_size: 1, ..label("team=docs") };
        let (first, token) = list(one.clone()).await;
        let (second, _) = list(pb::ListJobsRequest { page_token: token, ..one }).await;
        assert_eq!([first, second].concat(), [name(1), name(0)]);
        bench.cancel(&jobs[0].name).await.unwrap();
        let cancelled = pb::ListJobsRequest { state: State::Cancelled.into(), ..label("team=docs") };
        assert_eq!(list(cancelled).await.0, [name(0)]);

        let (from, before) = (jobs[1].create_time, jobs[2].create_time);
        let times =
            pb::ListJobsRequest { create_time_from: from, create_time_before: before, ..Default::default() };
        assert_eq!(list(times).await.0, [name(1)]);
        let bad = pb::ListJobsRequest { label: "docs".to_owned(), ..Default::default() };
        let refused = bench.client().list_jobs(bench.ask(bad)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_LABEL"));
    })
    .await;
}
