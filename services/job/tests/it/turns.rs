//! Who goes first.

use std::collections::HashSet;

use api::job::v1::{self as pb, job::Priority};
use domain::{Lane, Scope, TenantId};

use crate::bench::{Bench, eventually, ok, read, request, urls, with};

async fn submit(bench: &Bench, tenant: TenantId, count: usize, priority: Priority) -> pb::Job {
    let message =
        pb::CreateCrawlJobRequest { urls: urls(count), priority: priority.into(), ..Default::default() };
    let request = request(tenant, &[Scope::JobsWrite], message);
    bench.client().create_crawl_job(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_stays_shallow_and_tenants_take_turns() {
    with(&[("dispatch.queue_depth", "8")], async |bench: Bench| {
        let (large, small) = (TenantId::new(), TenantId::new());
        let big = submit(&bench, large, 300, Priority::Normal).await;
        // One place of the eight is for others.
        eventually(|| bench.bus.backlog(Lane::Http), |backlog| *backlog == Ok(7)).await.unwrap();
        let little = submit(&bench, small, 2, Priority::Normal).await;
        // At most the pages that were out already come before those of the small tenant, and its turns.
        let mut seen = HashSet::new();
        let mut done = 0;
        while seen.len() < 2 {
            let delivery = bench.tasks(Lane::Http, 1).await.remove(0);
            let task = read(&delivery);
            if task.page.starts_with(&little.name) {
                seen.insert(task.page.clone());
            }
            bench.answer(&ok(&task), &task.page).await;
            delivery.ack().await.unwrap();
            done += 1;
            // A slow machine may give the large one a few more turns before it sees the small one.
            assert!(done <= 20, "the small job waits for the large one");
            let spare = bench.bus.backlog(Lane::Http).await.unwrap();
            assert!(spare <= 8, "{spare}");
        }
        let read = request(large, &[Scope::JobsRead], pb::GetJobRequest { name: big.name, wait: None });
        let counts = bench.client().get_job(read).await.unwrap().into_inner().counts.unwrap();
        assert!(counts.running <= 8 && counts.pending > 200, "{counts:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn within_a_tenant_priority_goes_first_and_jobs_take_turns() {
    with(&[("dispatch.queue_depth", "1")], async |bench: Bench| {
        let tenant = TenantId::new();
        let first = submit(&bench, tenant, 2, Priority::Normal).await;
        eventually(|| bench.bus.backlog(Lane::Http), |backlog| *backlog == Ok(1)).await.unwrap();
        let low = submit(&bench, tenant, 1, Priority::Low).await;
        let normal = submit(&bench, tenant, 1, Priority::Normal).await;
        let high = submit(&bench, tenant, 1, Priority::High).await;
        let mut order = Vec::new();
        for _ in 0..5 {
            let delivery = bench.tasks(Lane::Http, 1).await.remove(0);
            let task = read(&delivery);
            order.push(task.page.split("/pages/").next().unwrap().to_owned());
            bench.answer(&ok(&task), &task.page).await;
            delivery.ack().await.unwrap();
        }
        assert_eq!(order, [&first.name, &high.name, &normal.name, &first.name, &low.name].map(Clone::clone));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_without_crawlers_does_not_hold_up_the_other() {
    let settings = [("dispatch.queue_depth", "4"), ("reconcile.dispatch_timeout", "\"50ms\"")];
    with(&settings, async |bench: Bench| {
        let browser =
            pb::CrawlConfig { render: pb::crawl_config::Render::Browser.into(), ..Default::default() };
        let request =
            pb::CreateCrawlJobRequest { urls: urls(50), config: Some(browser), ..Default::default() };
        bench.submit(request).await;
        eventually(|| bench.bus.backlog(Lane::Browser), |backlog| *backlog == Ok(4)).await.unwrap();
        let job = bench.submit(pb::CreateCrawlJobRequest { urls: urls(20), ..Default::default() }).await;
        bench.crawl_to_the_end(&[&job.name]).await;
        // Many dispatch timeouts later the lane still holds no more than it may.
        let backlog = bench.bus.backlog(Lane::Browser).await.unwrap();
        assert!(backlog <= 4, "{backlog}");
    })
    .await;
}
