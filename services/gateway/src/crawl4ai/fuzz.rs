//! Crawl4AI's requests, broken: each is refused with 4xx or becomes a request of ours, and nothing panics.

use fuzz::Fuzz;
use serde_json::{Value, json};

use super::submit;
use crate::transcode::parse_json;

#[test]
fn submissions() {
    let seeds = [
        json!({"urls": ["https://example.com/"], "browser_config": {"type": "BrowserConfig", "params": {"viewport": {"type": "dict", "value": {"width": 800}},
            "cookies": [{"name": "a", "value": "b", "url": "https://a.example"}], "proxy_config": {"server": "http://a:1", "username": "u", "password": "p"}}},
            "crawler_config": {"type": "CrawlerRunConfig", "params": {"wait_for": "() => 1", "page_timeout": 6e4, "screenshot": true, "scroll_delay": 0.25}}}),
        json!({"urls": ["a"], "crawler_config": {"deep_crawl_strategy": {"type": "BFSDeepCrawlStrategy", "params": {"max_depth": 2, "filter_chain":
            {"type": "FilterChain", "params": {"filters": [{"type": "URLPatternFilter", "params": {"patterns": ["*/a/*"]}}]}}}},
            "extraction_strategy": {"type": "JsonCssExtractionStrategy", "params": {"schema": {"type": "dict", "value": {"name": "x", "baseSelector": "a", "fields": []}}}},
            "markdown_generator": {"type": "DefaultMarkdownGenerator", "params": {"content_filter": {"type": "PruningContentFilter", "params": {"threshold": 0.5}}}}}}),
        json!({"urls": ["a"], "webhook_config": {"webhook_url": "https://a.example", "webhook_headers": {"a": "b"}}}),
    ];
    let words = &[
        "{\"type\":\"dict\",\"value\":",
        "\"params\":{",
        "\"type\":\"",
        "null",
        "1e308",
        "-1",
        "18446744073709551615",
        "[]",
        "\"\"",
        "\"\\u0000\"",
        "true",
        "}",
        ",",
    ];
    let seeds = seeds.iter().map(|seed| seed.to_string().into_bytes()).collect();
    Fuzz::new("submissions", seeds, words).run(|bytes| {
        let Ok(Some(Value::Object(body))) = parse_json(bytes) else { return };
        if let Err(problem) = submit::read(&body) {
            assert!(problem.http_status().is_client_error(), "{}", problem.http_status());
        }
    });
}
