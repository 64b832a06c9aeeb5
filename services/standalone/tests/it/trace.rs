//! One trace: submit, queue hop, fetch, render, extract, store, settle and webhook, over six processes.

use std::collections::HashMap;

use serde_json::json;
use testkit::{
    Collector, Inbox, Processes, Site,
    collector::{Span, draw},
    eventually,
    site::Answer,
};

/// Whether `span` lies below one called `name`.
fn below(spans: &[Span], span: &Span, name: &str) -> bool {
    let by_id: HashMap<&str, &Span> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let mut at = span;
    while let Some(parent) = by_id.get(at.parent.as_str()) {
        if parent.name == name {
            return true;
        }
        at = parent;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_one_trace_from_submit_to_webhook() {
    let (collector, site, inbox) = (Collector::start().await, Site::start().await, Inbox::start().await);
    // A page that writes itself is fetched over HTTP first and then rendered: every span there is, in one trace.
    site.set("/app", Answer::Html(crate::render::APP.into()));
    let mesh = Processes::builder().otlp_endpoint(&collector.endpoint()).start().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let body = json!({
        "urls": [site.url("/app")],
        "webhook": {"url": inbox.url()},
    });
    let request = mesh
        .rest
        .request(reqwest::Method::POST, "/v1/crawl-jobs?wait=30s")
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"))
        .json(&body);
    let created = testkit::rest_send(request).await;
    assert_eq!(created.json["state"], "SUCCEEDED", "{}", created.text);
    eventually(async || inbox.received().len(), |count| *count == 1).await;

    let wanted = [
        ("request", "gateway"),
        ("crawlmesh.job.v1.JobService/CreateCrawlJob", "job"),
        ("page", "crawler"),
        ("fetch", "crawler"),
        ("render", "crawler"),
        ("extract", "crawler"),
        ("store", "crawler"),
        ("crawlmesh.result.v1.ResultService/StorePage", "result"),
        ("settle", "crawler"),
        ("settle page", "job"),
        ("webhook", "webhook"),
    ];
    let has = |spans: &[Span], name: &str, service: &str| {
        spans.iter().any(|span| span.name.trim_start_matches('/') == name && span.service == service)
    };
    let complete = |spans: &Vec<Span>| wanted.iter().all(|(name, service)| has(spans, name, service));
    let spans = eventually(async || collector.trace(trace), complete).await;
    println!("{}", draw(&spans));

    let roots: Vec<_> = spans.iter().filter(|span| span.parent == "b7ad6b7169203331").collect();
    assert_eq!(roots.len(), 1, "one request came in:\n{}", draw(&spans));
    let root = &roots[0].name;
    for (name, service) in &wanted[1..] {
        let span = spans
            .iter()
            .find(|span| span.name.trim_start_matches('/') == *name && span.service == *service)
            .expect("because it was waited for");
        assert!(below(&spans, span, root), "{name} of {service} hangs below the request:\n{}", draw(&spans));
    }
    for name in ["fetch", "render", "extract", "store", "settle"] {
        let span = spans.iter().find(|span| span.name == name).expect("because it was waited for");
        assert!(below(&spans, span, "page"), "{name} belongs to its page:\n{}", draw(&spans));
    }

    // What is exported and logged tells nobody the key.
    let secrets_shown =
        spans.iter().any(|span| span.attributes.values().any(|value| value.contains(mesh.key.as_str())));
    assert!(!secrets_shown, "a span holds the API key");
    for service in domain::Service::ALL {
        let log = std::fs::read_to_string(mesh.log(*service)).expect("because it was started");
        assert!(!log.contains(mesh.key.as_str()), "the log of {service} holds the API key");
        for line in log.lines().filter(|line| line.starts_with('{')) {
            serde_json::from_str::<serde_json::Value>(line).expect("because each line is JSON");
        }
    }
}
