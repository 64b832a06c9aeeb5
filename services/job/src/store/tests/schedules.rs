//! Two job services and one schedule: each due time has one job.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;

use super::*;
use crate::{
    schedule::{Overlap, Plan, Schedule, Template, Timing},
    store::{DueSchedule, NewSchedule},
};

const ROUNDS: u32 = 20;

fn crawl(rules: &wire::Rules) -> crate::spec::Submission {
    let urls = vec!["https://example.com/".to_owned()];
    let request = api::job::v1::CreateCrawlJobRequest { urls, ..Default::default() };
    wire::submission(request, rules).unwrap()
}

fn schedule(tenant: TenantId, rules: &wire::Rules, now: time::OffsetDateTime) -> NewSchedule {
    let plan = Plan {
        timing: Timing::Every(Duration::from_secs(60)),
        job: Template::of(crawl(rules)),
        labels: std::collections::BTreeMap::new(),
        overlap: Overlap::Allow,
        paused: false,
        track_changes: false,
    };
    NewSchedule { schedule: Schedule::new(tenant, plan, now).unwrap(), request: None, most: 10 }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_time_has_one_job_though_two_services_look_at_once() {
    for (name, config) in store::testing::both().expect("because Postgres is installed") {
        eprintln!("on {name}");
        let one = Store::open(&config, paces(pace()), 20).await.unwrap();
        let two = Store::open(&config, paces(pace()), 20).await.unwrap();
        let rules = Arc::new(wire::Rules::at_most(10, 10));
        let (tenant, start) = (TenantId::new(), mesh::clock::now());
        let made = one.create_schedule(&schedule(tenant, &rules, start), start).await.unwrap();
        for round in 1..=ROUNDS {
            let now = start + Duration::from_secs(60) * round;
            assert_eq!(two.due_schedules(now).await.unwrap(), [made.id]);
            let runs = [&one, &two, &one, &two].map(|store| {
                let rules = Arc::clone(&rules);
                store.run_schedule(made.id, now, move |schedule, _| {
                    let submission = wire::scheduled(schedule, None, &rules).unwrap();
                    Ok(Prepared::new(schedule.tenant, &submission, None, now, Duration::ZERO))
                })
            });
            let fired = join_all(runs).await.into_iter().filter_map(Result::unwrap);
            assert_eq!(fired.filter(|due| matches!(due, DueSchedule::Fired(_))).count(), 1);
            assert!(two.due_schedules(now).await.unwrap().is_empty());
        }
        let filter = wire::JobFilter { schedule: Some(made.id), ..Default::default() };
        let jobs = one.jobs(tenant, filter, None, 200).await.unwrap();
        assert_eq!(jobs.len(), usize::try_from(ROUNDS).unwrap());
        let last = two.schedule(tenant, made.id).await.unwrap();
        assert_eq!((last.fired, last.last_job), (i64::from(ROUNDS), Some(jobs[0].id)));
        assert_eq!(last.next_time, Some(start + Duration::from_secs(60) * (ROUNDS + 1)));
    }
}

#[tokio::test]
async fn a_job_that_the_rules_forbid_by_now_is_not_created_and_the_schedule_says_why() {
    for store in stores().await {
        let rules = wire::Rules::at_most(10, 10);
        let (tenant, start) = (TenantId::new(), mesh::clock::now());
        let made = store.create_schedule(&schedule(tenant, &rules, start), start).await.unwrap();
        let now = start + Duration::from_secs(61);
        let due = store.run_schedule(made.id, now, |_, _| Err("no".to_owned())).await.unwrap();
        assert!(matches!(due, Some(DueSchedule::Refused(_))), "{due:?}");
        let after = store.schedule(tenant, made.id).await.unwrap();
        assert_eq!((after.fired, after.last_error.as_deref()), (0, Some("no")));
        assert_eq!(after.next_time, Some(start + Duration::from_secs(120)), "it goes on");
    }
}
