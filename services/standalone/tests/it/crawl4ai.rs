//! The Crawl4AI job endpoints: its paths, its shapes, and an honest word on each field that we do not support.

use serde_json::{Value, json};
use testkit::{Inbox, Mesh, Site, eventually, site::Answer};

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
async fn strategies_and_filters_have_crawl4ais_results() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let shop = "<title>Shop</title><nav><a href=/n>nav</a></nav><main><div class=item><h2>Tea</h2><b>4.50 EUR</b></div>\
        <p>Green tea is made of leaves that were not left to wither, see <a href=/more>more of it</a>.</p>\
        <video src=/film.mp4></video></main>";
    site.set("/shop", Answer::Bytes("text/html", shop.into()));
    let dict = |value: Value| json!({"type": "dict", "value": value});
    let fields = json!([dict(json!({"name": "name", "selector": "h2", "type": "text"}))]);
    let schema = dict(json!({"name": "shop", "baseSelector": ".item", "fields": fields}));
    let css = json!({"type": "JsonCssExtractionStrategy", "params": {"schema": schema, "verbose": true}});
    let filter =
        json!({"type": "BM25ContentFilter", "params": {"user_query": "green leaves", "bm25_threshold": 0.1}});
    let config = json!({
        "excluded_tags": ["nav"],
        "extraction_strategy": css,
        "markdown_generator": {"type": "DefaultMarkdownGenerator", "params": {"content_filter": filter}},
    });
    let run = async |config: Value| {
        let body = json!({"urls": [site.url("/shop")], "crawler_config": {"type": "CrawlerRunConfig", "params": config}});
        let accepted = mesh.rest.post("/crawl/job", &body).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        let path = format!("/crawl/job/{}", accepted.json["task_id"].as_str().unwrap_or_default());
        let ask = || async { mesh.rest.get(&path).await.json };
        let done = eventually(ask, |answer: &Value| answer["status"] != "processing").await;
        (accepted.json["ignored_fields"].clone(), done["result"]["results"][0].clone())
    };
    let (ignored, result) = run(config).await;
    assert_eq!(ignored, json!(["crawler_config.extraction_strategy.verbose"]));
    assert_eq!(result["extracted_content"], r#"[{"name":"Tea"}]"#, "{result:#}");
    let markdown = &result["markdown"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert!(text(&markdown["markdown_with_citations"]).contains("more of it⟨1⟩"), "{markdown:#}");
    assert!(
        text(&markdown["references_markdown"]).contains(&format!("⟨1⟩ {}", site.url("/more"))),
        "{markdown:#}"
    );
    let fit = text(&markdown["fit_markdown"]);
    assert!(fit.contains("Green tea") && !fit.contains("4.50"), "{fit}");
    assert!(
        text(&result["cleaned_html"]).contains("<h2>Tea</h2>")
            && !text(&result["cleaned_html"]).contains("nav")
    );
    assert_eq!(result["media"]["videos"][0]["src"], site.url("/film.mp4"));
    assert_eq!(result["links"]["internal"].as_array().map(Vec::len), Some(1));

    let regex =
        json!({"pattern": {"type": "_B", "params": 128}, "custom": dict(json!({"drink": "Green (\\w+)"}))});
    let regex = json!({"extraction_strategy": {"type": "RegexExtractionStrategy", "params": regex}});
    let (_, result) = run(regex).await;
    let found: Value = serde_json::from_str(&text(&result["extracted_content"])).expect("because it is JSON");
    assert_eq!((&found[0]["label"], &found[0]["value"]), (&json!("currency"), &json!("4.50 EUR")));
    assert_eq!((&found[1]["label"], &found[1]["value"]), (&json!("drink"), &json!("tea")));

    let bad = json!({"urls": ["https://example.org/"], "crawler_config": {"css_selector": "p["}});
    let refused = mesh.rest.post("/crawl/job", &bad).await;
    assert_eq!((refused.status, refused.reason()), (400, "INVALID_SELECTOR"), "{}", refused.text);
    assert_eq!(refused.json["errors"][0]["field"], "crawler_config.css_selector");
    assert!(!refused.text.contains("config.extraction"), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_is_never_dropped_in_silence() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let urls = json!([site.url("/p/1")]);
    for (config, field) in [
        (json!({"magic": true}), "magic"),
        (json!({"wait_for_timeout": 1, "wait_for": "css:h1"}), "wait_for_timeout"),
        (json!({"proxy_config": {"server": "http://p"}}), "proxy_config"),
        (json!({"session_id": "not/a/name"}), "session_id"),
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

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_does_what_a_crawl4ai_client_asks() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site.set("/app", Answer::Html(crate::render::APP.into()));
    let body = json!({
        "urls": [site.url("/app")],
        "browser_config": {"type": "BrowserConfig", "params": {"viewport_width": 700, "viewport_height": 500, "text_mode": true}},
        "crawler_config": {"type": "CrawlerRunConfig", "params": {
            "wait_for": "css:h1", "js_code": ["console.log('said')", "document.querySelector('h1').append(' ' + innerWidth)"],
            "screenshot": true, "pdf": true, "capture_mhtml": true, "capture_network_requests": true, "capture_console_messages": true,
            "locale": "de-DE", "page_timeout": 30000, "wait_until": "domcontentloaded"}},
    });
    let accepted = mesh.rest.post("/crawl/job", &body).await;
    assert_eq!(
        (accepted.status, &accepted.json["ignored_fields"]),
        (202, &json!(["crawler_config.wait_until"])),
        "{}",
        accepted.text
    );
    let task = accepted.json["task_id"].as_str().expect("because it was accepted").to_owned();
    let ask = || async { mesh.rest.get(&format!("/crawl/job/{task}")).await.json };
    let done = eventually(ask, |answer: &Value| answer["status"] != "processing").await;
    let result = &done["result"]["results"][0];
    assert_eq!(result["success"], true, "{done:#}");
    let markdown = result["markdown"]["raw_markdown"].as_str().unwrap_or_default();
    assert!(markdown.contains("# Rendered 700"), "{markdown}");
    for (field, start) in [("screenshot", "iVBORw0KGgo"), ("pdf", "JVBERi0"), ("mhtml", "From: ")] {
        assert!(
            result[field].as_str().is_some_and(|text| text.starts_with(start)),
            "{field}: {}",
            result[field]
        );
    }
    assert_eq!(result["network_requests"][0]["event_type"], "request", "{result}");
    assert_eq!(result["console_messages"][0]["text"], "said", "{result}");
}
