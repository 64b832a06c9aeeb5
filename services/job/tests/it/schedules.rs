//! Schedules: created, changed, deleted, and their jobs, once each.

use api::job::v1::{self as pb, job::State, schedule::Overlap};
use domain::{Lane, ScheduleId, Scope, TenantId};
use prost_types::{Duration, FieldMask};
use tonic::{Code, Status};

use crate::bench::{Bench, eventually, ok, on_both, owned, reason, request, with};

const SOON: [(&str, &str); 2] = [("schedules.min_interval", "\"1s\""), ("schedules.poll", "\"200ms\"")];

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn crawl(url: &str) -> pb::CreateCrawlJobRequest {
    pb::CreateCrawlJobRequest { urls: owned(&[url]), ..Default::default() }
}

fn every(interval: i64) -> pb::Schedule {
    pb::Schedule {
        interval: seconds(interval),
        job: Some(crawl("https://example.com/")),
        ..Default::default()
    }
}

fn daily() -> pb::Schedule {
    pb::Schedule {
        cron: "30 2 * * *".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        job: Some(crawl("https://example.com/")),
        ..Default::default()
    }
}

impl Bench {
    async fn plan(&self, schedule: pb::Schedule) -> Result<pb::Schedule, Status> {
        self.plan_once(schedule, "").await
    }

    async fn plan_once(&self, schedule: pb::Schedule, request_id: &str) -> Result<pb::Schedule, Status> {
        let request =
            pb::CreateScheduleRequest { schedule: Some(schedule), request_id: request_id.to_owned() };
        self.schedules().create_schedule(self.ask(request)).await.map(tonic::Response::into_inner)
    }

    async fn schedule(&self, name: &str) -> pb::Schedule {
        let request = pb::GetScheduleRequest { name: name.to_owned() };
        self.schedules().get_schedule(self.ask(request)).await.unwrap().into_inner()
    }

    async fn change(&self, schedule: pb::Schedule, mask: &[&str]) -> Result<pb::Schedule, Status> {
        let update_mask = (!mask.is_empty()).then(|| FieldMask { paths: owned(mask) });
        let request = pb::UpdateScheduleRequest { schedule: Some(schedule), update_mask };
        self.schedules().update_schedule(self.ask(request)).await.map(tonic::Response::into_inner)
    }

    /// The jobs of a schedule, newest first.
    async fn jobs_of(&self, schedule: &str) -> Vec<pb::Job> {
        let request = pb::ListJobsRequest { schedule: schedule.to_owned(), ..Default::default() };
        self.client().list_jobs(self.ask(request)).await.unwrap().into_inner().jobs
    }
}

