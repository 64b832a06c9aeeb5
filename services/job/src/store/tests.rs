//! The plans of hot queries, and what the janitor and the recount find.

use std::time::Duration;

use domain::{JobId, Lane, TenantId};

use super::*;
use crate::{
    host::tests::{pace, paces},
    page, wire,
};

mod hosts;
mod plans;
mod schedules;

const DAY: Duration = Duration::from_secs(86_400);

pub(super) async fn stores() -> Vec<Store> {
    let mut stores = Vec::new();
    for (_, config) in store::testing::both().expect("because Postgres is installed") {
        stores.push(Store::open(&config, paces(pace()), 20).await.unwrap());
    }
    stores
}

impl Store {
    /// The first pages of a tenant.
    async fn frontier(&self, lane: Lane, tenant: TenantId, limit: usize) -> Result<Vec<Picked>, Error> {
        self.pick(lane, tenant, limit, &mut Turns::default()).await
    }

    /// Pages of a lane that are out.
    async fn running(&self, lane: Lane) -> Result<usize, Error> {
        Ok(self.out_by_tenant(lane).await?.values().sum())
    }
}

async fn submit(store: &Store, tenant: TenantId, pages: usize) -> Job {
    let urls = (0..pages).map(|n| format!("https://example.com/{n}")).collect();
    let request = api::job::v1::CreateCrawlJobRequest { urls, ..Default::default() };
    let rules = wire::Rules::at_most(100_000, 100_000);
    let submission = wire::submission(request, &rules).unwrap();
    store.submit(&Prepared::new(tenant, &submission, None, mesh::clock::now(), DAY)).await.unwrap().0
}

pub(super) fn rules(retry: &page::Retry) -> SettleRules<'_> {
    let deep_crawl = crate::DeepCrawl { max_pages: 100_000, budget_lines: 5, max_sources: 3 };
    SettleRules { retry, progress_interval: Duration::ZERO, deep_crawl }
}

async fn tamper(store: &Store, text: &str) {
    let done =
        store.db.write(async |txn| Ok::<_, Error>(sql::execute(txn, text, vec![]).await?.rows_affected()));
    assert!(done.await.unwrap() > 0);
}

#[tokio::test]
async fn a_wrong_sum_is_found_and_never_saved() {
    for store in stores().await {
        let (tenant, now) = (TenantId::new(), mesh::clock::now());
        let good = submit(&store, tenant, 3).await;
        assert!(store.recount(&[good.id], 100).await.unwrap().is_empty());
        let picked = store.frontier(Lane::Http, tenant, 10).await.unwrap();
        let page = store.dispatch(&picked[..1], now).await.unwrap().pages.remove(0);

        tamper(&store, "UPDATE job SET pending = pending + 1").await;
        let found = store.recount(&[good.id], 100).await.unwrap();
        assert_eq!((found.len(), found[0].kept.0.pending, found[0].counted.0.pending), (1, 3, 2));
        assert!(
            store.recount(&[good.id], 2).await.unwrap().is_empty(),
            "too large to be counted while it runs"
        );

        let outcome = page::Outcome {
            job: page.job,
            page: page.id,
            dispatch_seq: page.dispatch_seq,
            ..page::tests::outcome(page::Kind::Final, Some(domain::Verdict::Ok))
        };
        let retry = page::tests::retry();
        let settled = store.settle(&[(outcome, 0.5)], &rules(&retry), now).await;
        assert!(matches!(settled, Err(Error::Row(_))), "{settled:?}");
        assert_eq!(store.running(Lane::Http).await.unwrap(), 1, "nothing of the batch was saved");
    }
}

