//! Browser options as callers send them, one by one.

use std::collections::BTreeMap;

use api::job::v1::{
    BrowserAction, Cookie, Geolocation, LocalStorage, ScanFullPage, Viewport, VirtualScroll,
    browser_action::{Click, TypeText},
};
use pb::BrowserOptions;

use super::*;

const AUTO: Asked = Asked { render: Render::Auto, screenshot: false };

fn read_as(options: BrowserOptions, asked: &Asked) -> Result<(Option<Browser>, Vec<Scope>), Vec<String>> {
    let (mut scopes, mut violations) = (Vec::new(), Violations::new());
    let browser = read(options, asked, &mut scopes, &mut violations);
    match violations.into_result() {
        Ok(()) => Ok((browser, scopes)),
        Err(status) => {
            use tonic_types::StatusExt;
            let wrong = status.get_details_bad_request().expect("because fields are wrong").field_violations;
            Err(wrong.into_iter().map(|violation| violation.field).collect())
        }
    }
}

fn wrong(options: BrowserOptions) -> Vec<String> {
    read_as(options, &AUTO).expect_err("because something is wrong")
}

fn action(action: Action) -> BrowserAction {
    BrowserAction { action: Some(action) }
}

fn map(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

#[test]
fn what_shapes_a_page_does_not_demand_a_browser_and_everything_else_does() {
    let demand = |options: BrowserOptions| read_as(options, &AUTO).unwrap().0.map(|browser| browser.demand);
    assert_eq!(demand(BrowserOptions::default()), None);
    let viewport = Some(Viewport { width: 800, height: 600, device_scale_factor: None });
    assert_eq!(
        demand(BrowserOptions { viewport, text_mode: Some(true), ..BrowserOptions::default() }),
        Some(None)
    );
    let wait = BrowserOptions { wait_for: "css:h1".into(), ..BrowserOptions::default() };
    assert_eq!(demand(wait), Some(Some("wait_for".into())));
}

#[test]
fn dangerous_options_need_a_scope() {
    let scopes = |options: BrowserOptions| read_as(options, &AUTO).unwrap().1;
    assert_eq!(scopes(BrowserOptions { wait_for: "css:h1".into(), ..BrowserOptions::default() }), []);
    for options in [
        BrowserOptions { wait_for: "js:true".into(), ..BrowserOptions::default() },
        BrowserOptions { js_code: vec!["1".into()], ..BrowserOptions::default() },
        BrowserOptions { js_code_before_wait: vec!["1".into()], ..BrowserOptions::default() },
    ] {
        assert_eq!(scopes(options), [Scope::BrowserScript]);
    }
    let cookie =
        Cookie { name: "a".into(), value: "b".into(), domain: ".example.com".into(), ..Cookie::default() };
    let storage = LocalStorage { origin: "https://example.com".into(), items: map("a", "b") };
    for (options, scope) in [
        (BrowserOptions { user_agent: "x".into(), ..BrowserOptions::default() }, Scope::HeadersSet),
        (BrowserOptions { headers: map("x-a", "b"), ..BrowserOptions::default() }, Scope::HeadersSet),
        (BrowserOptions { cookies: vec![cookie], ..BrowserOptions::default() }, Scope::CookiesSet),
        (BrowserOptions { local_storage: vec![storage], ..BrowserOptions::default() }, Scope::CookiesSet),
    ] {
        assert_eq!(scopes(options), [scope]);
    }
}

#[test]
fn every_mistake_is_named() {
    let none = BrowserOptions::default;
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let cookie = |name: &str, value: &str, domain: &str, path: &str| Cookie {
        name: name.into(),
        value: value.into(),
        domain: domain.into(),
        path: path.into(),
        ..Cookie::default()
    };
    for (options, field) in [
        (BrowserOptions { wait_until: 9, ..none() }, "wait_until"),
        (BrowserOptions { wait_for: "h1".into(), ..none() }, "wait_for"),
        (BrowserOptions { wait_for: "css: ".into(), ..none() }, "wait_for"),
        (BrowserOptions { wait_for: format!("css:{}", "a".repeat(5000)), ..none() }, "wait_for"),
        (BrowserOptions { wait_for_timeout: seconds(301), ..none() }, "wait_for_timeout"),
        (BrowserOptions { delay_before_return_html: seconds(61), ..none() }, "delay_before_return_html"),
        (
            BrowserOptions {
                viewport: Some(Viewport { width: 0, height: 600, device_scale_factor: None }),
                ..none()
            },
            "viewport.width",
        ),
        (
            BrowserOptions {
                viewport: Some(Viewport { width: 80, height: 60, device_scale_factor: Some(100.0) }),
                ..none()
            },
            "viewport.device_scale_factor",
        ),
        (
            BrowserOptions {
                geolocation: Some(Geolocation { latitude: f64::NAN, longitude: 0.0, accuracy: None }),
                ..none()
            },
            "geolocation.latitude",
        ),
        (BrowserOptions { locale: "x".into(), ..none() }, "locale"),
        (BrowserOptions { timezone: "../etc".into(), ..none() }, "timezone"),
        (BrowserOptions { user_agent: "a\r\nb".into(), ..none() }, "user_agent"),
        (BrowserOptions { headers: map("Host", "b"), ..none() }, "headers[Host]"),
        (BrowserOptions { headers: map("Sec-Fetch-Mode", "b"), ..none() }, "headers[Sec-Fetch-Mode]"),
        (BrowserOptions { headers: map("x", "a\nb"), ..none() }, "headers[x]"),
        (BrowserOptions { cookies: vec![cookie("a b", "", "a.example", "")], ..none() }, "cookies[0].name"),
        (BrowserOptions { cookies: vec![cookie("a", "b;c", "a.example", "")], ..none() }, "cookies[0].value"),
        (
            BrowserOptions { cookies: vec![cookie("a", "b", "a.example/x", "")], ..none() },
            "cookies[0].domain",
        ),
        (BrowserOptions { cookies: vec![cookie("a", "b", "a.example", "x")], ..none() }, "cookies[0].path"),
        (
            BrowserOptions {
                local_storage: vec![LocalStorage {
                    origin: "https://a.example/x".into(),
                    items: map("a", "b"),
                }],
                ..none()
            },
            "local_storage[0].origin",
        ),
        (BrowserOptions { js_code: vec![" ".into()], ..none() }, "js_code[0]"),
        (BrowserOptions { js_code: vec!["x".repeat(40 << 10)], ..none() }, "js_code"),
        (BrowserOptions { js_code: vec!["1".into(); 11], ..none() }, "js_code"),
        (BrowserOptions { actions: vec![BrowserAction::default()], ..none() }, "actions[0]"),
        (
            BrowserOptions {
                actions: vec![action(Action::Click(Click { selector: String::new() }))],
                ..none()
            },
            "actions[0].click.selector",
        ),
        (
            BrowserOptions {
                actions: vec![action(Action::Type(TypeText { selector: "a".into(), text: String::new() }))],
                ..none()
            },
            "actions[0].type.text",
        ),
        (BrowserOptions { actions: vec![action(Action::Press("F99".into()))], ..none() }, "actions[0].press"),
        (
            BrowserOptions { actions: vec![action(Action::Screenshot(true))], ..none() },
            "actions[0].screenshot",
        ),
        (BrowserOptions { actions: vec![action(Action::ScrollBy(1)); 31], ..none() }, "actions"),
        (
            BrowserOptions {
                scan_full_page: Some(ScanFullPage { max_steps: Some(0), ..ScanFullPage::default() }),
                ..none()
            },
            "scan_full_page.max_steps",
        ),
        (
            BrowserOptions { virtual_scroll: Some(VirtualScroll::default()), ..none() },
            "virtual_scroll.container_selector",
        ),
        (BrowserOptions { full_page: true, ..none() }, "full_page"),
    ] {
        assert_eq!(wrong(options), [format!("config.browser.{field}")]);
    }
    assert_eq!(
        wrong(BrowserOptions { wait_for: format!("css:{}", "a".repeat(70 << 10)), ..none() }),
        ["config.browser"]
    );
}

#[test]
fn over_plain_http_they_are_refused() {
    let asked = Asked { render: Render::Http, screenshot: false };
    let options = BrowserOptions { text_mode: Some(true), ..BrowserOptions::default() };
    assert_eq!(read_as(options, &asked).unwrap_err(), ["config.browser", "config.render"]);
}

#[test]
fn what_may_be_a_credential_is_shown_to_the_crawler_only() {
    let options = BrowserOptions {
        headers: map("authorization", "secret"),
        cookies: vec![Cookie {
            name: "a".into(),
            value: "secret".into(),
            domain: "a.example".into(),
            ..Cookie::default()
        }],
        local_storage: vec![LocalStorage {
            origin: "https://a.example".into(),
            items: map("token", "secret"),
        }],
        actions: vec![action(Action::Type(TypeText { selector: "#p".into(), text: "secret".into() }))],
        ..BrowserOptions::default()
    };
    let browser = read_as(options.clone(), &AUTO).unwrap().0.unwrap();
    assert_eq!(reply(&browser, Headers::Shown), options);
    let hidden = reply(&browser, Headers::Hidden);
    assert!(!format!("{hidden:?}").contains("secret") && !format!("{browser:?}").contains("secret"));
    let stored: Browser = serde_json::from_str(&serde_json::to_string(&browser).unwrap()).unwrap();
    assert_eq!(stored, browser);
}
