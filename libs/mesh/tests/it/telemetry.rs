//! One trace and one request id over all hops, and metrics of every call.

use std::sync::Once;

use api::crawler::v1::{ListWorkersRequest, crawler_service_client::CrawlerServiceClient};
use mesh::{Ca, config};
use tracing::{Instrument, info_span};

use crate::{Handler, answer, channel_to, gateway, start, text, within};

/// Sets up the telemetry of the test process.
pub(crate) fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let sections = config::SECTIONS.parse::<toml::Table>().unwrap();
        let mut settings: config::Telemetry = sections["telemetry"].clone().try_into().unwrap();
        settings.log_filter = "off".to_owned();
        mesh::telemetry::init("mesh-test", &settings).unwrap();
        assert!(mesh::telemetry::init("again", &settings).is_err(), "once is enough");
    });
}

/// Tells the trace and the request that a handler runs in.
fn tells() -> Handler {
    Handler::new(|request| async move {
        let id = mesh::internal_call(&request)?.request_id;
        let in_a_task = mesh::spawn("inner", async { mesh::telemetry::trace_id() }).await.ok().flatten();
        assert_eq!(in_a_task, mesh::telemetry::trace_id(), "a task belongs to the trace of its starter");
        answer(format!("{} {id}", mesh::telemetry::trace_id().unwrap_or_default()))
    })
}

#[tokio::test]
async fn trace_and_request_id_go_along_over_two_hops() {
    let ca = Ca::generate().unwrap();
    let last = start(&ca, tells()).await;
    let (addr, identity) = (last.addr, gateway(&ca));
    let relay = Handler::new(move |_| {
        let mut client = CrawlerServiceClient::new(channel_to(addr, &identity));
        async move { client.list_workers(ListWorkersRequest {}).await }
    });
    let first = start(&ca, relay).await;
    let mut request = within(5_000);
    request.metadata_mut().insert("x-request-id", "r-1".parse().unwrap());

    let span = info_span!("test");
    let trace = span.in_scope(mesh::telemetry::trace_id).expect("because telemetry is set up");
    let mut client = first.client(&gateway(&ca));
    let told = client.list_workers(request).instrument(span).await.unwrap();
    assert_eq!(text(told), format!("{trace} r-1"));
}

#[tokio::test]
async fn a_call_without_trace_and_id_gets_both() {
    let ca = Ca::generate().unwrap();
    let member = start(&ca, tells()).await;
    let mut client = member.client(&gateway(&ca));
    let one = text(client.list_workers(ListWorkersRequest {}).await.unwrap());
    let two = text(client.list_workers(ListWorkersRequest {}).await.unwrap());
    let (trace, id) = one.split_once(' ').unwrap();
    assert!(trace.len() == 32 && id.len() == 36, "{one}");
    assert_ne!(one, two);
    assert_ne!(Some(trace), two.split_once(' ').map(|(trace, _)| trace));
}

#[tokio::test]
async fn a_trace_from_outside_is_continued() {
    let ca = Ca::generate().unwrap();
    let member = start(&ca, tells()).await;
    let mut headers = http::HeaderMap::new();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    headers.insert("traceparent", format!("00-{trace}-b7ad6b7169203331-01").parse().unwrap());
    let span = info_span!("outside");
    mesh::telemetry::set_parent_from(&headers, &span);
    let mut sent = http::HeaderMap::new();
    span.in_scope(|| mesh::telemetry::inject(&mut sent));
    assert!(sent["traceparent"].to_str().unwrap().starts_with(&format!("00-{trace}-")));
    let mut client = member.client(&gateway(&ca));
    let told = client.list_workers(within(5_000)).instrument(span).await.unwrap();
    assert!(text(told).starts_with(trace));
}

#[tokio::test]
async fn calls_are_measured_by_service_method_and_code() {
    let ca = Ca::generate().unwrap();
    let member = start(&ca, Handler::saying("hello")).await;
    member.client(&gateway(&ca)).list_workers(within(5_000)).await.unwrap();
    let foreign = ca.issue(domain::Service::Webhook).unwrap();
    member.client(&foreign).list_workers(within(5_000)).await.unwrap_err();
    let metrics = mesh::telemetry::metrics_text();
    for code in ["OK", "PERMISSION_DENIED"] {
        let found = metrics.lines().any(|line| {
            line.starts_with("crawlmesh_rpc_duration_seconds_count")
                && line.contains(&format!("code=\"{code}\""))
                && line.contains("method=\"crawlmesh.crawler.v1.CrawlerService/ListWorkers\"")
                && line.contains("service=\"crawler\"")
        });
        assert!(found, "no {code} in:\n{metrics}");
    }
}
