//! Visits of hosts that are no pages: reserved among the pages, and heard of by everybody.

use api::job::v1 as pb;
use domain::{Lane, Service};
use prost_types::{Duration, Timestamp};

use crate::bench::{Bench, eventually, ok, on_both, reason, with};

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

impl Bench {
    async fn reserve(&self, patience: Option<Duration>) -> Result<(bool, f64), tonic::Status> {
        let request = pb::ReserveVisitRequest { name: "hosts/visited.example.org".into(), patience };
        let answer = self.client_of(Service::Crawler).reserve_visit(request).await?.into_inner();
        let wait = answer.wait.unwrap_or_default();
        Ok((answer.reserved, wait.seconds as f64 + f64::from(wait.nanos) / 1e9))
    }

    async fn report(&self, report: pb::ReportVisitRequest) -> Result<(), tonic::Status> {
        let report = pb::ReportVisitRequest { name: "hosts/visited.example.org".into(), ..report };
        self.client_of(Service::Crawler).report_visit(report).await.map(|_| ())
    }

    async fn visited(&self) -> pb::Host {
        let request = pb::GetHostRequest { name: "hosts/visited.example.org".into() };
        self.client().get_host(self.ask(request)).await.unwrap().into_inner()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn visits_of_a_host_are_apart_and_what_it_asks_for_is_kept() {
    on_both(async |bench: Bench| {
        assert_eq!(bench.reserve(seconds(20)).await.unwrap(), (true, 0.0), "the first goes at once");
        let start_time = bench.visited().await.next_time;
        let report = pb::ReportVisitRequest {
            start_time: start_time.or(Some(Timestamp { seconds: 1_800_000_000, nanos: 0 })),
            answered: true,
            crawl_delay: seconds(8),
            ..Default::default()
        };
        bench.report(report.clone()).await.unwrap();
        let host = bench.visited().await;
        assert_eq!((host.reason(), host.delay), (pb::host::Reason::CrawlDelay, seconds(8)));
        let (first, wait) = bench.reserve(seconds(20)).await.unwrap();
        let (second, _) = bench.reserve(seconds(20)).await.unwrap();
        assert!(first && !second, "one at a time, as it asks for a pause");
        bench.report(report.clone()).await.unwrap();
        let (second, later) = bench.reserve(seconds(20)).await.unwrap();
        assert!(second && later > wait + 4.0, "{wait} {later}");
        let (third, again) = bench.reserve(seconds(1)).await.unwrap();
        assert!(!third && again > 8.0, "too far away: {again}");

        let complaint = pb::ReportVisitRequest { throttled: true, retry_after: seconds(300), ..report };
        bench.report(complaint).await.unwrap();
        let host = bench.visited().await;
        assert!(host.throttles == 1 && host.hold_time.is_some(), "{host:?}");
        let (reserved, wait) = bench.reserve(seconds(20)).await.unwrap();
        assert!(!reserved && wait > 200.0, "{wait}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_crawlers_reserve_and_what_they_say_is_checked() {
    on_both(async |bench: Bench| {
        let name = "hosts/visited.example.org".to_owned();
        let request = pb::ReserveVisitRequest { name, patience: seconds(1) };
        let refused = bench.client().reserve_visit(bench.ask(request)).await.unwrap_err();
        assert_eq!(reason(&refused), "SERVICE_NOT_ALLOWED");
        assert_eq!(reason(&bench.reserve(seconds(-1)).await.unwrap_err()), "OUT_OF_RANGE");
        assert_eq!(reason(&bench.reserve(None).await.unwrap_err()), "OUT_OF_RANGE");
        let nothing =
            bench.report(pb::ReportVisitRequest { latency: seconds(-1), ..Default::default() }).await;
        assert_eq!(reason(&nothing.unwrap_err()), "INVALID_FIELD");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_counts_against_the_pages_that_a_host_may_have_out() {
    let one =
        [("politeness.local.max_concurrency", "1"), ("politeness.local_hosts", "[\"visited.example.org\"]")];
    with(&one, async |bench: Bench| {
        assert!(bench.reserve(seconds(60)).await.unwrap().0);
        let job = bench.create(&["https://visited.example.org/"]).await;
        let waits = |pages: &Vec<pb::Page>| pages[0].host_wait_time.is_some();
        eventually(|| bench.pages(&job.name), waits).await;
        assert!(!bench.reserve(seconds(60)).await.unwrap().0);
        let start_time = Some(Timestamp { seconds: 1_800_000_000, nanos: 0 });
        bench
            .report(pb::ReportVisitRequest { start_time, answered: true, ..Default::default() })
            .await
            .unwrap();
        bench.crawl(Lane::Http, 1, ok).await;
        assert_eq!(bench.ended(&job.name).await.counts.unwrap().succeeded, 1);
        assert!(bench.reserve(seconds(60)).await.unwrap().0);
    })
    .await;
}
