//! Crawl4AI's fields about the browser, as `CrawlConfig.browser` has them. What is allowed is for the job service to say.
//!
//! A value that Crawl4AI's client sends by default asks for nothing: it must not send every page to a browser.

use std::collections::BTreeMap;

use api::job::v1::{
    BrowserOptions, Cookie, Geolocation, LocalStorage, ScanFullPage, Viewport, VirtualScroll,
    browser_options::WaitUntil,
};
use prost_types::Duration;
use serde_json::{Map, Value};

use super::{extraction::Notes, fields::asks_nothing, submit::unwrap};

/// Crawl4AI's default window.
const WINDOW: (i32, i32) = (1080, 600);
/// Seconds that Crawl4AI waits by default before it takes a page; crawlmesh waits for a page to settle anyway.
const DEFAULT_DELAY: f64 = 0.1;
/// What `BrowserConfig.user_agent` is by default.
const DEFAULT_AGENT: &str = "Chrome/116.0.0.0 Safari/537.36";

/// Crawl4AI's names for our fields; the longest first where one begins like another.
pub(super) const NAMES: [(&str, &str); 22] = [
    ("config.browser.js_code_before_wait", "crawler_config.js_code_before_wait"),
    ("config.browser.js_code", "crawler_config.js_code"),
    ("config.browser.wait_for_timeout", "crawler_config.wait_for_timeout"),
    ("config.browser.wait_for", "crawler_config.wait_for"),
    ("config.browser.delay_before_return_html", "crawler_config.delay_before_return_html"),
    ("config.browser.scan_full_page.scroll_delay", "crawler_config.scroll_delay"),
    ("config.browser.scan_full_page.max_steps", "crawler_config.max_scroll_steps"),
    ("config.browser.virtual_scroll.", "crawler_config.virtual_scroll_config."),
    ("config.browser.locale", "crawler_config.locale"),
    ("config.browser.timezone", "crawler_config.timezone_id"),
    ("config.browser.geolocation", "crawler_config.geolocation"),
    ("config.browser.user_agent", "browser_config.user_agent"),
    ("config.browser.headers", "browser_config.headers"),
    ("config.browser.cookies", "browser_config.cookies"),
    ("config.browser.local_storage", "browser_config.storage_state.origins"),
    ("config.browser.viewport.width", "browser_config.viewport_width"),
    ("config.browser.viewport.height", "browser_config.viewport_height"),
    ("config.browser.viewport.device_scale_factor", "browser_config.device_scale_factor"),
    ("config.browser", "browser_config"),
    ("config.render", "browser_config.java_script_enabled"),
    ("config.fetch.proxy", "browser_config.proxy_config"),
    ("config.session.name", "crawler_config.session_id"),
];

/// Reads the fields one by one.
#[derive(Default)]
pub(super) struct Reader {
    options: BrowserOptions,
    width: Option<i32>,
    height: Option<i32>,
    scale: Option<f64>,
    scan: bool,
    scroll_delay: Option<Duration>,
    scroll_steps: Option<i32>,
    viewport_screenshot: bool,
    screenshot_wait: Option<Duration>,
    /// Fields that only matter in a browser.
    shaping: Vec<String>,
}

impl Reader {
    /// Reads one field. `value` is as it was sent.
    pub(super) fn set(&mut self, name: &str, path: &str, value: &Value, notes: &mut Notes<'_>) {
        let value = unwrap(value);
        // Whole numbers may be 0; nothing else asks for anything by being empty.
        if asks_nothing(value) {
            return;
        }
        if matches!(
            name,
            "viewport"
                | "viewport_width"
                | "viewport_height"
                | "device_scale_factor"
                | "text_mode"
                | "avoid_ads"
                | "avoid_css"
        ) {
            self.shaping.push(path.to_owned());
        }
        let options = &mut self.options;
        match name {
            "capture_console_messages" => options.console = notes.bool(path, value),
            "capture_mhtml" => options.mhtml = notes.bool(path, value),
            "capture_network_requests" => options.har = notes.bool(path, value),
            "pdf" => options.pdf = notes.bool(path, value),
            "flatten_shadow_dom" => options.flatten_shadow_dom = notes.bool(path, value),
            "process_iframes" => options.flatten_iframes = notes.bool(path, value),
            "remove_consent_popups" => options.remove_consent_popups = notes.bool(path, value),
            "remove_overlay_elements" => options.remove_overlays = notes.bool(path, value),
            "force_viewport_screenshot" => self.viewport_screenshot = notes.bool(path, value),
            "scan_full_page" => self.scan = notes.bool(path, value),
            "text_mode" => options.text_mode = notes.bool(path, value).then_some(true),
            "avoid_ads" => options.block.get_or_insert_default().ads = notes.bool(path, value),
            "avoid_css" => options.block.get_or_insert_default().stylesheets = notes.bool(path, value),
            "locale" => options.locale = notes.text(path, value),
            "timezone_id" => options.timezone = notes.text(path, value),
            "js_code" => options.js_code = texts(path, value, notes),
            "js_code_before_wait" => options.js_code_before_wait = texts(path, value, notes),
            "wait_for" => options.wait_for = wait_for(&notes.text(path, value)),
            "max_scroll_steps" => self.scroll_steps = Some(notes.whole(path, value)),
            "viewport_width" => self.width = Some(notes.whole(path, value)),
            "viewport_height" => self.height = Some(notes.whole(path, value)),
            "device_scale_factor" => self.scale = notes.number(path, value),
            "scroll_delay" => self.scroll_delay = seconds(path, value, notes),
            "screenshot_wait_for" => self.screenshot_wait = seconds(path, value, notes),
            _ => self.set_larger(name, path, value, notes),
        }
    }

