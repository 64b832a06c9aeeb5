//! Tables for the way from JSON and text to messages.

use prost_reflect::DescriptorPool;
use serde_json::json;

use super::*;

fn message(name: &str) -> DynamicMessage {
    let pool = DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap();
    DynamicMessage::new(pool.get_message_by_name(name).unwrap())
}

fn create() -> DynamicMessage {
    message("crawlmesh.job.v1.CreateCrawlJobRequest")
}

fn violations(wrong: Violations) -> Vec<(String, String)> {
    let Err(status) = wrong.into_result() else { return Vec::new() };
    let bad = tonic_types::StatusExt::get_details_bad_request(&status).unwrap();
    bad.field_violations.into_iter().map(|violation| (violation.field, violation.reason)).collect()
}

fn filled(mut message: DynamicMessage, value: Value) -> (DynamicMessage, Vec<(String, String)>) {
    let mut wrong = Violations::new();
    fill(&mut message, value.as_object().unwrap(), "", &mut wrong);
    (message, violations(wrong))
}

#[test]
fn a_body_fills_its_message() {
    let body = json!({
        "urls": ["https://example.com/"],
        "config": {"render": "HTTP", "page_timeout": "1.5s", "max_attempts": 2, "keepHtml": false, "result_ttl": null},
        "labels": {"a": "1", "__proto__": "x"},
        "priority": "HIGH",
        "wait": "30s",
    });
    let (message, wrong) = filled(create(), body);
    assert_eq!(wrong, []);
    let request: api::job::v1::CreateCrawlJobRequest = message.transcode_to().unwrap();
    let config = request.config.unwrap();
    assert_eq!(request.urls, ["https://example.com/"]);
    assert_eq!((config.render, config.max_attempts, config.keep_html), (2, Some(2), Some(false)));
    let timeout = config.page_timeout.unwrap();
    assert_eq!((timeout.seconds, timeout.nanos, config.result_ttl), (1, 500_000_000, None));
    assert_eq!((request.priority, request.labels["__proto__"].as_str()), (3, "x"));
}

#[test]
fn every_mistake_is_told_with_its_path() {
    for (body, field, reason) in [
        (json!({"url": "x"}), "url", "UNKNOWN_FIELD"),
        (json!({"tenant": "tenants/x"}), "tenant", "UNKNOWN_FIELD"),
        (json!({"config": {"js": 1}}), "config.js", "UNKNOWN_FIELD"),
        (json!({"urls": "https://example.com/"}), "urls", "INVALID_TYPE"),
        (json!({"urls": ["a", 7]}), "urls[1]", "INVALID_TYPE"),
        (json!({"urls": [null]}), "urls[0]", "INVALID_TYPE"),
        (json!({"config": []}), "config", "INVALID_TYPE"),
        (json!({"config": {"max_attempts": "10"}}), "config.max_attempts", "INVALID_TYPE"),
        (json!({"config": {"max_attempts": 1.5}}), "config.max_attempts", "INVALID_TYPE"),
        (json!({"config": {"max_attempts": -0.0}}), "config.max_attempts", "INVALID_TYPE"),
        (json!({"config": {"max_attempts": 2_147_483_648_u64}}), "config.max_attempts", "INVALID_TYPE"),
        (json!({"config": {"screenshot": "true"}}), "config.screenshot", "INVALID_TYPE"),
        (json!({"config": {"screenshot": 1}}), "config.screenshot", "INVALID_TYPE"),
        (json!({"config": {"render": "FAST"}}), "config.render", "UNKNOWN_VALUE"),
        (json!({"config": {"render": 2}}), "config.render", "INVALID_TYPE"),
        (json!({"config": {"page_timeout": 30}}), "config.page_timeout", "INVALID_TYPE"),
        (json!({"config": {"page_timeout": "30"}}), "config.page_timeout", "INVALID_TYPE"),
        (json!({"config": {"page_timeout": "999999999999999s"}}), "config.page_timeout", "INVALID_TYPE"),
        (json!({"labels": {"a": 1}}), "labels.a", "INVALID_TYPE"),
        (json!({"labels": {"a": "b\0"}}), "labels.a", "INVALID_CHARACTER"),
        (json!({"labels": {"a\0": "b"}}), "labels.a\0", "INVALID_CHARACTER"),
        (json!({"request_id": "\0"}), "request_id", "INVALID_CHARACTER"),
        (json!({"request_id": "a", "requestId": "b"}), "request_id", "DUPLICATE_FIELD"),
    ] {
        let (_, wrong) = filled(create(), body.clone());
        // serde_json orders names, so the second spelling may come first.
        let field = if reason == "DUPLICATE_FIELD" { wrong[0].0.clone() } else { field.to_owned() };
        assert_eq!(wrong, [(field, reason.to_owned())], "{body}");
    }
    let (_, wrong) = filled(create(), json!({"a": 1, "urls": 2, "wait": 3}));
    assert_eq!(wrong.len(), 3, "all at once");
}

#[test]
fn sixty_four_bits_may_be_text() {
    for (value, good) in [
        (json!(7), true),
        (json!("7"), true),
        (json!("-9223372036854775808"), true),
        (json!("9223372036854775808"), false),
        (json!(9_223_372_036_854_775_808_u64), false),
        (json!(1.0), false),
        (json!("1e3"), false),
        (json!(" 7"), false),
    ] {
        let (_, wrong) =
            filled(message("crawlmesh.job.v1.WatchJobRequest"), json!({"after_sequence": value}));
        assert_eq!(wrong.is_empty(), good, "{value}");
    }
}

#[test]
fn text_fills_a_message() {
    let set = |pairs: &[(&str, &str)]| {
        let (mut message, mut wrong) = (create(), Violations::new());
        for (path, text) in pairs {
            set_text(&mut message, path, text, &mut wrong);
        }
        (message, violations(wrong))
    };
    let (message, wrong) = set(&[
        ("urls", "a"),
        ("urls", "b"),
        ("wait", "30s"),
        ("config.max_attempts", "2"),
        ("config.screenshot", "true"),
        ("priority", "LOW"),
    ]);
    assert_eq!(wrong, []);
    let request: api::job::v1::CreateCrawlJobRequest = message.transcode_to().unwrap();
    assert_eq!((request.urls.len(), request.wait.unwrap().seconds, request.priority), (2, 30, 1));
    assert!(request.config.unwrap().screenshot);

    for (pairs, reason) in [
        (&[("wait", "30s"), ("wait", "30s")][..], "DUPLICATE_FIELD"),
        (&[("nope", "1")], "UNKNOWN_FIELD"),
        (&[("config.nope", "1")], "UNKNOWN_FIELD"),
        (&[("urls.x", "1")], "UNKNOWN_FIELD"),
        (&[("config", "1")], "INVALID_TYPE"),
        (&[("labels.a", "1")], "UNKNOWN_FIELD"),
        (&[("labels", "1")], "INVALID_TYPE"),
        (&[("wait", "soon")], "INVALID_TYPE"),
        (&[("config.max_attempts", "x")], "INVALID_TYPE"),
        (&[("config.screenshot", "yes")], "INVALID_TYPE"),
        (&[("request_id", "a\0")], "INVALID_CHARACTER"),
        (&[("", "1")], "UNKNOWN_FIELD"),
    ] {
        let (_, wrong) = set(pairs);
        assert_eq!(wrong.len(), 1, "{pairs:?}");
        assert_eq!(wrong[0].1, reason, "{pairs:?}");
    }
}
