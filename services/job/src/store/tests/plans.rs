//! Every statement of the job store finds its rows through an index, on both databases: none walks over a table that grows.
//!
//! The statements are those that the store runs in a life of some jobs, seen on their way to the database, so that none is
//! forgotten; a new one is asked for its plan the first time that a test runs it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{Lane, TenantId};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};

use super::*;
use crate::{
    page,
    schedule::{Overlap, Plan, Schedule, Template, Timing},
    store::NewSchedule,
    wire::{JobFilter, PageFilter},
};

/// Tables that grow with use.
const TABLES: [&str; 8] = ["page", "job", "event", "host", "label", "page_claim", "page_print", "schedule"];
/// Partial indexes that hold only what is going on: walking over one is no walk over its table.
const SHORT: [&str; 11] = [
    "page_running",
    "page_waiting",
    "page_frontier",
    "page_parked",
    "host_due",
    "host_busy",
    "job_stale",
    "job_deadline",
    "job_baseline",
    "job_ended",
    "schedule_due",
];
type Seen = Arc<Mutex<BTreeMap<String, Statement>>>;

/// A store that remembers its statements.
async fn watched(config: &::store::Config) -> (Store, Seen) {
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    let db = ::store::Db::open_watched::<migration::Migrator>(config, move |statement| {
        let first_word = statement.sql.split_whitespace().next().unwrap_or_default().to_uppercase();
        if ["SELECT", "WITH", "UPDATE", "DELETE"].contains(&first_word.as_str()) {
            kept.lock().unwrap().entry(shape(&statement.sql)).or_insert_with(|| statement.clone());
        }
    });
    (Store { db: db.await.unwrap(), paces: Arc::new(paces(pace())), max_history: 20 }, seen)
}

/// Statements over more or fewer rows are one.
fn shape(sql: &str) -> String {
    let mut shape = String::new();
    for part in sql.split(|letter: char| letter.is_ascii_digit() || "$(),? ".contains(letter)) {
        if !part.is_empty() && !shape.ends_with(part) {
            shape.push_str(part);
        }
    }
    shape
}

/// Two ended jobs, one that runs, one that is paused, pages in every state, a schedule: and everything that is done to them.
async fn live(store: &Store) {
    let (tenant, now) = (TenantId::new(), mesh::clock::now());
    let retry = page::tests::retry();
    let rules = rules(&retry);
    let first = submit(store, tenant, 300).await;
    settle_all(store, tenant, now, &rules).await;
    let request = api::job::v1::CreateCrawlJobRequest {
        urls: (0..300).map(|n| format!("https://example.com/{}", n + 1)).collect(),
        labels: [("team".to_owned(), "docs".to_owned())].into(),
        baseline: first.id.name(),
        request_id: "once".to_owned(),
        max_duration: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        ..Default::default()
    };
    let limits = wire::Rules::at_most(1000, 1000);
    let submission = wire::submission(request, &limits).unwrap();
    let prepared = Prepared::new(tenant, &submission, None, now, DAY);
    let second = store.submit(&prepared).await.unwrap().0;
    assert_eq!(store.submit(&prepared).await.unwrap().0.id, second.id);
    settle_all(store, tenant, now, &rules).await;
    let third = submit(store, tenant, 300).await;
    let picked = store.frontier(Lane::Http, tenant, 40).await.unwrap();
    let out = store.dispatch(&picked, now).await.unwrap().pages;
    store.give_back(&[out[0].held()], Some("lost"), now).await.unwrap();
    let fourth = submit(store, tenant, 20).await;
    store.pause(tenant, fourth.id, now).await.unwrap();
    store.prioritize(tenant, fourth.id, domain::Priority::High).await.unwrap();
    while store.align().await.unwrap() {}
    look(store, tenant, now).await;
    read(store, tenant, [first.id, second.id, third.id]).await;
    schedules(store, tenant, &limits, now).await;
    store.retry(tenant, third.id, now).await.unwrap();
    store.resume(tenant, fourth.id, now).await.unwrap();
    store.cancel(tenant, third.id, now).await.unwrap();
    store.expire(now + 2 * DAY).await.unwrap();
    let ages = Ages { jobs: now + DAY, events: now + DAY, hosts: now + DAY, request_ids: now + DAY };
    for _ in 0..12 {
        store.sweep(ages, 100).await.unwrap();
    }
}

/// Hands out and settles whatever waits.
async fn settle_all(store: &Store, tenant: TenantId, now: time::OffsetDateTime, rules: &SettleRules<'_>) {
    loop {
        let picked = store.frontier(Lane::Http, tenant, 200).await.unwrap();
        let turn = store.dispatch(&picked, now).await.unwrap();
        if turn.pages.is_empty() {
            return;
        }
        let done = |page: &Dispatched| page::Outcome {
            job: page.job,
            page: page.id,
            dispatch_seq: page.dispatch_seq,
            content_key: Some([page.url.len() as u8; 16]),
            ..page::tests::outcome(page::Kind::Final, Some(domain::Verdict::Ok))
        };
        let outcomes: Vec<_> = turn.pages.iter().map(|page| (done(page), 0.5)).collect();
        store.settle(&outcomes, rules, now).await.unwrap();
    }
}

