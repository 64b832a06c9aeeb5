//! `POST /crawl/job`: Crawl4AI's request as a request of ours.

use api::job::v1::{
    CrawlConfig, CreateCrawlJobRequest, SessionOptions, WebhookTarget, crawl_config::Render,
    webhook_target::Format,
};
use mesh::Violations;
use serde_json::{Map, Value};

use super::{
    browser, deep, extraction,
    fields::{self, Fate, Setting},
    proxy,
};
use crate::problem::Problem;

/// Milliseconds of `page_timeout` that a job may have.
const PAGE_TIMEOUT: std::ops::RangeInclusive<i64> = 1_000..=300_000;
/// `max_retries`; the first attempt is no retry.
const MAX_RETRIES: std::ops::RangeInclusive<i64> = 0..=9;

/// A request that was understood.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) request: CreateCrawlJobRequest,
    /// Fields that have no effect, by path.
    pub(super) ignored: Vec<String>,
}

#[derive(Default)]
struct Reader {
    wrong: Violations,
    ignored: Vec<String>,
    config: CrawlConfig,
    extraction: extraction::Reader,
    browser: browser::Reader,
    /// Fields that matter if there will be a screenshot.
    pictures: Vec<String>,
}

/// Reads a request. All mistakes are told at once.
pub(super) fn read(body: &Map<String, Value>) -> Result<Submission, Problem> {
    let mut reader = Reader::default();
    let (mut urls, mut webhook) = (Vec::new(), None);
    for (name, value) in body {
        match name.as_str() {
            "urls" => urls = reader.urls(value),
            "browser_config" => reader.section(name, value, fields::BROWSER),
            "crawler_config" => reader.section(name, value, fields::CRAWLER),
            "webhook_config" => webhook = reader.webhook(value),
            _ => reader.field(name, name, value, fields::REQUEST),
        }
    }
    if !body.contains_key("urls") {
        reader.wrong.add("urls", "REQUIRED", "must be a list of URLs");
    }
    reader.settle_pictures();
    let Reader { wrong, mut ignored, mut config, extraction, browser, .. } = reader;
    config.extraction = Some(extraction.finish());
    let rendered = config.render() != Render::Http;
    config.browser = browser.finish(config.screenshot, rendered, &mut ignored).map(Box::new);
    wrong.into_result()?;
    let request =
        CreateCrawlJobRequest { urls, config: Some(config), webhook, ..CreateCrawlJobRequest::default() };
    Ok(Submission { request, ignored })
}