#[tokio::test]
async fn tenants_are_walked_in_a_circle() {
    for store in stores().await {
        let mut tenants = [TenantId::new(), TenantId::new(), TenantId::new()];
        tenants.sort();
        for tenant in tenants {
            submit(&store, tenant, 2).await;
        }
        let all = store.waiting_tenants(Lane::Http, None, 10).await.unwrap();
        assert_eq!(all, tenants);
        assert_eq!(store.waiting_tenants(Lane::Http, Some(tenants[0]), 1).await.unwrap(), tenants[1..2]);
        assert!(store.waiting_tenants(Lane::Http, Some(tenants[2]), 10).await.unwrap().is_empty());
        assert!(store.waiting_tenants(Lane::Browser, None, 10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn large_jobs_are_settled_in_large_batches() {
    for store in stores().await {
        let (tenant, now) = (TenantId::new(), mesh::clock::now());
        let job = submit(&store, tenant, 5000).await;
        let (retry, begun) = (page::tests::retry(), std::time::Instant::now());
        loop {
            let picked = store.frontier(Lane::Http, tenant, 256).await.unwrap();
            let turn = store.dispatch(&picked, now).await.unwrap();
            if turn.pages.is_empty() {
                break;
            }
            let done = |page: &Dispatched| page::Outcome {
                job: page.job,
                page: page.id,
                dispatch_seq: page.dispatch_seq,
                ..page::tests::outcome(page::Kind::Final, Some(domain::Verdict::Ok))
            };
            let outcomes: Vec<_> = turn.pages.iter().map(|page| (done(page), 0.5)).collect();
            store.settle(&outcomes, &rules(&retry), now).await.unwrap();
        }
        eprintln!("{:?}: 5000 pages in {:?}", store.db.backend(), begun.elapsed());
        let job = store.any_job(job.id).await.unwrap();
        assert_eq!((job.counts.succeeded, job.state), (5000, crate::job::State::Succeeded));
        assert!(store.recount(&[job.id], 0).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn submissions_of_one_transaction_do_not_harm_each_other() {
    for store in stores().await {
        let (tenant, now) = (TenantId::new(), mesh::clock::now());
        let prepared = |request_id: &str, url: &str| {
            let request = api::job::v1::CreateCrawlJobRequest {
                urls: vec![url.to_owned()],
                request_id: request_id.to_owned(),
                labels: [("of".to_owned(), url.to_owned())].into(),
                ..Default::default()
            };
            let rules = wire::Rules::at_most(10, 10);
            Prepared::new(tenant, &wire::submission(request, &rules).unwrap(), None, now, DAY)
        };
        let first = store.submit(&prepared("before", "https://example.com/1")).await.unwrap().0;
        let group = [
            prepared("", "https://example.com/2"),
            prepared("before", "https://example.com/1"),
            prepared("before", "https://example.com/other"),
            prepared("twice", "https://example.com/3"),
            prepared("twice", "https://example.com/3"),
            prepared("twice", "https://example.com/4"),
        ];
        let accepted = store.submit_all(&group).await;
        let new: Vec<Option<bool>> =
            accepted.iter().map(|accepted| accepted.as_ref().ok().map(|(_, new)| *new)).collect();
        assert_eq!(new, [Some(true), Some(false), None, Some(true), Some(false), None]);
        assert_eq!(accepted[1].as_ref().unwrap().0.id, first.id);
        assert_eq!(accepted[4].as_ref().unwrap().0.id, accepted[3].as_ref().unwrap().0.id);
        for refused in [&accepted[2], &accepted[5]] {
            assert!(matches!(refused, Err(Error::RequestIdReused(_))), "{refused:?}");
        }
        // One that the database refuses: the same job twice. The others are written all the same.
        let again = [group[0].clone(), prepared("", "https://example.com/5")];
        let accepted = store.submit_all(&again).await;
        assert!(accepted[0].is_err() && accepted[1].is_ok(), "{accepted:?}");
        let jobs = store.jobs(tenant, wire::JobFilter::default(), None, 10).await.unwrap();
        assert_eq!(jobs.len(), 4);
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        assert!(store.recount(&ids, 100).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn twenty_thousand_pages_are_accepted_at_once() {
    for store in stores().await {
        let begun = std::time::Instant::now();
        let job = submit(&store, TenantId::new(), 20_000).await;
        eprintln!("{:?}: 20 000 pages accepted in {:?}", store.db.backend(), begun.elapsed());
        assert_eq!(job.counts.pending, 20_000);
        assert!(store.recount(&[job.id], i64::MAX).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_audit_finds_what_does_not_agree() {
    for store in stores().await {
        let (tenant, now) = (TenantId::new(), mesh::clock::now());
        let (good, bad) = (submit(&store, tenant, 2).await, submit(&store, tenant, 3).await);
        for job in [&good, &bad] {
            store.cancel(tenant, job.id, now).await.unwrap();
        }
        let clean = store.audit(None, 10).await.unwrap();
        assert_eq!((clean.jobs, clean.pages, clean.problems.len()), (2, 5, 0), "{clean:?}");
        assert_eq!(store.audit(None, 1).await.unwrap().last, Some(good.id));
        assert!(store.audit(Some(bad.id), 10).await.unwrap().last.is_none());
        for (tampering, repair) in [
            (
                "UPDATE job SET succeeded = succeeded + 1, found = found + 1",
                "UPDATE job SET succeeded = succeeded - 1, found = found - 1",
            ),
            (
                "UPDATE event SET type = 'job.succeeded' WHERE sequence = 1",
                "UPDATE event SET type = 'job.created' WHERE sequence = 1",
            ),
            (
                "UPDATE event SET sequence = 7 WHERE sequence = 2",
                "UPDATE event SET sequence = 2 WHERE sequence = 7",
            ),
            ("UPDATE job SET state = 'running'", "UPDATE job SET state = 'cancelled'"),
            (
                "UPDATE page SET end_time = NULL WHERE idx = 0",
                "UPDATE page SET end_time = 1 WHERE end_time IS NULL",
            ),
        ] {
            tamper(&store, tampering).await;
            let found = store.audit(Some(good.id), 10).await.unwrap();
            assert_eq!(found.problems.len(), 1, "{tampering}: {found:?}");
            assert!(found.problems[0].contains(&bad.id.name()), "{found:?}");
            tamper(&store, repair).await;
        }
        assert!(store.audit(None, 10).await.unwrap().problems.is_empty());
        assert_eq!(store.leftovers().await.unwrap(), Vec::<String>::new());
        let id = bad.id.0.simple();
        let literal = if store.db.is_sqlite() { format!("x'{id}'") } else { format!("'{id}'") };
        tamper(&store, &format!("DELETE FROM job WHERE id = {literal}")).await;
        let found = store.leftovers().await.unwrap();
        assert_eq!(found.len(), 2, "pages and events: {found:?}");
    }
}
