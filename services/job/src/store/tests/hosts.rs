//! One rate for a host, whoever hands out its pages.

use domain::{Lane, Verdict};
use time::OffsetDateTime;

use super::*;
use crate::host::{Answer, Pace};

const SECOND: Duration = Duration::from_secs(1);

/// Pages of `slow.test`, one second apart and two at a time; `example.com` has no limit.
async fn polite_stores() -> Vec<(Store, store::Config)> {
    let mut stores = Vec::new();
    for (_, config) in store::testing::both().expect("because Postgres is installed") {
        stores.push((Store::open(&config, slow(), 20).await.unwrap(), config));
    }
    stores
}

fn slow() -> crate::host::Paces {
    paces(Pace { min_delay: SECOND, max_concurrency: 2, latency_factor: 0.0, ..pace() })
}

async fn submit_to(store: &Store, tenant: TenantId, host: &str, pages: usize) -> Job {
    let urls = (0..pages).map(|n| format!("https://{host}/{n}")).collect();
    let request = api::job::v1::CreateCrawlJobRequest { urls, ..Default::default() };
    let rules = wire::Rules::at_most(100_000, 100_000);
    let submission = wire::submission(request, &rules).unwrap();
    store.submit(&Prepared::new(tenant, &submission, None, mesh::clock::now(), DAY)).await.unwrap().0
}

fn fetched(page: &Dispatched, answer: Answer) -> (page::Outcome, f64) {
    let outcome = page::Outcome {
        job: page.job,
        page: page.id,
        dispatch_seq: page.dispatch_seq,
        answer,
        ..page::tests::outcome(page::Kind::Final, Some(Verdict::Ok))
    };
    (outcome, 0.5)
}

/// The host has answered at `time`.
fn answered(time: OffsetDateTime) -> Answer {
    Answer { start_time: Some(time), answered: true, ..Answer::default() }
}

async fn settle(store: &Store, pages: &[Dispatched], answer: &Answer, now: OffsetDateTime) {
    let outcomes: Vec<_> = pages.iter().map(|page| fetched(page, answer.clone())).collect();
    store.settle(&outcomes, &super::rules(&page::tests::retry()), now).await.unwrap();
}

/// Hands out the pages that wait for hosts which are due.
async fn due(store: &Store, now: OffsetDateTime) -> Vec<Dispatched> {
    let due = store.due_hosts(Lane::Http, now, 100).await.unwrap();
    let due: Vec<Picked> = due.into_iter().map(|due| due.page).collect();
    store.dispatch(&due, now).await.unwrap().pages
}

