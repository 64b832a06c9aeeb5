//! The Crawl4AI job endpoints: its paths, its shapes, and an honest word on each field that we do not support.

use serde_json::{Value, json};
use testkit::{Inbox, Mesh, Site, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl4ai_client_works_unchanged() {
    let (mesh, site, inbox) = (Mesh::start().await, Site::start().await, Inbox::start().await);
    let body = json!({
        "urls": [site.url("/p/1"), site.url("/missing")],
        "browser_config": {"type": "BrowserConfig", "params": {"headless": true, "verbose": false}},
        "crawler_config": {"type": "CrawlerRunConfig", "params": {"cache_mode": "bypass", "page_timeout": 20000}},
        "webhook_config": {"webhook_url": inbox.url(), "webhook_headers": {"X-Tag": "7"}},
    });
    let accepted = mesh.rest.post("/crawl/job", &body).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    assert!(accepted.json["ignored_fields"].is_array(), "{}", accepted.text);
    let task = accepted.json["task_id"].as_str().expect("because it was accepted").to_owned();
    assert!(task.starts_with("crawl_"), "{task}");

    let ask = || async { mesh.rest.get(&format!("/crawl/job/{task}")).await.json };
    let done = eventually(ask, |answer: &Value| answer["status"] != "processing").await;
    assert_eq!(done["status"], "completed", "{done:#}");
    let urls: Value =
        serde_json::from_str(done["url"].as_str().unwrap_or_default()).expect("because it is JSON text");
    assert_eq!(urls, body["urls"]);
    let results = done["result"]["results"].as_array().expect("because it completed").clone();
    assert_eq!(results.len(), 2);
    assert_eq!((&results[0]["success"], &results[1]["success"]), (&json!(true), &json!(false)));
    assert_eq!(results[1]["status_code"], 404);
    let markdown = results[0]["markdown"]["raw_markdown"].as_str().unwrap_or_default();
    assert!(markdown.contains("# Page 1"), "{markdown}");
    assert!(results[0]["links"]["internal"].is_array() && results[0]["html"].is_string());

    let received = eventually(async || inbox.received(), |received| !received.is_empty()).await;
    let hook = received[0].json();
    assert_eq!(
        (&hook["task_id"], &hook["task_type"], &hook["status"]),
        (&json!(task), &json!("crawl"), &json!("completed"))
    );
    assert_eq!(received[0].header("x-tag"), "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_is_never_dropped_in_silence() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let urls = json!([site.url("/p/1")]);
    for (config, field) in [
        (json!({"js_code": "1"}), "js_code"),
        (json!({"proxy_config": {"server": "http://p"}}), "proxy_config"),
        (json!({"session_id": "s"}), "session_id"),
        (json!({"no_such_field": 1}), "no_such_field"),
    ] {
        let refused = mesh.rest.post("/crawl/job", &json!({"urls": urls, "crawler_config": config})).await;
        assert_eq!(refused.status, 400, "{field}: {}", refused.text);
        assert!(refused.text.contains(field), "{field}: {}", refused.text);
    }
    let ignored = json!({"urls": urls, "crawler_config": {"verbose": true, "semaphore_count": 3}});
    let accepted = mesh.rest.post("/crawl/job", &ignored).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    assert!(accepted.json["ignored_fields"].to_string().contains("semaphore_count"), "{}", accepted.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_health_and_what_is_not_there_yet() {
    let mesh = Mesh::start().await;
    let open = mesh.rest.with_key(None);
    let health = open.get("/health").await;
    assert_eq!((health.status, &health.json["status"]), (200, &json!("ok")), "{}", health.text);
    assert!(health.json["timestamp"].is_number() || health.json["timestamp"].is_string());

    let token = open.post("/token", &json!({"email": "a@example.org", "api_token": mesh.key})).await;
    assert_eq!((token.status, &token.json["token_type"]), (200, &json!("bearer")), "{}", token.text);
    assert_eq!(token.json["email"], "a@example.org");

    let later = mesh.rest.post("/llm/job", &json!({"url": "https://example.org/", "q": "what?"})).await;
    assert_eq!(later.status, 501, "{}", later.text);

    assert_eq!(open.get("/metrics").await.status, 401);
    let metrics = mesh.rest.get("/metrics").await;
    assert!(metrics.status == 200 && metrics.text.contains("# TYPE"), "{}", metrics.text);
    assert_eq!(open.get("/openapi.json").await.json["openapi"], "3.1.0");
    assert!(open.get("/docs").await.text.contains("<html"));
}
