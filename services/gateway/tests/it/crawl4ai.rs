//! Crawl4AI's endpoints.

use serde_json::json;

use crate::{
    neighbours::GOOD_KEY,
    stage::{Stage, send},
};

const TASK: &str = "crawl_018f3c9e6a5b7c3d8e1faaaaaaaaaaaa";

#[tokio::test]
async fn a_crawl_is_accepted_and_shown() {
    let stage = Stage::start().await;
    let body = json!({
        "urls": ["https://example.com/"],
        "browser_config": {"type": "BrowserConfig", "params": {"headless": true}},
        "webhook_config": {"webhook_url": "https://example.com/hook"},
    });
    let answer = stage.post("/crawl/job", &body.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.json, json!({"task_id": TASK, "ignored_fields": ["browser_config.headless"]}));
    let created = stage.neighbours.created.lock().unwrap().clone().unwrap();
    assert_eq!(created.webhook.unwrap().format(), api::job::v1::webhook_target::Format::Crawl4ai);

    let answer = stage.get(&format!("/crawl/job/{TASK}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!((&answer.json["task_id"], &answer.json["status"]), (&json!(TASK), &json!("completed")));
    assert_eq!(answer.json["url"], r#"["https://example.com/"]"#);
    assert_eq!(answer.json["_links"]["self"]["href"], format!("/crawl/job/{TASK}"));
    let results = answer.json["result"]["results"].as_array().unwrap();
    assert_eq!((&results[0]["success"], &results[1]["success"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&results[0]["markdown"]["raw_markdown"], &results[0]["html"]),
        (&json!("# Hi"), &json!("<p>hello</p>"))
    );
    assert_eq!(results[1]["error_message"], "dns");
    assert!(answer.json["result"].get("truncated").is_none());
}

#[tokio::test]
async fn refusals_have_crawl4ais_detail_and_our_reason() {
    let stage = Stage::start().await;
    let body = json!({"urls": ["a"], "crawler_config": {"c4a_script": "CLICK"}}).to_string();
    let answer = stage.post("/crawl/job", &body).await;
    assert_eq!((answer.status, answer.reason()), (400, "UNSUPPORTED_FIELD"));
    assert!(answer.json["detail"].as_str().unwrap().contains("crawler_config.c4a_script"));
    assert_eq!(answer.json["errors"][0]["field"], "crawler_config.c4a_script");
    for (path, status, reason) in [
        ("/crawl/job/crawl_018f3c9e6a5b7c3d8e1fbbbbbbbbbbbb", 404, "JOB_NOT_FOUND"),
        ("/crawl/job/nonsense", 404, "JOB_NOT_FOUND"),
        ("/llm/job/llm_1", 501, "NOT_IMPLEMENTED_YET"),
        ("/crawl/job", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = stage.get(path).await;
        assert_eq!((answer.status, answer.reason()), (status, reason), "{path}");
    }
}

#[tokio::test]
async fn a_key_becomes_a_token() {
    let stage = Stage::start().await;
    let token = |body: serde_json::Value| send(stage.bare("POST", "/token").json(&body));
    let answer = token(json!({"email": "a@example.com", "api_token": GOOD_KEY})).await;
    let expected = json!({"email": "a@example.com", "access_token": "a.b.c", "token_type": "bearer"});
    assert_eq!((answer.status, answer.json), (200, expected));
    let refused = token(json!({"api_token": "ck_bad"})).await;
    assert_eq!((refused.status, refused.reason()), (401, "INVALID_API_KEY"));
    assert_eq!(token(json!({"email": "a@example.com"})).await.status, 400);
    let native = send(stage.bare("POST", "/v1/token").json(&json!({"api_key": GOOD_KEY}))).await;
    assert_eq!((native.status, &native.json["expires_in"]), (200, &json!("900s")), "{}", native.text);
}
