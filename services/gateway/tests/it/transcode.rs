//! REST to gRPC and back.

use serde_json::json;

use crate::{
    neighbours::JOB,
    stage::{Stage, send},
};

#[tokio::test]
async fn a_job_is_created_with_all_that_the_request_says() {
    let stage = Stage::start().await;
    let body =
        json!({"urls": ["https://example.com/"], "config": {"page_timeout": "5s"}, "labels": {"a": "b"}});
    let request =
        stage.request("POST", "/v1/crawl-jobs?wait=2s").header("idempotency-key", "once").json(&body);
    let answer = send(request).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{}", answer.text);
    assert_eq!((&answer.json["name"], &answer.json["state"]), (&json!(JOB), &json!("QUEUED")));
    assert_eq!(answer.json["counts"]["found"], 2, "64-bit integers are numbers");
    assert_eq!(answer.json["counts"]["pending"], 0, "default values are there");
    assert_eq!(answer.json["create_time"], "2026-01-01T00:00:00Z");
    let created = stage.neighbours.created.lock().unwrap().clone().unwrap();
    assert_eq!((created.request_id.as_str(), created.wait.unwrap().seconds), ("once", 2));
    assert_eq!(created.config.unwrap().page_timeout.unwrap().seconds, 5);
    let left = stage.neighbours.last_call().deadline - tokio::time::Instant::now();
    assert!(left.as_secs() > 40, "a wait of 60 s fits: {left:?}");
}

