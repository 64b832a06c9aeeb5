//! Every call has a deadline, and what is left of it goes along with the calls that an answer needs.

use std::{sync::Arc, time::Duration};

use api::crawler::v1::{ListWorkersRequest, crawler_service_client::CrawlerServiceClient};
use mesh::{Ca, error_reason};
use tokio::{sync::Notify, time::Instant};
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::{Handler, answer, channel_to, eventually, gateway, start, start_with, text, within};

/// Milliseconds that a handler has left.
fn left() -> Handler {
    Handler::new(|request| async move {
        let call = mesh::internal_call(&request)?;
        answer(call.deadline.saturating_duration_since(Instant::now()).as_millis().to_string())
    })
}

/// Never answers; says when it was dropped.
fn stuck(dropped: Arc<Notify>) -> Handler {
    struct Guard(Arc<Notify>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    Handler::new(move |_| {
        let guard = Guard(dropped.clone());
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    })
}

#[tokio::test]
async fn an_answer_that_is_late_is_deadline_exceeded_and_the_handler_ends() {
    let ca = Ca::generate().unwrap();
    let dropped = Arc::new(Notify::new());
    let member = start(&ca, stuck(dropped.clone())).await;
    let begun = Instant::now();
    let status = member.client(&gateway(&ca)).list_workers(within(200)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(error_reason(&status).as_deref(), Some("DEADLINE_EXCEEDED"));
    assert!(begun.elapsed() < Duration::from_secs(5));
    tokio::time::timeout(Duration::from_secs(5), dropped.notified()).await.unwrap();
}

#[tokio::test]
async fn the_server_enforces_deadlines_itself() {
    let ca = Ca::generate().unwrap();
    let overlay = "default_deadline = \"100ms\"\nmax_deadline = \"200ms\"";
    let member = start_with(&ca, stuck(Arc::new(Notify::new())), overlay).await;
    // The client would wait for 30 s.
    for request in [Request::new(ListWorkersRequest {}), within(30_000)] {
        let status = member.client(&gateway(&ca)).list_workers(request).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let domain = status.get_details_error_info().unwrap().domain;
        assert_eq!(domain, "crawler.crawlmesh", "the server said so, not the client");
        assert!(status.get_details_request_info().is_some_and(|info| !info.request_id.is_empty()));
    }
}

#[tokio::test]
async fn deadlines_are_defaulted_and_capped() {
    let ca = Ca::generate().unwrap();
    let overlay = "default_deadline = \"2s\"\nmax_deadline = \"4s\"";
    let member = start_with(&ca, left(), overlay).await;
    let mut client = member.client(&gateway(&ca));
    for (request, at_most) in [(within(1_000), 1_000), (within(3_000_000), 4_000)] {
        let left: u64 = text(client.list_workers(request).await.unwrap()).parse().unwrap();
        assert!(left <= at_most && left > at_most / 2, "{left} of {at_most}");
    }
}

#[tokio::test]
async fn what_is_left_goes_along_to_the_next_hop() {
    let ca = Ca::generate().unwrap();
    let last = start(&ca, left()).await;
    let (addr, identity) = (last.addr, gateway(&ca));
    let relay = Handler::new(move |_| {
        let mut client = CrawlerServiceClient::new(channel_to(addr, &identity));
        async move { client.list_workers(ListWorkersRequest {}).await }
    });
    let first = start(&ca, relay).await;
    let left: u64 =
        text(first.client(&gateway(&ca)).list_workers(within(5_000)).await.unwrap()).parse().unwrap();
    assert!(left <= 4_950 && left > 1_000, "{left}: the next hop has less than the first, by the reserve");
}

#[tokio::test]
async fn a_call_that_has_no_time_left_is_not_made() {
    let ca = Ca::generate().unwrap();
    let last = start(&ca, left()).await;
    let (addr, identity) = (last.addr, gateway(&ca));
    let relay = Handler::new(move |_| {
        let mut client = CrawlerServiceClient::new(channel_to(addr, &identity));
        async move { client.list_workers(ListWorkersRequest {}).await }
    });
    let first = start_with(&ca, relay, "default_deadline = \"40ms\"\nmax_deadline = \"40ms\"").await;
    let status = first.client(&gateway(&ca)).list_workers(ListWorkersRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().starts_with("no time was left"), "{status:?}");
}

#[tokio::test]
async fn row_67_a_client_that_goes_away_ends_the_handler() {
    let ca = Ca::generate().unwrap();
    let dropped = Arc::new(Notify::new());
    let member = start(&ca, stuck(dropped.clone())).await;
    let mut client = member.client(&gateway(&ca));
    let call = mesh::spawn("call", async move { client.list_workers(within(60_000)).await });
    eventually("the call is cut", async || {
        call.abort();
        call.finished()
    })
    .await;
    let mut other = member.client(&gateway(&ca));
    let cut = mesh::spawn("call", async move { other.list_workers(within(300)).await });
    assert_eq!(cut.await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    tokio::time::timeout(Duration::from_secs(5), dropped.notified()).await.unwrap();
}