/// What loops look at, again and again.
async fn look(store: &Store, tenant: TenantId, now: time::OffsetDateTime) {
    for &lane in Lane::ALL {
        store.waiting_tenants(lane, None, 64).await.unwrap();
        store.out_by_tenant(lane).await.unwrap();
        store.overdue(lane, now, 100).await.unwrap();
        store.out(lane, now - DAY, now, 100).await.unwrap();
        store.due_hosts(lane, now, 64).await.unwrap();
        store.unpark(lane, "example.com", 10, now).await.unwrap();
    }
    store.promote(now).await.unwrap();
    store.tidy_hosts(now + DAY).await.unwrap();
    store.next_due().await.unwrap();
    store.next_host(now).await.unwrap();
    store.next_deadline().await.unwrap();
    store.next_schedule().await.unwrap();
    store.due_schedules(now).await.unwrap();
    store.host("example.com").await.unwrap();
    store.waiting_for(tenant, "example.com").await.unwrap();
    store.webhook_events(0, 100).await.unwrap();
}

/// What callers ask.
async fn read(store: &Store, tenant: TenantId, jobs: [JobId; 3]) {
    let label = Some(("team".to_owned(), "docs".to_owned()));
    let now = mesh::clock::now();
    let filters = [
        JobFilter::default(),
        JobFilter { state: Some(crate::job::State::Running), ..JobFilter::default() },
        JobFilter { label, ..JobFilter::default() },
        JobFilter { from: Some(now - DAY), before: Some(now + DAY), ..JobFilter::default() },
        JobFilter { schedule: Some(domain::ScheduleId::new()), ..JobFilter::default() },
    ];
    for filter in filters {
        store.jobs(tenant, filter.clone(), None, 50).await.unwrap();
        store.jobs(tenant, filter, Some(jobs[2]), 50).await.unwrap();
    }
    let job = store.job(tenant, jobs[1]).await.unwrap();
    let filters = [
        PageFilter::default(),
        PageFilter { verdict: Some(domain::Verdict::Ok), ..PageFilter::default() },
        PageFilter { state: Some(page::State::Done), ..PageFilter::default() },
        PageFilter { change: Some(crate::change::Change::Changed), ..PageFilter::default() },
        PageFilter { change: Some(crate::change::Change::Removed), ..PageFilter::default() },
    ];
    for filter in filters {
        store.pages(&job, filter, Some(10), 50).await.unwrap();
    }
    store.events(jobs[0], 1, 50).await.unwrap();
    store.failed_urls(jobs[0], 50).await.unwrap();
    store.recount(&jobs, 1000).await.unwrap();
    store.audit(None, 50).await.unwrap();
}

async fn schedules(store: &Store, tenant: TenantId, rules: &wire::Rules, now: time::OffsetDateTime) {
    let urls = vec!["https://example.com/".to_owned()];
    let request = api::job::v1::CreateCrawlJobRequest { urls, ..Default::default() };
    let plan = Plan {
        timing: Timing::Every(Duration::from_secs(60)),
        job: Template::of(wire::submission(request, rules).unwrap()),
        labels: std::collections::BTreeMap::new(),
        overlap: Overlap::Allow,
        paused: false,
        track_changes: true,
    };
    let schedule = Schedule::new(tenant, plan, now).unwrap();
    let new = NewSchedule { schedule, request: Some(("k".to_owned(), DAY)), most: 10 };
    let made = store.create_schedule(&new, now).await.unwrap();
    for round in 1..=2 {
        let due = now + Duration::from_secs(61) * round;
        let prepare = |schedule: &Schedule, last: Option<&Job>| {
            let submission = wire::scheduled(schedule, last, rules).unwrap();
            Ok(Prepared::new(tenant, &submission, None, due, Duration::ZERO))
        };
        store.run_schedule(made.id, due, prepare).await.unwrap();
    }
    store.schedules(tenant, Some(domain::ScheduleId::new()), 50).await.unwrap();
    let change = |schedule: &mut Schedule| Ok(schedule.change(schedule.plan.clone(), now)?);
    store.change_schedule((tenant, made.id), 1, change).await.unwrap();
    store.delete_schedule(tenant, made.id).await.unwrap();
}