#[tokio::test]
async fn pages_wait_for_their_host_outside_the_frontier() {
    for (store, _) in polite_stores().await {
        let (tenant, now) = (TenantId::new(), mesh::clock::now());
        let job = submit_to(&store, tenant, "slow.test", 5).await;
        let fast = submit_to(&store, tenant, "example.com", 5).await;
        let picked = store.frontier(Lane::Http, tenant, 100).await.unwrap();
        let turn = store.dispatch(&picked, now).await.unwrap();
        assert_eq!((turn.pages.len(), turn.parked), (6, 4), "one page of the slow host, all of the other");
        assert!(store.frontier(Lane::Http, tenant, 100).await.unwrap().is_empty());
        let first = turn.pages.iter().filter(|page| page.job == job.id).cloned().collect::<Vec<_>>();

        assert!(due(&store, now + SECOND).await.is_empty(), "it has not answered yet");
        settle(&store, &first, &answered(now), now + SECOND / 2).await;
        assert!(due(&store, now + SECOND / 2).await.is_empty());
        assert_eq!(store.next_host(now).await.unwrap().map(|next| next > now), Some(true));
        let second = due(&store, now + 2 * SECOND).await;
        let third = due(&store, now + 3 * SECOND).await;
        assert_eq!((second.len(), third.len()), (1, 1));
        assert!(due(&store, now + 9 * SECOND).await.is_empty(), "two are out");
        let pages = store.pages(&job, wire::PageFilter::default(), None, 10).await.unwrap();
        let waits: Vec<u64> = pages.iter().map(|page| page.host_wait.as_secs()).collect();
        assert_eq!(waits, [0, 2, 3, 0, 0]);
        assert!(pages[4].host_since.is_some() && pages[1].host_since.is_none());

        // A page that comes back without an outcome leaves the host busy until it is looked at.
        assert_eq!(store.give_back(&[second[0].held()], None, now).await.unwrap(), 1);
        assert!(due(&store, now + 9 * SECOND).await.is_empty());
        assert!(store.tidy_hosts(now + 9 * SECOND).await.unwrap());
        assert_eq!(due(&store, now + 10 * SECOND).await.len(), 1);
        // A cancelled job leaves nothing that waits.
        store.cancel(tenant, job.id, now).await.unwrap();
        store.tidy_hosts(now + 20 * SECOND).await.unwrap();
        store.tidy_hosts(now + 20 * SECOND).await.unwrap();
        assert!(!store.host("slow.test").await.unwrap().unwrap().parked);
        assert!(store.recount(&[job.id, fast.id], 100).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn tenants_take_turns_at_a_host() {
    for (store, _) in polite_stores().await {
        let tenants = [TenantId::new(), TenantId::new()];
        let mut now = mesh::clock::now();
        for tenant in tenants {
            submit_to(&store, tenant, "slow.test", 3).await;
            let picked = store.frontier(Lane::Http, tenant, 100).await.unwrap();
            let out = store.dispatch(&picked, now).await.unwrap().pages;
            settle(&store, &out, &answered(now), now).await;
        }
        let mut served = Vec::new();
        for _ in 0..4 {
            now += 2 * SECOND;
            let page = due(&store, now).await;
            served.push(page[0].tenant);
            settle(&store, &page, &answered(now), now).await;
        }
        assert!(served.windows(2).all(|pair| pair[0] != pair[1]), "{served:?}");
    }
}

#[tokio::test]
async fn row_68_two_services_on_one_database_keep_one_rate() {
    let (one, config) = polite_stores().await.pop().unwrap();
    let two = Store::open(&config, slow(), 20).await.unwrap();
    let tenant = TenantId::new();
    submit_to(&one, tenant, "slow.test", 60).await;
    let mut now = mesh::clock::now();
    let picked = one.frontier(Lane::Http, tenant, 100).await.unwrap();
    let (a, b) = tokio::join!(one.dispatch(&picked, now), two.dispatch(&picked, now));
    let out: Vec<_> = [a.unwrap().pages, b.unwrap().pages].concat();
    assert_eq!(out.len(), 1);
    settle(&one, &out, &answered(now), now).await;
    let mut done = 1;
    while done < 60 {
        now += SECOND;
        let (a, b) = tokio::join!(due(&one, now), due(&two, now));
        let out: Vec<_> = [a, b].concat();
        assert_eq!(out.len(), 1, "{done}");
        settle(if done % 2 == 0 { &one } else { &two }, &out, &answered(now), now).await;
        done += 1;
    }
}

#[tokio::test]
async fn a_host_without_delay_takes_its_pages_back_at_once() {
    for (store, _) in polite_stores().await {
        let (tenant, now) = (TenantId::new(), mesh::clock::now());
        submit_to(&store, tenant, "example.com", 50).await;
        let picked = store.frontier(Lane::Http, tenant, 1).await.unwrap();
        let first = store.dispatch(&picked, now).await.unwrap().pages;
        settle(&store, &first, &Answer { throttled: true, ..answered(now) }, now).await;
        let picked = store.frontier(Lane::Http, tenant, 100).await.unwrap();
        assert_eq!(store.dispatch(&picked, now).await.unwrap().parked, 49);
        let mut later = now;
        for _ in 0..2 {
            later += 10 * SECOND;
            let page = due(&store, later).await;
            settle(&store, &page, &answered(later), later).await;
        }
        let open = store.due_hosts(Lane::Http, later + 10 * SECOND, 100).await.unwrap();
        assert!(open.len() == 1 && open[0].open, "{open:?}");
        store.unpark(Lane::Http, "example.com", 100, later).await.unwrap();
        assert_eq!(store.frontier(Lane::Http, tenant, 100).await.unwrap().len(), 47);
        assert!(!store.host("example.com").await.unwrap().unwrap().parked);
        assert_eq!(store.forget_hosts(later + SECOND, 10).await.unwrap(), 1);
    }
}