impl Reader {
    fn urls(&mut self, value: &Value) -> Vec<String> {
        // A single URL as text is accepted by older servers.
        let items = match value {
            Value::Array(items) => items.as_slice(),
            other => std::slice::from_ref(other),
        };
        let mut urls = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item {
                Value::String(url) => urls.push(url.clone()),
                _ => self.wrong.add(format!("urls[{index}]"), "INVALID_TYPE", "must be text"),
            }
        }
        urls
    }

    fn section(&mut self, section: &str, value: &Value, table: &[(&str, Fate)]) {
        match unwrap(value) {
            Value::Object(object) => {
                for (name, value) in object {
                    self.field(name, &format!("{section}.{name}"), value, table);
                }
            }
            Value::Null => {}
            _ => self.wrong.add(section, "INVALID_TYPE", "must be an object"),
        }
    }

    fn field(&mut self, name: &str, path: &str, value: &Value, table: &[(&str, Fate)]) {
        let Ok(index) = table.binary_search_by(|(known, _)| (*known).cmp(name)) else {
            return self.wrong.add(path, "UNKNOWN_FIELD", "is not a field");
        };
        let (raw, value) = (value, unwrap(value));
        match table[index].1 {
            Fate::Extracts => {
                let mut notes = extraction::Notes { wrong: &mut self.wrong, ignored: &mut self.ignored };
                self.extraction.set(name, path, raw, &mut notes);
            }
            Fate::Sets(Setting::DeepCrawl) => self.set(Setting::DeepCrawl, path, raw),
            Fate::Browses => {
                let mut notes = extraction::Notes { wrong: &mut self.wrong, ignored: &mut self.ignored };
                self.browser.set(name, path, raw, &mut notes);
            }
            Fate::Sets(setting) => self.set(setting, path, value),
            Fate::Ignored => self.ignored.push(path.to_owned()),
            _ if fields::asks_nothing(value) => {}
            Fate::Picture => self.pictures.push(path.to_owned()),
            Fate::Unless(same) if same(value) => self.ignored.push(path.to_owned()),
            Fate::Refused | Fate::Unless(_) => self.refuse(path),
        }
    }

    fn refuse(&mut self, path: &str) {
        self.wrong.add(
            path,
            "UNSUPPORTED_FIELD",
            "is not supported, and the result would be another without it",
        );
    }

    fn set(&mut self, setting: Setting, path: &str, value: &Value) {
        match (setting, value) {
            (_, Value::Null) => {}
            (Setting::JavaScript, Value::Bool(true)) | (Setting::Screenshot, Value::Bool(false)) => {}
            (Setting::JavaScript, Value::Bool(false)) => self.config.set_render(Render::Http),
            (Setting::Screenshot, Value::Bool(true)) => self.config.screenshot = true,
            (Setting::DeepCrawl, value) => {
                self.config.deep_crawl = Some(deep::read(path, value, &mut self.wrong));
            }
            (Setting::PageTimeout, value) => {
                if let Some(milliseconds) = self.number(path, value, PAGE_TIMEOUT) {
                    self.config.page_timeout = Some(prost_types::Duration {
                        seconds: milliseconds / 1_000,
                        nanos: i32::try_from(milliseconds % 1_000 * 1_000_000).unwrap_or(0),
                    });
                }
            }
            (Setting::MaxRetries, value) => {
                if let Some(retries) = self.number(path, value, MAX_RETRIES) {
                    self.config.max_attempts = i32::try_from(retries + 1).ok();
                }
            }
            (Setting::Proxy, value) => self.proxy(path, value),
            // A page of Crawl4AI's session goes on in the same tab; what it has of that is what it has stored.
            (Setting::Session, Value::String(name)) => {
                let session = SessionOptions { name: name.clone(), ..SessionOptions::default() };
                self.config.session = (!name.is_empty()).then_some(session);
            }
            (Setting::Session, _) => self.wrong.add(path, "INVALID_TYPE", "must be text"),
            (Setting::JavaScript | Setting::Screenshot, _) => {
                self.wrong.add(path, "INVALID_TYPE", "must be true or false");
            }
        }
    }

    fn proxy(&mut self, path: &str, value: &Value) {
        let mut notes = extraction::Notes { wrong: &mut self.wrong, ignored: &mut self.ignored };
        let Some(proxy) = proxy::read(path, value, &mut notes) else { return };
        let known = &mut self.config.fetch.get_or_insert_default().proxy;
        if known.as_ref().is_some_and(|known| *known != proxy) {
            self.wrong.add(path, "CONFLICT", "is another proxy than a field before it has");
        }
        *known = Some(proxy);
    }

    fn number(&mut self, path: &str, value: &Value, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let number = value.as_i64().filter(|number| range.contains(number));
        if number.is_none() {
            let text = format!("must be a whole number from {} to {}", range.start(), range.end());
            self.wrong.add(path, "OUT_OF_RANGE", text);
        }
        number
    }

    fn settle_pictures(&mut self) {
        for path in std::mem::take(&mut self.pictures) {
            if self.config.screenshot { self.refuse(&path) } else { self.ignored.push(path) }
        }
        if self.config.screenshot && self.config.render() == Render::Http {
            let text = "cannot be false where a screenshot is wanted";
            self.wrong.add("browser_config.java_script_enabled", "CONFLICT", text);
        }
    }

    fn webhook(&mut self, value: &Value) -> Option<WebhookTarget> {
        let Value::Object(object) = value else {
            if !value.is_null() {
                self.wrong.add("webhook_config", "INVALID_TYPE", "must be an object");
            }
            return None;
        };
        let mut target = WebhookTarget { format: Format::Crawl4ai.into(), ..WebhookTarget::default() };
        for (name, value) in object {
            let path = format!("webhook_config.{name}");
            match (name.as_str(), value) {
                ("webhook_url", Value::String(url)) => target.url.clone_from(url),
                ("webhook_data_in_payload", Value::Bool(true)) => self.refuse(&path),
                ("webhook_data_in_payload", Value::Bool(false)) => {}
                ("webhook_headers" | "webhook_data_in_payload", Value::Null) => {}
                ("webhook_headers", Value::Object(headers)) => self.headers(&path, headers, &mut target),
                ("webhook_url" | "webhook_headers" | "webhook_data_in_payload", _) => {
                    self.wrong.add(path, "INVALID_TYPE", "is of another type");
                }
                _ => self.wrong.add(path, "UNKNOWN_FIELD", "is not a field"),
            }
        }
        if !object.contains_key("webhook_url") {
            self.wrong.add("webhook_config.webhook_url", "REQUIRED", "must be a URL");
        }
        Some(target)
    }

    fn headers(&mut self, path: &str, headers: &Map<String, Value>, target: &mut WebhookTarget) {
        for (name, value) in headers {
            match value {
                Value::String(text) => {
                    target.headers.insert(name.clone(), text.clone());
                }
                _ => self.wrong.add(format!("{path}.{name}"), "INVALID_TYPE", "must be text"),
            }
        }
    }
}