    fn set_larger(&mut self, name: &str, path: &str, value: &Value, notes: &mut Notes<'_>) {
        let options = &mut self.options;
        match name {
            "wait_until" => match notes.text(path, value).as_str() {
                "networkidle" => options.set_wait_until(WaitUntil::NetworkIdle),
                // crawlmesh waits longer than these by itself.
                "domcontentloaded" | "load" | "commit" => notes.ignored.push(path.to_owned()),
                _ => notes.unsupported(path.to_owned()),
            },
            "wait_for_timeout" => {
                options.wait_for_timeout = notes.number(path, value).map(|number| duration(number / 1000.0));
            }
            "delay_before_return_html" => match notes.number(path, value) {
                Some(delay) if delay > DEFAULT_DELAY => {
                    options.delay_before_return_html = Some(duration(delay))
                }
                _ => notes.ignored.push(path.to_owned()),
            },
            "user_agent" => match notes.text(path, value) {
                agent if agent.ends_with(DEFAULT_AGENT) => notes.ignored.push(path.to_owned()),
                agent => options.user_agent = agent,
            },
            "geolocation" => {
                options.geolocation = object(path, value, notes).map(|place| geolocation(path, place, notes))
            }
            "headers" => options.headers = pairs(path, value, notes),
            "cookies" => options.cookies = cookies(path, value, notes),
            "storage_state" => self.storage(path, value, notes),
            "viewport" => {
                let Some(window) = object(path, value, notes) else { return };
                for (name, value) in window {
                    let path = format!("{path}.{name}");
                    match name.as_str() {
                        "width" => self.width = Some(notes.whole(&path, value)),
                        "height" => self.height = Some(notes.whole(&path, value)),
                        _ => notes.unsupported(path),
                    }
                }
            }
            "virtual_scroll_config" => {
                options.virtual_scroll =
                    object(path, value, notes).map(|scroll| virtual_scroll(path, scroll, notes));
            }
            _ => notes.unsupported(path.to_owned()),
        }
    }

    /// Playwright's storage state: cookies, and local storage by origin.
    fn storage(&mut self, path: &str, value: &Value, notes: &mut Notes<'_>) {
        let Some(state) = object(path, value, notes) else { return };
        for (name, value) in state {
            let path = format!("{path}.{name}");
            match name.as_str() {
                "cookies" => self.options.cookies.extend(cookies(&path, value, notes)),
                "origins" => {
                    for (index, origin) in value.as_array().into_iter().flatten().enumerate() {
                        let origin_path = format!("{path}[{index}]");
                        let items = origin["localStorage"].as_array().into_iter().flatten();
                        let items: BTreeMap<String, String> = items
                            .map(|item| {
                                (
                                    notes.text(&origin_path, &item["name"]),
                                    notes.text(&origin_path, &item["value"]),
                                )
                            })
                            .collect();
                        let origin = notes.text(&format!("{origin_path}.origin"), &origin["origin"]);
                        self.options.local_storage.push(LocalStorage { origin, items });
                    }
                }
                _ => notes.unsupported(path),
            }
        }
    }