fn fields(status: &Status) -> Vec<(String, String)> {
    use tonic_types::StatusExt;
    let details = status.get_details_bad_request().unwrap();
    details.field_violations.into_iter().map(|violation| (violation.field, violation.reason)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_creates_its_job_again_and_again() {
    with(&SOON, async |bench: Bench| {
        let job = pb::CreateCrawlJobRequest {
            labels: [("team".to_owned(), "docs".to_owned())].into(),
            priority: pb::job::Priority::Low.into(),
            ..crawl("https://example.com/")
        };
        let schedule = bench.plan(pb::Schedule { job: Some(job), ..every(1) }).await.unwrap();
        assert!(schedule.next_time.is_some() && schedule.last_job.is_empty());
        for round in 1..=2 {
            bench.crawl(Lane::Http, 1, ok).await;
            let fired = eventually(|| bench.schedule(&schedule.name), |now| now.fired >= round).await;
            assert!(fired.next_time.unwrap().seconds > fired.last_time.unwrap().seconds);
        }
        let jobs = bench.jobs_of(&schedule.name).await;
        assert!(jobs.len() >= 2);
        for job in &jobs {
            assert_eq!((&job.schedule, job.priority()), (&schedule.name, pb::job::Priority::Low));
            assert_eq!(job.labels["team"], "docs");
        }
        bench.ended(&jobs.last().unwrap().name).await;
        bench.check(&jobs.last().unwrap().name).await;

        let gone = pb::DeleteScheduleRequest { name: schedule.name.clone() };
        bench.schedules().delete_schedule(bench.ask(gone.clone())).await.unwrap();
        let again = bench.schedules().delete_schedule(bench.ask(gone)).await.unwrap_err();
        assert_eq!(reason(&again), "SCHEDULE_NOT_FOUND");
        assert!(bench.jobs_of(&schedule.name).await.len() >= jobs.len(), "its jobs stay");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_skipped_while_the_last_job_goes_on_unless_that_is_allowed() {
    with(&SOON, async |bench: Bench| {
        let skipping = bench.plan(every(1)).await.unwrap();
        let allowing = bench.plan(pb::Schedule { overlap: Overlap::Allow.into(), ..every(1) }).await.unwrap();
        // Nobody crawls.
        let skipped = eventually(|| bench.schedule(&skipping.name), |now| now.skipped >= 2).await;
        assert_eq!(skipped.fired, 1);
        let beside = eventually(|| bench.schedule(&allowing.name), |now| now.fired >= 2).await;
        assert_eq!(beside.skipped, 0);
        // Its end lets the next one through.
        bench.cancel(&skipped.last_job).await.unwrap();
        eventually(|| bench.schedule(&skipping.name), |now| now.fired == 2).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_downtime_one_job_is_created_however_many_times_were_missed() {
    with(&SOON, async |mut bench: Bench| {
        let schedule = bench.plan(every(1)).await.unwrap();
        let first = eventually(|| bench.schedule(&schedule.name), |now| now.fired == 1).await;
        bench.cancel(&first.last_job).await.unwrap();
        bench.crash().await;
        let due = first.next_time.unwrap();
        let missed = std::time::Duration::from_secs(3);
        eventually(
            || async { mesh::clock::now().unix_timestamp() },
            |now| *now > due.seconds + i64::try_from(missed.as_secs()).unwrap(),
        )
        .await;
        bench.serve().await;
        let after = eventually(|| bench.schedule(&schedule.name), |now| now.fired >= 2).await;
        assert_eq!(after.fired, 2, "one for all that were missed, and none beside it while it goes on");
        assert_eq!(bench.jobs_of(&schedule.name).await.len(), 2);
        let (next, created) = (after.next_time.unwrap(), first.create_time.unwrap());
        assert_eq!(next.nanos, created.nanos, "the distance is kept");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_changed_paused_and_resumed() {
    on_both(async |bench: Bench| {
        let schedule = bench.plan(daily()).await.unwrap();
        assert_eq!((schedule.cron.as_str(), schedule.time_zone.as_str()), ("30 2 * * *", "Europe/Berlin"));
        let named = |change: pb::Schedule| pb::Schedule { name: schedule.name.clone(), ..change };
        let paused = bench
            .change(named(pb::Schedule { paused: Some(true), ..Default::default() }), &[])
            .await
            .unwrap();
        assert!(paused.paused() && paused.next_time.is_none());
        assert_eq!(paused.cron, schedule.cron, "what is not set stays");
        let resumed = bench.change(named(pb::Schedule::default()), &["paused"]).await.unwrap();
        assert!(!resumed.paused() && resumed.next_time.is_some());
        let hourly =
            bench.change(named(pb::Schedule { interval: seconds(3600), ..Default::default() }), &[]).await;
        let hourly = hourly.unwrap();
        assert_eq!((hourly.cron.as_str(), hourly.time_zone.as_str()), ("", ""), "one replaces the other");
        let job = named(pb::Schedule { job: Some(crawl("https://example.com/b")), ..Default::default() });
        let other = bench.change(job, &[]).await.unwrap();
        assert_eq!(other.job.as_ref().unwrap().urls, ["https://example.com/b"]);
        assert_eq!(other.next_time, hourly.next_time);

        let old = named(pb::Schedule { etag: schedule.etag.clone(), ..daily() });
        let refused = bench.change(old, &["cron"]).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "SCHEDULE_CHANGED"));
        let refused = bench.change(named(daily()), &["fired"]).await.unwrap_err();
        assert_eq!(fields(&refused), [("update_mask".to_owned(), "UNKNOWN_FIELD".to_owned())]);
        assert_eq!(bench.schedule(&schedule.name).await, other);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_schedule_is_told_what_is_wrong_with_each_field() {
    let bench = Bench::start(&store::testing::sqlite().unwrap().url, &[]).await;
    let refused = bench
        .plan(pb::Schedule {
            cron: "61 * * * *".to_owned(),
            overlap: 9,
            job: Some(pb::CreateCrawlJobRequest {
                urls: owned(&["nonsense"]),
                wait: seconds(1),
                request_id: "x".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        })
        .await
        .unwrap_err();
    let wrong = |field: &str, reason: &str| (field.to_owned(), reason.to_owned());
    assert_eq!(
        fields(&refused),
        [
            wrong("schedule.cron", "INVALID_CRON"),
            wrong("schedule.job.request_id", "CONFLICT"),
            wrong("schedule.job.wait", "CONFLICT"),
            wrong("schedule.job.urls[0]", "INVALID_URL"),
            wrong("schedule.overlap", "UNKNOWN_VALUE"),
        ]
    );
    for (schedule, expected) in [
        (pb::Schedule::default(), vec![("schedule.cron", "REQUIRED"), ("schedule.job", "REQUIRED")]),
        (every(59), vec![("schedule.interval", "OUT_OF_RANGE")]),
        (
            pb::Schedule { interval: seconds(60), ..daily() },
            vec![("schedule.cron", "CONFLICT"), ("schedule.interval", "CONFLICT")],
        ),
        (
            pb::Schedule { time_zone: "Mars/Base".to_owned(), ..daily() },
            vec![("schedule.time_zone", "UNKNOWN_TIME_ZONE")],
        ),
        (
            pb::Schedule { labels: [(String::new(), String::new())].into(), ..daily() },
            vec![("schedule.labels[]", "INVALID_LABEL")],
        ),
    ] {
        let refused = bench.plan(schedule).await.unwrap_err();
        let expected: Vec<_> = expected.into_iter().map(|(field, reason)| wrong(field, reason)).collect();
        assert_eq!(fields(&refused), expected);
    }
    let inside = pb::Schedule { job: Some(crawl("http://10.0.0.1/")), ..daily() };
    let refused = bench.plan(inside).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "TARGET_NOT_ALLOWED"));
    let deep = pb::CrawlConfig { deep_crawl: Some(pb::DeepCrawl::default()), ..Default::default() };
    let job = pb::CreateCrawlJobRequest { config: Some(deep), ..crawl("https://example.com/") };
    let refused = bench.plan(pb::Schedule { job: Some(job), ..daily() }).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "MISSING_PERMISSION"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_so_many_schedules_of_its_own_and_a_repeated_call_makes_none() {
    with(&[("schedules.max_per_tenant", "2")], async |bench: Bench| {
        let first = bench.plan_once(daily(), "k").await.unwrap();
        assert_eq!(bench.plan_once(daily(), "k").await.unwrap().name, first.name);
        let reused = bench.plan_once(every(60), "k").await.unwrap_err();
        assert_eq!(
            (reused.code(), reason(&reused).as_str()),
            (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED")
        );
        let second = bench.plan(daily()).await.unwrap();
        let full = bench.plan(daily()).await.unwrap_err();
        assert_eq!((full.code(), reason(&full).as_str()), (Code::ResourceExhausted, "TOO_MANY_SCHEDULES"));
        let list = async |token: &str| {
            let request = pb::ListSchedulesRequest { page_size: 1, page_token: token.to_owned() };
            bench.schedules().list_schedules(bench.ask(request)).await.unwrap().into_inner()
        };
        let newest = list("").await;
        let oldest = list(&newest.next_page_token).await;
        assert_eq!((&newest.schedules[0].name, &oldest.schedules[0].name), (&second.name, &first.name));
        assert!(oldest.next_page_token.is_empty());

        let scopes = [Scope::JobsRead, Scope::JobsWrite];
        let stranger = TenantId::new();
        for name in [first.name.clone(), ScheduleId::new().name()] {
            let mut client = bench.schedules();
            let get = pb::GetScheduleRequest { name: name.clone() };
            let delete = pb::DeleteScheduleRequest { name: name.clone() };
            let schedule = pb::Schedule { name: name.clone(), paused: Some(true), ..Default::default() };
            let update = pb::UpdateScheduleRequest { schedule: Some(schedule), update_mask: None };
            for refused in [
                client.get_schedule(request(stranger, &scopes, get)).await.unwrap_err(),
                client.delete_schedule(request(stranger, &scopes, delete)).await.unwrap_err(),
                client.update_schedule(request(stranger, &scopes, update)).await.unwrap_err(),
            ] {
                assert_eq!(
                    (refused.code(), reason(&refused).as_str()),
                    (Code::NotFound, "SCHEDULE_NOT_FOUND")
                );
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_scheduled_job_are_not_shown_and_are_kept() {
    with(&SOON, async |bench: Bench| {
        let webhook = pb::WebhookTarget {
            url: "https://hooks.example.com/".to_owned(),
            headers: [("x-token".to_owned(), "secret".to_owned())].into(),
            ..Default::default()
        };
        let job = pb::CreateCrawlJobRequest { webhook: Some(webhook), ..crawl("https://example.com/") };
        let schedule = bench.plan(pb::Schedule { job: Some(job), ..every(1) }).await.unwrap();
        assert_eq!(schedule.job.unwrap().webhook.unwrap().headers["x-token"], "***");
        let fired = eventually(|| bench.schedule(&schedule.name), |now| now.fired >= 1).await;
        let mut webhooks = bench.client_of(domain::Service::Webhook);
        let events = webhooks.list_events(pb::ListEventsRequest::default()).await.unwrap().into_inner();
        let event = events.entries[0].event.as_ref().unwrap().job.as_ref().unwrap();
        assert_eq!((&event.name, event.state()), (&fired.last_job, State::Queued));
        assert_eq!(event.webhook.as_ref().unwrap().headers["x-token"], "secret");
    })
    .await;
}

impl Bench {
    async fn run(&self, schedule: &str, request_id: &str) -> Result<pb::Job, Status> {
        let (name, request_id) = (schedule.to_owned(), request_id.to_owned());
        let request = self.ask(pb::RunScheduleRequest { name, request_id });
        self.schedules().run_schedule(request).await.map(tonic::Response::into_inner)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_is_asked_creates_a_job_now_and_its_times_stay() {
    on_both(async |bench: Bench| {
        let schedule = bench.plan(pb::Schedule { track_changes: Some(true), ..daily() }).await.unwrap();
        let job = bench.run(&schedule.name, "k").await.unwrap();
        assert_eq!((&job.schedule, job.state()), (&schedule.name, State::Queued));
        let now = bench.schedule(&schedule.name).await;
        assert_eq!((now.fired, &now.last_job, &now.next_time), (1, &job.name, &schedule.next_time));
        assert_eq!((now.last_time, &now.etag), (None, &schedule.etag), "no time of its own has passed");
        // Once, also while it goes on.
        assert_eq!(bench.run(&schedule.name, "k").await.unwrap().name, job.name);
        let busy = bench.run(&schedule.name, "").await.unwrap_err();
        assert_eq!((busy.code(), reason(&busy).as_str()), (Code::FailedPrecondition, "SCHEDULE_BUSY"));
        bench.crawl(Lane::Http, 1, ok).await;
        bench.ended(&job.name).await;
        // And after it has ended and would be compared with another.
        assert_eq!(bench.run(&schedule.name, "k").await.unwrap().name, job.name);
        let second = bench.run(&schedule.name, "l").await.unwrap();
        assert_eq!(second.baseline, job.name, "it is compared with the last one");
        assert_eq!(bench.jobs_of(&schedule.name).await.len(), 2);

        let other = bench.plan(pb::Schedule { overlap: Overlap::Allow.into(), ..daily() }).await.unwrap();
        let reused = bench.run(&other.name, "k").await.unwrap_err();
        assert_eq!(
            (reused.code(), reason(&reused).as_str()),
            (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED")
        );
        let request = pb::CreateCrawlJobRequest { request_id: "k".into(), ..crawl("https://example.com/") };
        let reused = bench.client().create_crawl_job(bench.ask(request)).await.unwrap_err();
        assert_eq!(reason(&reused), "IDEMPOTENCY_KEY_REUSED");
        let paused = pb::Schedule { name: other.name.clone(), paused: Some(true), ..Default::default() };
        bench.change(paused, &[]).await.unwrap();
        for _ in 0..2 {
            bench.run(&other.name, "").await.unwrap();
        }
        assert_eq!(bench.jobs_of(&other.name).await.len(), 2, "side by side, and though it is paused");
        assert_eq!(
            reason(&bench.run(&ScheduleId::new().name(), "").await.unwrap_err()),
            "SCHEDULE_NOT_FOUND"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_with_one_request_id_are_one_job() {
    on_both(async |bench: Bench| {
        let schedule = bench.plan(pb::Schedule { overlap: Overlap::Allow.into(), ..daily() }).await.unwrap();
        let calls = (0..20).map(|_| bench.run(&schedule.name, "k"));
        let jobs: Vec<_> = futures::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
        assert!(jobs.iter().all(|job| job.name == jobs[0].name));
        assert_eq!(
            (bench.jobs_of(&schedule.name).await.len(), bench.schedule(&schedule.name).await.fired),
            (1, 1)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_baseline_of_a_schedule_is_held_against_what_a_job_is() {
    on_both(async |bench: Bench| {
        let running = bench.create(&["https://example.com/"]).await;
        let refused = async |baseline: &str, deep: bool| {
            let deep_crawl = deep.then(pb::DeepCrawl::default);
            let config = Some(pb::CrawlConfig { deep_crawl, ..Default::default() });
            let baseline = baseline.to_owned();
            let job = pb::CreateCrawlJobRequest { baseline, config, ..crawl("https://example.com/") };
            let schedule = Some(pb::Schedule { job: Some(job), ..daily() });
            let plan = pb::CreateScheduleRequest { schedule, ..Default::default() };
            let scopes = [Scope::JobsWrite, Scope::CrawlDeep];
            let answer = bench.schedules().create_schedule(request(bench.tenant, &scopes, plan)).await;
            let refused = answer.err();
            refused.map(|refused| (reason(&refused), fields(&refused)[0].0.clone()))
        };
        let field = |reason: &str| Some((reason.to_owned(), "schedule.job.baseline".to_owned()));
        assert_eq!(refused(&running.name, false).await, field("JOB_NOT_ENDED"));
        assert_eq!(refused(&domain::JobId::new().name(), false).await, field("JOB_NOT_FOUND"));
        bench.crawl(Lane::Http, 1, ok).await;
        bench.ended(&running.name).await;
        assert_eq!(refused(&running.name, true).await, field("CONFLICT"));
        assert_eq!(refused(&running.name, false).await, None);
    })
    .await;
}