/// Rows enough that no plan is made for tables that are empty.
async fn fill(store: &Store) {
    let (tenant, now) = (TenantId::new(), mesh::clock::now());
    let rules = wire::Rules::at_most(10_000, 10);
    let submission = |urls: Vec<String>, request_id: String| {
        let labels = [("n".to_owned(), request_id.clone())].into();
        let request = api::job::v1::CreateCrawlJobRequest { urls, request_id, labels, ..Default::default() };
        Prepared::new(tenant, &wire::submission(request, &rules).unwrap(), None, now, DAY)
    };
    let urls = (0..4000).map(|n| format!("https://h{}.test/{n}", n % 400)).collect();
    store.submit(&submission(urls, "large".to_owned())).await.unwrap();
    let small = |n: u32| submission(vec![format!("https://h{n}.test/")], format!("small {n}"));
    store.submit_all(&(0..400).map(small).collect::<Vec<_>>()).await;
    // One page of each host goes out, the others wait for it.
    for _ in 0..8 {
        let picked = store.frontier(Lane::Http, tenant, 200).await.unwrap();
        store.dispatch(&picked, now).await.unwrap();
    }
    for text in [
        "INSERT INTO page_claim (job_id, claim, page_id) SELECT job_id, url_key, id FROM page WHERE url_key IS NOT NULL",
        "INSERT INTO page_print (job_id, band, bits, simhash, page_id) \
         SELECT job_id, 0, CAST(idx AS integer), idx, id FROM page",
    ] {
        tamper(store, text).await;
    }
}

/// Lets Postgres plan as for tables of a million rows: with few, a walk is cheaper than any index.
async fn enlarge(store: &Store) {
    store.db.read().execute_unprepared("ANALYZE").await.unwrap();
    let tables = TABLES.map(|table| format!("'{table}'")).join(",");
    let text =
        format!("UPDATE pg_class SET reltuples = 1000000 WHERE relkind = 'r' AND relname IN ({tables})");
    let changed = store.db.read().execute_unprepared(&text).await.unwrap();
    assert_eq!(changed.rows_affected(), TABLES.len() as u64);
}

/// The plan of a statement, line by line.
async fn plan(store: &Store, statement: &Statement) -> Vec<String> {
    let postgres = store.db.backend() == DbBackend::Postgres;
    let txn = store.db.read().begin().await.unwrap();
    let sql = format!("EXPLAIN {}{}", if postgres { "" } else { "QUERY PLAN " }, statement.sql);
    let explain = Statement { sql, ..statement.clone() };
    let rows = txn.query_all_raw(explain).await.unwrap_or_else(|error| panic!("{error}: {}", statement.sql));
    txn.rollback().await.unwrap();
    let column = if postgres { 0 } else { 3 };
    rows.iter().map(|row| row.try_get_by_index::<String>(column).unwrap()).collect()
}

/// The lines of a plan that walk over a table.
fn walks(backend: DbBackend, plan: &[String]) -> Vec<String> {
    let lines = plan.iter().enumerate();
    let walk = |(number, line): &(usize, &String)| {
        if backend == DbBackend::Postgres {
            walks_on_postgres(line, plan.get(number + 1))
        } else {
            walks_on_sqlite(line, plan)
        }
    };
    lines.filter(walk).map(|(_, line)| line.trim().to_owned()).collect()
}

fn short(line: &str) -> bool {
    SHORT.iter().any(|index| line.contains(index))
}

/// `Seq Scan on page p`, or `Index Scan using page_list on page p` without an `Index Cond` below it.
fn walks_on_postgres(line: &str, next: Option<&String>) -> bool {
    let bound = next.is_some_and(|next| next.contains("Index Cond"));
    let index = line.contains("Index Scan") || line.contains("Index Only Scan");
    let table = line.split(" on ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let walk = line.contains("Seq Scan") || (index && !bound && !short(line));
    walk && table.is_some_and(|name| TABLES.contains(&name))
}

/// `SCAN page`, under that name or another, unless it is one that stands for a part of the statement.
fn walks_on_sqlite(line: &str, plan: &[String]) -> bool {
    let Some(name) = line.strip_prefix("SCAN ").and_then(|rest| rest.split_whitespace().next()) else {
        return false;
    };
    let part =
        |line: &String| line == &format!("CO-ROUTINE {name}") || line == &format!("MATERIALIZE {name}");
    // What has no index and no table: rows that are given, and steps of a recursion.
    let given = matches!(name, "CONSTANT" | "v" | "t") || name.contains("-ROW");
    !given && !short(line) && !plan.iter().any(part)
}

#[tokio::test]
async fn every_statement_finds_its_rows_through_an_index() {
    for (name, config) in store::testing::both().expect("because Postgres is installed") {
        let (store, seen) = watched(&config).await;
        Box::pin(live(&store)).await;
        fill(&store).await;
        if store.db.backend() == DbBackend::Postgres {
            enlarge(&store).await;
        }
        let statements: Vec<Statement> = seen.lock().unwrap().values().cloned().collect();
        eprintln!("on {name}: {} statements", statements.len());
        assert!(statements.len() > 60, "{}", statements.len());
        let mut slow = Vec::new();
        for statement in statements.iter().filter(|statement| !statement.sql.contains("pg_advisory")) {
            let plan = plan(&store, statement).await;
            let walks = walks(store.db.backend(), &plan);
            if !walks.is_empty() {
                slow.push(format!("{}\n{}", statement.sql, plan.join("\n")));
            }
        }
        assert!(slow.is_empty(), "on {name}, {} walk over a table:\n\n{}", slow.len(), slow.join("\n\n"));
    }
}