    /// The options, if there are any. `screenshot`: whether one is wanted; `browser`: whether a browser may be used at all.
    pub(super) fn finish(
        mut self,
        screenshot: bool,
        browser: bool,
        ignored: &mut Vec<String>,
    ) -> Option<BrowserOptions> {
        if self.scan {
            let (scroll_delay, max_steps) = (self.scroll_delay, self.scroll_steps);
            self.options.scan_full_page = Some(ScanFullPage { scroll_delay, max_steps });
        }
        self.options.full_page = screenshot && !self.viewport_screenshot;
        if screenshot && self.options.delay_before_return_html.is_none() {
            self.options.delay_before_return_html = self.screenshot_wait;
        }
        if self.width.is_some() || self.height.is_some() || self.scale.is_some_and(|scale| scale != 1.0) {
            self.options.viewport = Some(Viewport {
                width: self.width.unwrap_or(WINDOW.0),
                height: self.height.unwrap_or(WINDOW.1),
                device_scale_factor: self.scale,
            });
        }
        if !browser {
            // Without a browser there is no window, and nothing but text.
            self.options.viewport = None;
            self.options.text_mode = None;
            self.options.block = None;
            ignored.append(&mut self.shaping);
        }
        Some(self.options).filter(|options| *options != BrowserOptions::default())
    }
}

/// `css:…` and `js:…` as they are; anything else is a function or a selector.
fn wait_for(text: &str) -> String {
    let function = ["()", "async", "function", "("].iter().any(|start| text.starts_with(start));
    match text {
        _ if text.is_empty() || text.starts_with("css:") || text.starts_with("js:") => text.to_owned(),
        _ if function => format!("js:{text}"),
        _ => format!("css:{text}"),
    }
}

fn object<'a>(path: &str, value: &'a Value, notes: &mut Notes<'_>) -> Option<&'a Map<String, Value>> {
    let object = value.as_object();
    if object.is_none() {
        notes.type_of(path, "an object");
    }
    object
}

fn texts(path: &str, value: &Value, notes: &mut Notes<'_>) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(|item| notes.text(path, item)).collect(),
        other => vec![notes.text(path, other)],
    }
}

fn pairs(path: &str, value: &Value, notes: &mut Notes<'_>) -> BTreeMap<String, String> {
    let object = object(path, value, notes).into_iter().flatten();
    object.map(|(name, value)| (name.clone(), notes.text(&format!("{path}.{name}"), value))).collect()
}

/// Playwright's cookies: with a domain, or with a URL.
fn cookies(path: &str, value: &Value, notes: &mut Notes<'_>) -> Vec<Cookie> {
    let Some(items) = value.as_array() else {
        notes.type_of(path, "a list");
        return Vec::new();
    };
    let mut cookies = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(item) = object(&path, unwrap(item), notes) else { continue };
        let mut cookie = Cookie::default();
        for (name, value) in item {
            let path = format!("{path}.{name}");
            match name.as_str() {
                "name" => cookie.name = notes.text(&path, value),
                "value" => cookie.value = notes.text(&path, value),
                "domain" => cookie.domain = notes.text(&path, value),
                "path" => cookie.path = notes.text(&path, value),
                "secure" => cookie.secure = notes.bool(&path, value),
                "httpOnly" => cookie.http_only = notes.bool(&path, value),
                "url" => {
                    let url = notes.text(&path, value);
                    let uri = url.parse::<http::Uri>().ok();
                    cookie.domain = uri.as_ref().and_then(http::Uri::host).unwrap_or(&url).to_owned();
                    cookie.secure |= url.starts_with("https:");
                }
                // The job is over before a cookie is.
                "expires" | "sameSite" => notes.ignored.push(path),
                _ => notes.unsupported(path),
            }
        }
        cookies.push(cookie);
    }
    cookies
}

fn geolocation(path: &str, place: &Map<String, Value>, notes: &mut Notes<'_>) -> Geolocation {
    let mut read =
        |name: &str| place.get(name).and_then(|value| notes.number(&format!("{path}.{name}"), value));
    let (latitude, longitude, accuracy) = (read("latitude"), read("longitude"), read("accuracy"));
    for name in place.keys().filter(|name| !matches!(name.as_str(), "latitude" | "longitude" | "accuracy")) {
        notes.unsupported(format!("{path}.{name}"));
    }
    Geolocation { latitude: latitude.unwrap_or_default(), longitude: longitude.unwrap_or_default(), accuracy }
}

fn virtual_scroll(path: &str, scroll: &Map<String, Value>, notes: &mut Notes<'_>) -> VirtualScroll {
    let mut read = VirtualScroll::default();
    for (name, value) in scroll {
        let path = format!("{path}.{name}");
        match (name.as_str(), value) {
            ("container_selector", value) => read.container_selector = notes.text(&path, value),
            ("scroll_count", value) => read.scroll_count = Some(notes.whole(&path, value)),
            ("wait_after_scroll", value) => read.wait_after_scroll = seconds(&path, value, notes),
            ("scroll_by", Value::String(text)) if text == "container_height" => {}
            ("scroll_by", value @ Value::Number(_)) => read.scroll_by = Some(notes.whole(&path, value)),
            _ => notes.unsupported(path),
        }
    }
    read
}

