//! What is refused, and with which words; what defaults become.

use std::collections::HashMap;

use api::{
    crawler::v1 as work,
    job::v1::{self as pb, page},
};
use domain::{JobId, Lane, PageId, Priority, TenantId, Verdict, id::page_name};
use mesh::error_reason;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;
use crate::{
    event::EventType,
    page::Kind,
    spec::{Render, Submission},
};

fn rules() -> Rules {
    Rules::at_most(5, 1000)
}

fn valid() -> pb::CreateCrawlJobRequest {
    pb::CreateCrawlJobRequest { urls: vec!["https://example.com/".to_owned()], ..Default::default() }
}

fn read(change: impl FnOnce(&mut pb::CreateCrawlJobRequest)) -> Result<Submission, Status> {
    let mut request = valid();
    change(&mut request);
    submission(request, &rules())
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn violations(status: &Status) -> Vec<(String, String)> {
    let details = status.get_details_bad_request().expect("because a field is named");
    details.field_violations.into_iter().map(|violation| (violation.field, violation.reason)).collect()
}

type Change = fn(&mut pb::CreateCrawlJobRequest);

fn config(change: impl FnOnce(&mut pb::CrawlConfig)) -> Option<pb::CrawlConfig> {
    let mut config = pb::CrawlConfig::default();
    change(&mut config);
    Some(config)
}

fn webhook(change: impl FnOnce(&mut pb::WebhookTarget)) -> Option<pb::WebhookTarget> {
    let mut target =
        pb::WebhookTarget { url: "https://hooks.example.com/x".to_owned(), ..Default::default() };
    change(&mut target);
    Some(target)
}

fn header(name: &str, value: &str) -> HashMap<String, String> {
    HashMap::from([(name.to_owned(), value.to_owned())])
}

#[test]
fn bad_input_is_refused_with_field_and_reason() {
    let table: Vec<(Change, &str, &str)> = vec![
        (|r| r.urls.clear(), "urls", "REQUIRED"),
        (|r| r.urls = vec!["https://example.com/".to_owned(); 6], "urls", "TOO_MANY_URLS"),
        (|r| r.urls.push("  ".to_owned()), "urls[1]", "REQUIRED"),
        (|r| r.urls.push("example.com".to_owned()), "urls[1]", "INVALID_URL"),
        (|r| r.urls.push("http://a\0b/".to_owned()), "urls[1]", "INVALID_URL"),
        (|r| r.urls.push("ftp://example.com/".to_owned()), "urls[1]", "UNSUPPORTED_SCHEME"),
        (|r| r.urls.push("javascript:alert(1)".to_owned()), "urls[1]", "UNSUPPORTED_SCHEME"),
        (|r| r.urls.push("http://u:p@example.com/".to_owned()), "urls[1]", "URL_CREDENTIALS"),
        (|r| r.urls.push("http://example.com:25/".to_owned()), "urls[1]", "PORT_NOT_ALLOWED"),
        (|r| r.urls.push("http://example.com:65536/".to_owned()), "urls[1]", "PORT_NOT_ALLOWED"),
        (|r| r.urls.push(format!("http://example.com/{}", "a".repeat(9000))), "urls[1]", "URL_TOO_LONG"),
        (|r| r.config = config(|c| c.render = 99), "config.render", "UNKNOWN_VALUE"),
        (|r| r.config = config(|c| c.page_timeout = seconds(0)), "config.page_timeout", "OUT_OF_RANGE"),
        (|r| r.config = config(|c| c.page_timeout = seconds(301)), "config.page_timeout", "OUT_OF_RANGE"),
        (|r| r.config = config(|c| c.page_timeout = seconds(-5)), "config.page_timeout", "OUT_OF_RANGE"),
        (
            |r| r.config = config(|c| c.page_timeout = seconds(i64::MAX)),
            "config.page_timeout",
            "OUT_OF_RANGE",
        ),
        (|r| r.config = config(|c| c.max_attempts = Some(0)), "config.max_attempts", "OUT_OF_RANGE"),
        (|r| r.config = config(|c| c.max_attempts = Some(11)), "config.max_attempts", "OUT_OF_RANGE"),
        (|r| r.config = config(|c| c.result_ttl = seconds(59)), "config.result_ttl", "OUT_OF_RANGE"),
        (
            |r| r.config = config(|c| c.result_ttl = seconds(30 * 86_400 + 1)),
            "config.result_ttl",
            "OUT_OF_RANGE",
        ),
        (
            |r| r.config = fetch(|f| f.headers = header("Cookie", "x")),
            "config.fetch.headers[Cookie]",
            "INVALID_HEADER",
        ),
        (
            |r| r.config = fetch(|f| f.headers = header("If-Match", "x")),
            "config.fetch.headers[If-Match]",
            "INVALID_HEADER",
        ),
        (
            |r| r.config = fetch(|f| f.headers = header("x", "a\nb")),
            "config.fetch.headers[x]",
            "INVALID_HEADER",
        ),
        (
            |r| {
                r.config = fetch(|f| f.headers = (0..33).map(|n| (format!("x-{n}"), String::new())).collect())
            },
            "config.fetch.headers",
            "TOO_MANY_HEADERS",
        ),
        (
            |r| r.config = fetch(|f| f.cookies = cookie("a b", "1")),
            "config.fetch.cookies[0].name",
            "INVALID_COOKIE",
        ),
        (
            |r| r.config = fetch(|f| f.cookies = cookie("a", "1;b")),
            "config.fetch.cookies[0].value",
            "INVALID_COOKIE",
        ),
        (
            |r| r.config = fetch(|f| f.user_agent = "é".to_owned()),
            "config.fetch.user_agent",
            "INVALID_HEADER",
        ),
        (|r| r.config = fetch(|f| f.hosts = vec!["a.example".to_owned()]), "config.fetch.hosts", "CONFLICT"),
        (
            |r| {
                r.config = fetch(|f| {
                    f.cookies = cookie("a", "1");
                    f.hosts = vec!["a.example".to_owned(), "a/b".to_owned()];
                })
            },
            "config.fetch.hosts[1]",
            "INVALID_DOMAIN",
        ),
        (
            |r| r.config = fetch(|f| f.cache = Some(pb::fetch_options::Cache { max_age: None })),
            "config.fetch.cache.max_age",
            "REQUIRED",
        ),
        (
            |r| {
                r.config = fetch(|f| f.user_agent = "me".to_owned());
                if let Some(config) = &mut r.config {
                    config.screenshot = true;
                }
            },
            "config.fetch",
            "CONFLICT",
        ),
        (
            |r| r.config = config(|c| c.extraction = selector("p[")),
            "config.extraction.selection.css_selector",
            "INVALID_SELECTOR",
        ),
        (
            |r| r.labels = (0..33).map(|n| (n.to_string(), String::new())).collect(),
            "labels",
            "TOO_MANY_LABELS",
        ),
        (|r| r.labels = header("", "x"), "labels[]", "INVALID_LABEL"),
        (|r| r.labels = header(&"k".repeat(64), "x"), &LONG_LABEL, "INVALID_LABEL"),
        (|r| r.labels = header("k", &"v".repeat(256)), "labels[k]", "INVALID_LABEL"),
        (|r| r.labels = header("k", "a\0b"), "labels[k]", "INVALID_LABEL"),
        (|r| r.priority = 7, "priority", "UNKNOWN_VALUE"),
        (|r| r.priority = -1, "priority", "UNKNOWN_VALUE"),
        (|r| r.request_id = "x".repeat(256), "request_id", "INVALID_REQUEST_ID"),
        (|r| r.request_id = "a\nb".to_owned(), "request_id", "INVALID_REQUEST_ID"),
        (|r| r.request_id = "é".to_owned(), "request_id", "INVALID_REQUEST_ID"),
        (|r| r.wait = seconds(61), "wait", "OUT_OF_RANGE"),
        (|r| r.wait = seconds(-1), "wait", "OUT_OF_RANGE"),
        (|r| r.webhook = webhook(|w| w.url.clear()), "webhook.url", "REQUIRED"),
        (
            |r| r.webhook = webhook(|w| w.url = "ftp://x.example/".to_owned()),
            "webhook.url",
            "UNSUPPORTED_SCHEME",
        ),
        (
            |r| r.webhook = webhook(|w| w.url = "https://u:p@x.example/".to_owned()),
            "webhook.url",
            "URL_CREDENTIALS",
        ),
        (
            |r| r.webhook = webhook(|w| w.url = format!("https://x.example/{}", "a".repeat(3000))),
            "webhook.url",
            "URL_TOO_LONG",
        ),
        (|r| r.webhook = webhook(|w| w.format = 9), "webhook.format", "UNKNOWN_VALUE"),
        (
            |r| r.webhook = webhook(|w| w.event_types = vec!["*".to_owned()]),
            "webhook.event_types[0]",
            "UNKNOWN_EVENT_TYPE",
        ),
        (
            |r| r.webhook = webhook(|w| w.event_types = vec!["job.failed".to_owned(); 17]),
            "webhook.event_types",
            "TOO_MANY_EVENT_TYPES",
        ),
        (
            |r| r.webhook = webhook(|w| w.headers = header("Host", "x")),
            "webhook.headers[Host]",
            "INVALID_HEADER",
        ),
        (
            |r| r.webhook = webhook(|w| w.headers = header("Cookie", "x")),
            "webhook.headers[Cookie]",
            "INVALID_HEADER",
        ),
        (
            |r| r.webhook = webhook(|w| w.headers = header("content-type", "x")),
            "webhook.headers[content-type]",
            "INVALID_HEADER",
        ),
        (
            |r| r.webhook = webhook(|w| w.headers = header("Webhook-Id", "x")),
            "webhook.headers[Webhook-Id]",
            "INVALID_HEADER",
        ),
        (
            |r| r.webhook = webhook(|w| w.headers = header("Transfer-Encoding", "x")),
            "webhook.headers[Transfer-Encoding]",
            "INVALID_HEADER",
        ),
        (
            |r| r.webhook = webhook(|w| w.headers = header("a b", "x")),
            "webhook.headers[a b]",
            "INVALID_HEADER",
        ),
        (
            |r| r.webhook = webhook(|w| w.headers = header("x", "a\r\nb: c")),
            "webhook.headers[x]",
            "INVALID_HEADER",
        ),
        (
            |r| r.webhook = webhook(|w| w.headers = header("x", &"v".repeat(2049))),
            "webhook.headers[x]",
            "INVALID_HEADER",
        ),
        (
            |r| {
                r.webhook =
                    webhook(|w| w.headers = (0..21).map(|n| (format!("x-{n}"), String::new())).collect())
            },
            "webhook.headers",
            "TOO_MANY_HEADERS",
        ),
        (
            |r| {
                r.webhook = webhook(|w| {
                    w.headers = [("X-A", "1"), ("x-a", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
                })
            },
            "webhook.headers[x-a]",
            "INVALID_HEADER",
        ),
    ];
    for (change, field, reason) in table {
        let status = read(change).expect_err(field);
        assert_eq!(status.code(), Code::InvalidArgument, "{field}");
        assert_eq!(violations(&status), [(field.to_owned(), reason.to_owned())]);
        assert_eq!(error_reason(&status).as_deref(), Some(reason), "{field}");
    }
}

fn fetch(change: impl FnOnce(&mut pb::FetchOptions)) -> Option<pb::CrawlConfig> {
    let mut options = pb::FetchOptions::default();
    change(&mut options);
    config(|c| c.fetch = Some(Box::new(options)))
}

fn cookie(name: &str, value: &str) -> Vec<pb::fetch_options::Cookie> {
    vec![pb::fetch_options::Cookie { name: name.to_owned(), value: value.to_owned() }]
}

#[test]
fn what_is_sent_to_sites_is_shown_to_crawlers_only() {
    let submission = read(|r| {
        r.config = fetch(|f| {
            f.headers = header("Authorization", "secret");
            f.cookies = cookie("a", "secret");
        })
    })
    .unwrap();
    let spec = &submission.spec;
    let show = |headers| super::config(spec, headers).fetch.unwrap();
    let (shown, hidden) = (show(super::Headers::Shown), show(super::Headers::Hidden));
    assert_eq!(
        (shown.headers["authorization"].as_str(), shown.cookies[0].value.as_str()),
        ("secret", "secret")
    );
    assert_eq!((hidden.headers["authorization"].as_str(), hidden.cookies[0].value.as_str()), ("***", "***"));
    assert_eq!(shown.hosts, ["example.com"]);
    assert!(!format!("{spec:?}").contains("secret"));
    let scopes: Vec<_> = spec.fetch.iter().flat_map(|fetch| fetch.scopes()).collect();
    assert_eq!(scopes, [domain::Scope::HeadersSet, domain::Scope::CookiesSet]);
}

fn proxy(server: &str, username: &str, password: &str) -> Option<pb::fetch_options::Proxy> {
    Some(pb::fetch_options::Proxy {
        server: server.to_owned(),
        username: username.to_owned(),
        password: password.to_owned(),
    })
}

#[test]
fn a_proxy_is_shown_without_who_uses_it() {
    let submission =
        read(|r| r.config = fetch(|f| f.proxy = proxy("SOCKS5h://P.example:1080", "secret-user", "secret")))
            .unwrap();
    let spec = &submission.spec;
    let show = |headers| super::config(spec, headers).fetch.unwrap().proxy;
    assert_eq!(show(super::Headers::Shown), proxy("socks5://p.example:1080", "secret-user", "secret"));
    assert_eq!(show(super::Headers::Hidden), proxy("socks5://p.example:1080", "***", "***"));
    assert!(!format!("{spec:?}").contains("secret"));
    assert_eq!(submission.scopes, [domain::Scope::ProxySet]);
    let stored = serde_json::to_value(spec).unwrap();
    assert_eq!(serde_json::from_value::<crate::spec::Spec>(stored).unwrap().fetch, spec.fetch);
}

#[test]
fn a_proxy_that_cannot_be_is_refused_by_its_field() {
    for (server, username, password, field, reason) in [
        ("", "", "", "server", "REQUIRED"),
        ("p.example:3128", "", "", "server", "UNSUPPORTED_SCHEME"),
        ("socks6://p.example:3128", "", "", "server", "UNSUPPORTED_SCHEME"),
        ("https://p.example:3128", "a:b", "", "username", "INVALID_PROXY"),
        ("socks4://p.example:1080", "a", "b", "password", "INVALID_PROXY"),
        ("http://u:p@p.example:3128", "", "", "server", "URL_CREDENTIALS"),
        ("http://p.example", "", "", "server", "PORT_NOT_ALLOWED"),
        ("http://p.example:22", "", "", "server", "PORT_NOT_ALLOWED"),
        ("http://p.example:3128/x", "", "", "server", "INVALID_URL"),
        ("http://p.example:3128", "a:b", "", "username", "INVALID_PROXY"),
        ("http://p.example:3128", "a\nb", "", "username", "INVALID_PROXY"),
        ("http://p.example:3128", "", "x", "username", "REQUIRED"),
        ("http://p.example:3128", "a", &"x".repeat(256), "password", "INVALID_PROXY"),
    ] {
        let status =
            read(|r| r.config = fetch(|f| f.proxy = proxy(server, username, password))).expect_err(server);
        let expected = (format!("config.fetch.proxy.{field}"), reason.to_owned());
        assert_eq!(violations(&status), [expected], "{server} {username:?}");
    }
}

fn selector(css: &str) -> Option<pb::Extraction> {
    let selection = pb::Selection { css_selector: css.to_owned(), ..pb::Selection::default() };
    Some(pb::Extraction { selection: Some(selection), ..pb::Extraction::default() })
}

#[test]
fn extraction_options_are_kept_shown_and_hashed() {
    let submission = read(|r| r.config = config(|c| c.extraction = selector("main"))).unwrap();
    let stored = serde_json::to_value(&submission.spec).unwrap();
    let spec: crate::spec::Spec = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(super::config(&spec, Headers::Shown).extraction, selector("main"));
    assert_ne!(submission.hash(), read(|_| {}).unwrap().hash());
    let mut before = stored;
    before.as_object_mut().unwrap().remove("extraction");
    let spec: crate::spec::Spec = serde_json::from_value(before).unwrap();
    assert_eq!(super::config(&spec, Headers::Shown).extraction, None, "jobs of before there was a choice");
}

static LONG_LABEL: std::sync::LazyLock<String> =
    std::sync::LazyLock::new(|| format!("labels[{}]", "k".repeat(64)));

#[test]
fn every_violation_is_told() {
    let status = read(|r| {
        r.urls = vec!["x".to_owned(), "http://127.0.0.1/".to_owned(), "ftp://a/".to_owned()];
        r.config = config(|c| (c.render, c.screenshot) = (pb::crawl_config::Render::Http.into(), true));
        r.priority = 9;
    })
    .unwrap_err();
    let fields: Vec<String> = violations(&status).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["urls[0]", "urls[2]", "config.screenshot", "config.render", "priority"]);
    assert_eq!(
        (status.code(), error_reason(&status).as_deref()),
        (Code::InvalidArgument, Some("INVALID_FIELD"))
    );
}

#[test]
fn a_forbidden_target_is_named_without_its_address() {
    let table: [(Change, &str); 4] = [
        (
            |r| r.config = fetch(|f| f.proxy = proxy("http://2130706433:3128", "", "")),
            "config.fetch.proxy.server",
        ),
        (|r| r.urls.push("http://2130706433/".to_owned()), "urls[1]"),
        (|r| r.urls.insert(0, "http://foo.localhost/".to_owned()), "urls[0]"),
        (|r| r.webhook = webhook(|w| w.url = "http://10.0.0.1/".to_owned()), "webhook.url"),
    ];
    for (change, field) in table {
        let status = read(change).unwrap_err();
        assert_eq!(
            (status.code(), error_reason(&status).as_deref()),
            (Code::PermissionDenied, Some("TARGET_NOT_ALLOWED"))
        );
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata["field"], field);
        assert!(!status.message().contains("127.0.0.1") && !status.message().contains("10.0.0.1"));
    }
}

#[test]
fn defaults_are_filled_in() {
    let submission = read(|r| r.webhook = webhook(|_| {})).unwrap();
    let spec = &submission.spec;
    assert_eq!((spec.render, spec.page_timeout.as_secs(), spec.max_attempts), (Render::Auto, 60, 3));
    assert_eq!((spec.keep_html, spec.screenshot, spec.result_ttl.as_secs()), (true, false, 7 * 86_400));
    assert_eq!(submission.priority, Priority::Normal);
    assert_eq!(submission.webhook.unwrap().event_types, EventType::TERMINAL);
    assert_eq!(spec.first_lane().0, Lane::Http);
    let shot = read(|r| r.config = config(|c| c.screenshot = true)).unwrap();
    assert_eq!(shot.spec.first_lane().0, Lane::Browser, "a screenshot implies the browser");
}

#[test]
fn what_shapes_the_job_shapes_the_hash() {
    let hash = |change: Change| read(change).unwrap().hash();
    let same = hash(|_| {});
    assert_eq!(hash(|r| r.wait = seconds(5)), same, "waiting does not shape it");
    assert_eq!(hash(|r| r.request_id = "other".to_owned()), same);
    let others: [Change; 5] = [
        |r| r.urls.push("https://example.com/b".to_owned()),
        |r| r.labels = header("a", "b"),
        |r| r.priority = pb::job::Priority::High.into(),
        |r| r.config = config(|c| c.max_attempts = Some(4)),
        |r| r.webhook = webhook(|_| {}),
    ];
    for other in others {
        assert_ne!(hash(other), same);
    }
}

#[test]
fn lists_are_bound_to_their_tokens() {
    let (tenant, job) = (TenantId::new(), JobId::new());
    let request = pb::ListPagesRequest { parent: job.name(), ..Default::default() };
    let (_, list) = list_pages(tenant, &request).unwrap();
    assert_eq!((list.size, list.after), (100, None));
    let token = list.token(&41);
    let next = pb::ListPagesRequest { page_token: token, page_size: 1_000_000, ..request };
    let (_, list) = list_pages(tenant, &next).unwrap();
    assert_eq!((list.size, list.after), (1000, Some(41)));

    let others = [
        (TenantId::new(), next.clone()),
        (tenant, pb::ListPagesRequest { parent: JobId::new().name(), ..next.clone() }),
        (tenant, pb::ListPagesRequest { verdict: page::Verdict::Ok.into(), ..next.clone() }),
        (tenant, pb::ListPagesRequest { page_token: "garbage".to_owned(), ..next.clone() }),
    ];
    for (tenant, request) in others {
        let status = list_pages(tenant, &request).unwrap_err();
        assert_eq!(violations(&status), [("page_token".to_owned(), "INVALID_PAGE_TOKEN".to_owned())]);
    }
    for (request, field) in [
        (pb::ListPagesRequest { page_size: -1, ..next.clone() }, "page_size"),
        (pb::ListPagesRequest { verdict: 77, ..next.clone() }, "verdict"),
        (pb::ListPagesRequest { parent: "jobs/1".to_owned(), ..next }, "parent"),
    ] {
        let status = list_pages(tenant, &request).unwrap_err();
        assert_eq!(violations(&status)[0].0, field);
    }
}

#[test]
fn answers_are_cut_to_their_budget() {
    let page = |n: usize| pb::Page { url: "u".repeat(n), ..Default::default() };
    let mut pages = vec![page(100), page(100), page(100)];
    assert!(!fit(&mut pages, 1000) && pages.len() == 3);
    assert!(fit(&mut pages, 250) && pages.len() == 2);
    assert!(fit(&mut pages, 10) && pages.len() == 1, "one item always goes");
}

#[test]
fn verdicts_have_the_same_words_on_every_wire() {
    for &verdict in Verdict::ALL {
        let word = verdict.as_str().to_ascii_uppercase();
        let number = page::Verdict::from_str_name(&word).unwrap_or_else(|| panic!("{word} has no number"));
        assert_eq!(list::read_verdict(number), Some(verdict));
    }
    assert_eq!(list::read_verdict(page::Verdict::Unspecified), None);
}

#[test]
fn garbage_on_the_queue_is_not_an_outcome() {
    let good = work::PageOutcome {
        page: page_name(JobId::new(), PageId::new()),
        dispatch_sequence: 3,
        kind: work::page_outcome::Kind::Final.into(),
        verdict: page::Verdict::Ok.into(),
        detail: "a\0b".to_owned(),
        crashes: -4,
        retry_after_seconds: Some(-1),
        ..Default::default()
    };
    let outcome = read_outcome(&good.encode_to_vec()).unwrap();
    assert_eq!((outcome.kind, outcome.verdict, outcome.dispatch_seq), (Kind::Final, Some(Verdict::Ok), 3));
    assert_eq!((outcome.detail.as_str(), outcome.crashes, outcome.retry_after), ("ab", 0, None));

    let bad = [
        b"\xff\xff\xff".to_vec(),
        Vec::new(),
        work::PageOutcome { page: "pages/1".to_owned(), ..good.clone() }.encode_to_vec(),
        work::PageOutcome { kind: 0, ..good.clone() }.encode_to_vec(),
        work::PageOutcome { kind: 42, ..good.clone() }.encode_to_vec(),
        work::PageOutcome { verdict: 99, ..good }.encode_to_vec(),
    ];
    for payload in bad {
        assert!(read_outcome(&payload).is_err());
    }
}