#[tokio::test]
async fn mistakes_are_told_as_problems() {
    let stage = Stage::start().await;
    let deep = "[".repeat(10_000);
    for (method, path, body, status, reason) in [
        ("POST", "/v1/crawl-jobs", "{", 400, "INVALID_JSON"),
        ("POST", "/v1/crawl-jobs", deep.as_str(), 400, "NESTING_TOO_DEEP"),
        ("POST", "/v1/crawl-jobs", r#"{"urls":[],"urls":[]}"#, 400, "DUPLICATE_FIELD"),
        ("POST", "/v1/crawl-jobs", r#"{"url":"x"}"#, 400, "UNKNOWN_FIELD"),
        ("POST", "/v1/crawl-jobs", r#"{"urls":"x"}"#, 400, "INVALID_TYPE"),
        ("POST", "/v1/crawl-jobs", r#"{"urls":"x","nope":1}"#, 400, "INVALID_FIELD"),
        ("POST", "/v1/jobs/x:cancel", "{}", 400, "JOB_FINISHED"),
        ("POST", "/v1/tenants", r#"{"tenant":{"display_name":"x"}}"#, 403, "MISSING_PERMISSION"),
        ("GET", "/v1/jobs/missing", "", 404, "JOB_NOT_FOUND"),
        ("GET", "/v1/jobs?page_size=1&page_size=2", "", 400, "DUPLICATE_FIELD"),
        ("GET", "/v1/nothing", "", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v1/jobs/a%00", "", 400, "INVALID_PATH"),
        ("DELETE", "/v1/jobs", "", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v1/api-keys", r#"{"api_key":{"display_name":"x"}}"#, 500, "PANIC"),
        ("GET", "/v1/jobs/x/deliveries", "", 501, "METHOD_NOT_FOUND"),
    ] {
        let request = stage.request(method, path);
        let request =
            if body.is_empty() { request } else { request.header("content-type", "application/json") };
        let answer = send(request.body(body.to_owned())).await;
        assert_eq!((answer.status, answer.reason()), (status, reason), "{method} {path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json["status"], status);
        assert_eq!(answer.json["request_id"], answer.header("x-request-id"));
        assert_eq!(answer.json["instance"], path.split('?').next().unwrap());
        assert!(answer.json["detail"].is_string() && answer.json["code"].is_string());
    }
}

#[tokio::test]
async fn media_types_are_minded() {
    let stage = Stage::start().await;
    let send_as = |content_type: &'static str, encoding: &'static str| {
        let request = stage.request("POST", "/v1/crawl-jobs").header("content-type", content_type);
        let request =
            if encoding.is_empty() { request } else { request.header("content-encoding", encoding) };
        send(request.body("{}"))
    };
    for (content_type, encoding, status) in [
        ("text/csv", "", 415),
        ("application/json", "gzip", 415),
        ("application/json; charset=utf-8", "", 200),
    ] {
        assert_eq!(send_as(content_type, encoding).await.status, status, "{content_type} {encoding}");
    }
    let answer = send(stage.request("GET", "/v1/jobs").header("accept", "image/png")).await;
    assert_eq!((answer.status, answer.reason()), (406, "NOT_ACCEPTABLE"));
}

#[tokio::test]
async fn events_are_streamed_and_resumed() {
    let stage = Stage::start().await;
    let path = format!("/v1/{JOB}/events");
    let request =
        stage.request("GET", &path).header("accept", "text/event-stream").header("last-event-id", "7");
    let answer = send(request).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
    let ids: Vec<_> = answer.text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["8", "9"]);
    assert!(answer.text.contains("event: job.progress\ndata: {"));

    let answer = stage.get(&path).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let sequences: Vec<_> = answer
        .text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["sequence"].clone())
        .collect();
    assert_eq!(sequences, [1, 2]);

    let missing = stage.get("/v1/jobs/missing/events").await;
    assert_eq!((missing.status, missing.reason()), (404, "JOB_NOT_FOUND"));
}

#[tokio::test]
async fn a_stream_that_breaks_says_so() {
    let stage = Stage::start().await;
    let request = stage.request("GET", "/v1/jobs/broken/events").header("accept", "text/event-stream");
    let answer = send(request).await;
    let last = answer.text.rsplit("event: error\ndata: ").next().unwrap();
    let problem: serde_json::Value = serde_json::from_str(last.trim()).unwrap();
    assert_eq!((&problem["status"], &problem["reason"]), (&json!(503), &json!("BROKEN")), "{}", answer.text);
    let lines = stage.get("/v1/jobs/broken/events").await.text;
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["reason"], "BROKEN");
}

#[tokio::test]
async fn a_silent_stream_beats_and_is_counted() {
    let stage = Stage::with("[public]\nheartbeat = \"20ms\"\nmax_streams_per_tenant = 1").await;
    let open =
        || stage.request("GET", "/v1/jobs/endless/events").header("accept", "text/event-stream").send();
    let mut first = open().await.unwrap();
    let mut text = String::new();
    while !text.contains("\n:\n\n") {
        text.push_str(
            std::str::from_utf8(&first.chunk().await.unwrap().expect("the stream goes on")).unwrap(),
        );
    }
    let second = send(stage.request("GET", "/v1/jobs/endless/events")).await;
    assert_eq!(
        (second.status, second.reason(), second.header("retry-after")),
        (429, "TOO_MANY_STREAMS", "1")
    );
    drop(first);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while open().await.unwrap().status() != 200 {
        assert!(std::time::Instant::now() < deadline, "the stream is never given back");
    }
}

#[tokio::test]
async fn an_artifact_cannot_run_in_the_origin_of_the_api() {
    let stage = Stage::start().await;
    let path = format!("/v1/{JOB}/pages/x/html");
    let answer = stage.get(&path).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "<p>hello</p>"));
    assert_eq!(answer.header("content-type"), "text/html");
    assert_eq!(answer.header("content-disposition"), "attachment");
    assert!(answer.header("content-security-policy").contains("sandbox"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let missing = stage.get(&format!("/v1/{JOB}/pages/x/pdf")).await;
    assert_eq!((missing.status, missing.reason()), (404, "ARTIFACT_NOT_FOUND"));
}

#[tokio::test]
async fn a_service_that_is_slow_or_away_is_told() {
    let stage = Stage::with("[public]\ndefault_deadline = \"200ms\"").await;
    let slow = stage.get("/v1/jobs/slow").await;
    assert_eq!((slow.status, slow.reason()), (504, "DEADLINE_EXCEEDED"), "{}", slow.text);
    // Nothing of the webhook service is played.
    let answer = send(stage.bare("GET", "/ready")).await;
    assert_eq!((answer.status, &answer.json["checks"]["webhook"]), (200, &json!("ok")), "{}", answer.text);
}

#[tokio::test]
async fn the_page_of_the_api_runs_nothing_foreign() {
    let stage = Stage::start().await;
    let docs = send(stage.bare("GET", "/docs")).await;
    let policy = docs.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    assert!(!docs.text.contains("http://") && !docs.text.contains("https://"), "it works offline");
    let description = send(stage.bare("GET", "/openapi.json")).await;
    assert_eq!(description.json["openapi"], "3.1.0");
}