fn seconds(path: &str, value: &Value, notes: &mut Notes<'_>) -> Option<Duration> {
    notes.number(path, value).map(duration)
}

/// Whole milliseconds; what does not fit is out of range for the job service too.
fn duration(seconds: f64) -> Duration {
    let millis = (seconds.clamp(-1e9, 1e9) * 1000.0).round() as i64;
    Duration { seconds: millis / 1000, nanos: i32::try_from(millis % 1000 * 1_000_000).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use mesh::Violations;
    use serde_json::json;

    use super::*;

    fn read(fields: &Value, screenshot: bool) -> (Option<BrowserOptions>, Vec<String>, bool) {
        let (mut wrong, mut ignored, mut reader) = (Violations::new(), Vec::new(), Reader::default());
        for (name, value) in fields.as_object().unwrap() {
            reader.set(name, name, value, &mut Notes { wrong: &mut wrong, ignored: &mut ignored });
        }
        let options = reader.finish(screenshot, true, &mut ignored);
        (options, ignored, wrong.into_result().is_ok())
    }

    #[test]
    fn what_a_client_sends_by_default_asks_for_nothing() {
        let agent =
            format!("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) {DEFAULT_AGENT}");
        let fields = json!({
            "wait_until": "domcontentloaded", "delay_before_return_html": 0.1, "scroll_delay": 0.2, "pdf": false, "js_code": null,
            "user_agent": agent, "cookies": [], "headers": {}, "device_scale_factor": 1.0, "geolocation": null, "text_mode": false,
        });
        let (options, mut ignored, good) = read(&fields, false);
        ignored.sort();
        assert_eq!((options, good), (None, true));
        assert_eq!(ignored, ["delay_before_return_html", "user_agent", "wait_until"]);
    }

    #[test]
    fn fields_become_options() {
        let (options, ignored, good) = read(
            &json!({
                "wait_until": "networkidle", "wait_for": "() => window.ready", "wait_for_timeout": 1500, "js_code": "1",
                "js_code_before_wait": ["2", "3"], "delay_before_return_html": 1.5, "scan_full_page": true, "scroll_delay": 0.25,
                "viewport_width": 800, "geolocation": {"latitude": 1.5, "longitude": -2}, "headers": {"x-a": "b"},
                "cookies": [{"name": "a", "value": "b", "url": "https://a.example/x", "sameSite": "Lax"}],
                "storage_state": {"origins": [{"origin": "https://a.example", "localStorage": [{"name": "k", "value": "v"}]}]},
                "virtual_scroll_config": {"container_selector": "#l", "scroll_by": 300, "wait_after_scroll": 0.5},
                "capture_network_requests": true, "pdf": true, "avoid_ads": true, "avoid_css": true,
            }),
            true,
        );
        assert!(good);
        assert_eq!(ignored, ["cookies[0].sameSite"]);
        let options = options.unwrap();
        assert_eq!(
            (options.wait_until(), options.wait_for.as_str()),
            (WaitUntil::NetworkIdle, "js:() => window.ready")
        );
        assert_eq!(
            (options.js_code, options.js_code_before_wait),
            (vec!["1".to_owned()], vec!["2".into(), "3".into()])
        );
        assert_eq!(options.wait_for_timeout, Some(Duration { seconds: 1, nanos: 500_000_000 }));
        assert_eq!(
            options.scan_full_page.unwrap().scroll_delay,
            Some(Duration { seconds: 0, nanos: 250_000_000 })
        );
        assert_eq!(options.viewport.map(|window| (window.width, window.height)), Some((800, 600)));
        assert_eq!((options.cookies[0].domain.as_str(), options.cookies[0].secure), ("a.example", true));
        assert_eq!(options.local_storage[0].items["k"], "v");
        assert_eq!(options.virtual_scroll.unwrap().scroll_by, Some(300));
        assert!(options.har && options.pdf && options.full_page);
        let block = options.block.unwrap();
        assert!(block.ads && block.stylesheets && !block.images);
    }

    #[test]
    fn mistakes_are_told() {
        for fields in [
            json!({"pdf": 1}),
            json!({"wait_until": "sometime"}),
            json!({"viewport": {"depth": 1}}),
            json!({"cookies": [{"name": "a", "priority": "High"}]}),
            json!({"virtual_scroll_config": {"scroll_by": "page_height"}}),
            json!({"geolocation": {"altitude": 1}}),
        ] {
            assert!(!read(&fields, false).2, "{fields}");
        }
        assert_eq!(wait_for("#id"), "css:#id");
        assert_eq!(wait_for("js:x"), "js:x");
    }
}