/// Crawl4AI's own writer wraps objects as `{"type": …, "params": …}` and dictionaries as `{"type": "dict", "value": …}`.
pub(super) fn unwrap(value: &Value) -> &Value {
    let Value::Object(object) = value else { return value };
    let wrapped = object.len() == 2 && object.get("type").is_some_and(Value::is_string);
    let inner = object.get("params").or_else(|| object.get("value"));
    inner.filter(|_| wrapped).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn submitted(body: &Value) -> Result<Submission, Vec<(String, String)>> {
        read(body.as_object().unwrap()).map_err(|problem| {
            let document = problem.document("/", "r");
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            document["errors"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| (text(&e["field"]), text(&e["reason"])))
                .collect()
        })
    }

    #[test]
    fn a_request_is_understood_plain_and_wrapped() {
        let plain = json!({
            "urls": ["https://example.com/"],
            "browser_config": {"headless": true, "browser_type": "chromium", "cookies": []},
            "crawler_config": {"screenshot": true, "page_timeout": 1500, "max_retries": 1, "cache_mode": "bypass"},
            "webhook_config": {"webhook_url": "https://example.com/hook", "webhook_headers": {"x-a": "b"}},
        });
        let wrapped = json!({
            "urls": "https://example.com/",
            "browser_config": {"type": "BrowserConfig", "params": {"headless": true, "browser_type": "chromium"}},
            "crawler_config": {"type": "CrawlerRunConfig", "params": {
                "screenshot": true, "page_timeout": 1500, "max_retries": 1,
                "cache_mode": {"type": "CacheMode", "params": "bypass"}}},
            "webhook_config": {"webhook_url": "https://example.com/hook", "webhook_headers": {"x-a": "b"},
                "webhook_data_in_payload": false},
        });
        for body in [plain, wrapped] {
            let Submission { request, mut ignored } = submitted(&body).unwrap();
            ignored.sort();
            assert_eq!(
                ignored,
                ["browser_config.browser_type", "browser_config.headless", "crawler_config.cache_mode"]
            );
            let config = request.config.unwrap();
            assert_eq!((config.screenshot, config.max_attempts), (true, Some(2)));
            let timeout = config.page_timeout.unwrap();
            assert_eq!((timeout.seconds, timeout.nanos), (1, 500_000_000));
            let webhook = request.webhook.unwrap();
            assert_eq!((webhook.format(), webhook.headers["x-a"].as_str()), (Format::Crawl4ai, "b"));
            assert_eq!(request.urls, ["https://example.com/"]);
        }
    }

    #[test]
    fn what_is_read_of_a_page_is_understood() {
        let body = json!({"urls": ["a"], "crawler_config": {
            "css_selector": "main", "target_elements": ["p"], "only_text": true, "word_count_threshold": 1,
            "exclude_social_media_links": true, "exclude_social_media_domains": ["social.example"],
            "exclude_domains": ["ads.example"], "extraction_strategy": {"type": "NoExtractionStrategy", "params": {}},
            "markdown_generator": {"type": "DefaultMarkdownGenerator", "params": {
                "options": {"type": "dict", "value": {"body_width": 80}},
                "content_filter": {"type": "PruningContentFilter", "params": {
                    "threshold": 0.4, "threshold_type": "dynamic", "min_word_threshold": 5}}}}}});
        let Submission { request, ignored } = submitted(&body).unwrap();
        assert_eq!(ignored, ["crawler_config.markdown_generator.options"]);
        let extraction = request.config.unwrap().extraction.unwrap();
        let selection = extraction.selection.unwrap();
        assert_eq!((selection.css_selector.as_str(), selection.only_text), ("main", true));
        assert_eq!(selection.exclude_domains, ["ads.example", "social.example"]);
        assert!(!selection.exclude_social_media_links, "the caller's own list takes its place");
        let expected =
            api::job::v1::content_filter::Pruning { threshold: Some(0.4), dynamic: true, min_words: 5 };
        let kind = extraction.filter.unwrap().kind.unwrap();
        assert_eq!(kind, api::job::v1::content_filter::Kind::Pruning(expected));
        assert!(extraction.schema.is_none() && extraction.patterns.is_none());
    }

    #[test]
    fn a_proxy_is_that_of_the_job() {
        for body in [
            json!({"urls": ["a"], "browser_config": {"proxy_config": {"type": "ProxyConfig", "params":
                {"server": "http://p.example:3128", "username": "u", "password": "w"}}}}),
            json!({"urls": ["a"], "browser_config": {"proxy": "http://u:w@p.example:3128"},
                "crawler_config": {"proxy_config": {"server": "http://p.example:3128", "username": "u", "password": "w"}}}),
        ] {
            let Submission { request, ignored } = submitted(&body).unwrap();
            let proxy = request.config.unwrap().fetch.unwrap().proxy.unwrap();
            assert_eq!((proxy.server.as_str(), proxy.username.as_str()), ("http://p.example:3128", "u"));
            assert_eq!((proxy.password.as_str(), ignored), ("w", Vec::<String>::new()));
        }
    }

    #[test]
    fn without_java_script_no_browser_is_used() {
        let body =
            json!({"urls": ["a"], "browser_config": {"java_script_enabled": false, "viewport_width": 800}});
        let Submission { request, ignored } = submitted(&body).unwrap();
        assert_eq!(request.config.unwrap().render(), Render::Http);
        assert_eq!(ignored, ["browser_config.viewport_width"]);
    }

    #[test]
    fn what_would_change_the_result_is_refused_by_name() {
        let with = |section: &str, fields: Value| json!({"urls": ["a"], section: fields});
        for (body, field, reason) in [
            (json!({}), "urls", "REQUIRED"),
            (json!({"urls": [1]}), "urls[0]", "INVALID_TYPE"),
            (json!({"urls": ["a"], "nope": 1}), "nope", "UNKNOWN_FIELD"),
            (json!({"urls": ["a"], "hooks": {"x": 1}}), "hooks", "UNSUPPORTED_FIELD"),
            (with("crawler_config", json!({"magic": true})), "crawler_config.magic", "UNSUPPORTED_FIELD"),
            (
                with("crawler_config", json!({"css_selector": 1})),
                "crawler_config.css_selector",
                "INVALID_TYPE",
            ),
            (
                with(
                    "crawler_config",
                    json!({"extraction_strategy": {"type": "LLMExtractionStrategy", "params": {}}}),
                ),
                "crawler_config.extraction_strategy",
                "UNSUPPORTED_FIELD",
            ),
            (with("crawler_config", json!({"method": "POST"})), "crawler_config.method", "UNSUPPORTED_FIELD"),
            (
                with("crawler_config", json!({"page_timeout": 1})),
                "crawler_config.page_timeout",
                "OUT_OF_RANGE",
            ),
            (
                with("crawler_config", json!({"page_timeout": "1"})),
                "crawler_config.page_timeout",
                "OUT_OF_RANGE",
            ),
            (with("crawler_config", json!({"screenshot": 1})), "crawler_config.screenshot", "INVALID_TYPE"),
            (with("crawler_config", json!({"nope": 1})), "crawler_config.nope", "UNKNOWN_FIELD"),
            (with("crawler_config", json!([])), "crawler_config", "INVALID_TYPE"),
            (with("browser_config", json!({"proxy": 1})), "browser_config.proxy", "INVALID_TYPE"),
            (
                json!({"urls": ["a"], "browser_config": {"proxy": "a:1"}, "crawler_config": {"proxy_config": "b:1"}}),
                "crawler_config.proxy_config",
                "CONFLICT",
            ),
            (
                with(
                    "crawler_config",
                    json!({"proxy_rotation_strategy": {"type": "RoundRobinProxyStrategy"}}),
                ),
                "crawler_config.proxy_rotation_strategy",
                "UNSUPPORTED_FIELD",
            ),
            (
                with("browser_config", json!({"browser_type": "webkit"})),
                "browser_config.browser_type",
                "UNSUPPORTED_FIELD",
            ),
            (with("webhook_config", json!({})), "webhook_config.webhook_url", "REQUIRED"),
            (
                with("webhook_config", json!({"webhook_url": "a", "webhook_data_in_payload": true})),
                "webhook_config.webhook_data_in_payload",
                "UNSUPPORTED_FIELD",
            ),
            (
                json!({"urls": ["a"], "crawler_config": {"screenshot": true, "adjust_viewport_to_content": true}}),
                "crawler_config.adjust_viewport_to_content",
                "UNSUPPORTED_FIELD",
            ),
            (
                with(
                    "crawler_config",
                    json!({"markdown_generator": {"type": "DefaultMarkdownGenerator", "params":
                    {"content_filter": {"type": "LLMContentFilter", "params": {"instruction": "x"}}}}}),
                ),
                "crawler_config.markdown_generator.content_filter",
                "UNSUPPORTED_FIELD",
            ),
        ] {
            assert_eq!(submitted(&body).unwrap_err(), [(field.to_owned(), reason.to_owned())], "{body}");
        }
        for nothing in [json!(null), json!(false), json!(""), json!([]), json!({})] {
            let body = json!({"urls": ["a"], "crawler_config": {"js_code": nothing}});
            assert!(submitted(&body).unwrap().ignored.is_empty(), "{body}");
        }
    }
}
