//! Reads `BrowserOptions`: what may be asked of a page in the browser, and which scopes that needs.
//!
//! Promises: every violation is found; what is stored holds exactly what was sent. Values that may be credentials are not shown again.

mod actions;
mod identity;
#[cfg(test)]
mod tests;

use std::{ops::RangeInclusive, time::Duration};

use api::job::v1::{self as pb, browser_action::Action, browser_options::WaitUntil};
use domain::Scope;
use mesh::Violations;
use prost::Message;

use super::reply::{HIDDEN, Headers};
use crate::spec::{self, Browser, Render};

const MAX_MESSAGE: usize = 64 << 10;
const MAX_WAIT_FOR: usize = 4096;
const MAX_SCRIPTS: usize = 10;
const MAX_SCRIPT_BYTES: usize = 32 << 10;
const MAX_SELECTOR: usize = 1024;
const PIXELS: RangeInclusive<i32> = 16..=4096;
const SCALE: RangeInclusive<f64> = 0.5..=3.0;
const STEPS: RangeInclusive<i32> = 1..=200;
const STEP_PIXELS: RangeInclusive<i32> = 1..=10_000;
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(300));
const DELAY: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(60));
const STEP_PAUSE: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(10));

/// What else was asked for the page.
pub(super) struct Asked {
    pub(super) render: Render,
    pub(super) screenshot: bool,
}

/// Reads the options. `None`: they ask for nothing.
pub(super) fn read(
    options: pb::BrowserOptions,
    asked: &Asked,
    scopes: &mut Vec<Scope>,
    violations: &mut Violations,
) -> Option<Browser> {
    let message = options.encode_to_vec();
    if message.is_empty() {
        return None;
    }
    if message.len() > MAX_MESSAGE {
        violations.add("config.browser", "TOO_LARGE", format!("is larger than {MAX_MESSAGE} bytes"));
        return None;
    }
    let mut check = Check { violations };
    check.waits(&options);
    check.window(&options);
    check.scripts(&options);
    check.scrolling(&options);
    identity::check(&options, &mut check);
    actions::check(&options.actions, asked.screenshot, &mut check);
    let demand = demand(&options);
    if asked.render == Render::Http {
        for field in ["config.browser", "config.render"] {
            check.add(field, "CONFLICT", "browser options need the browser, but `render` is `HTTP`");
        }
    }
    if options.full_page && !asked.screenshot {
        check.add("config.browser.full_page", "CONFLICT", "needs `screenshot`");
    }
    if needs_script(&options) {
        scopes.push(Scope::BrowserScript);
    }
    scopes.extend(identity::scopes(&options));
    Some(Browser { message: spec::Message(message), demand: demand.map(str::to_owned) })
}

/// The options as callers see them.
pub(super) fn reply(browser: &Browser, headers: Headers) -> pb::BrowserOptions {
    // It was encoded by `read`.
    let mut options = pb::BrowserOptions::decode(browser.message.0.as_slice()).unwrap_or_default();
    if headers == Headers::Hidden {
        let values =
            options.headers.values_mut().chain(options.cookies.iter_mut().map(|cookie| &mut cookie.value));
        let items = options.local_storage.iter_mut().flat_map(|storage| storage.items.values_mut());
        let typed = options.actions.iter_mut().filter_map(|action| match &mut action.action {
            Some(Action::Type(typed)) => Some(&mut typed.text),
            _ => None,
        });
        for value in values.chain(items).chain(typed) {
            HIDDEN.clone_into(value);
        }
    }
    options
}

/// The first option that only the browser can fulfil; the others only shape what it does.
fn demand(options: &pb::BrowserOptions) -> Option<&'static str> {
    let demands = [
        (options.wait_until != 0, "wait_until"),
        (!options.wait_for.is_empty(), "wait_for"),
        (options.wait_for_timeout.is_some(), "wait_for_timeout"),
        (options.delay_before_return_html.is_some(), "delay_before_return_html"),
        (!options.locale.is_empty(), "locale"),
        (!options.timezone.is_empty(), "timezone"),
        (options.geolocation.is_some(), "geolocation"),
        (!options.user_agent.is_empty(), "user_agent"),
        (!options.headers.is_empty(), "headers"),
        (!options.cookies.is_empty(), "cookies"),
        (!options.local_storage.is_empty(), "local_storage"),
        (!options.js_code.is_empty(), "js_code"),
        (!options.js_code_before_wait.is_empty(), "js_code_before_wait"),
        (!options.actions.is_empty(), "actions"),
        (options.scan_full_page.is_some(), "scan_full_page"),
        (options.virtual_scroll.is_some(), "virtual_scroll"),
        (options.remove_overlays, "remove_overlays"),
        (options.remove_consent_popups, "remove_consent_popups"),
        (options.flatten_iframes, "flatten_iframes"),
        (options.flatten_shadow_dom, "flatten_shadow_dom"),
        (options.full_page, "full_page"),
        (options.pdf, "pdf"),
        (options.mhtml, "mhtml"),
        (options.har, "har"),
        (options.console, "console"),
    ];
    demands.iter().find(|(asked, _)| *asked).map(|(_, name)| *name)
}

fn needs_script(options: &pb::BrowserOptions) -> bool {
    let scripts = !options.js_code.is_empty() || !options.js_code_before_wait.is_empty();
    scripts || options.wait_for.starts_with("js:")
}

/// Collects what is wrong, by the path below `config.browser`.
struct Check<'a> {
    violations: &'a mut Violations,
}

impl Check<'_> {
    fn add(&mut self, field: &str, reason: &'static str, text: impl Into<String>) {
        self.violations.add(field, reason, text.into());
    }

    fn field(&mut self, name: &str, reason: &'static str, text: impl Into<String>) {
        self.violations.add(format!("config.browser.{name}"), reason, text.into());
    }

    fn duration(&mut self, name: &str, value: Option<prost_types::Duration>, range: (Duration, Duration)) {
        super::read_duration(&format!("config.browser.{name}"), value, range.0, range, self.violations);
    }

    fn within<T: PartialOrd + std::fmt::Display>(&mut self, name: &str, value: T, range: &RangeInclusive<T>) {
        if !range.contains(&value) {
            self.field(name, "OUT_OF_RANGE", format!("must be from {} to {}", range.start(), range.end()));
        }
    }

    fn count(&mut self, name: &str, count: usize, max: usize) -> bool {
        if count > max {
            self.field(name, "TOO_MANY", format!("has {count} items, more than {max}"));
        }
        count <= max
    }

    fn selector(&mut self, name: &str, selector: &str) {
        if selector.trim().is_empty() {
            self.field(name, "REQUIRED", "is required");
        } else if selector.len() > MAX_SELECTOR || selector.contains('\0') {
            self.field(
                name,
                "INVALID_SELECTOR",
                format!("must be a CSS selector of at most {MAX_SELECTOR} bytes"),
            );
        }
    }

    fn waits(&mut self, options: &pb::BrowserOptions) {
        if WaitUntil::try_from(options.wait_until).is_err() {
            self.field("wait_until", "UNKNOWN_VALUE", "is not a known value");
        }
        if !options.wait_for.is_empty() {
            let asked =
                options.wait_for.strip_prefix("css:").or_else(|| options.wait_for.strip_prefix("js:"));
            match asked {
                None => self.field("wait_for", "INVALID_WAIT_FOR", "must begin with `css:` or `js:`"),
                Some(asked) if asked.trim().is_empty() => {
                    self.field("wait_for", "INVALID_WAIT_FOR", "says nothing to wait for")
                }
                Some(_) if options.wait_for.len() > MAX_WAIT_FOR => {
                    self.field(
                        "wait_for",
                        "INVALID_WAIT_FOR",
                        format!("is longer than {MAX_WAIT_FOR} bytes"),
                    );
                }
                Some(_) => {}
            }
        }
        self.duration("wait_for_timeout", options.wait_for_timeout, WAIT);
        self.duration("delay_before_return_html", options.delay_before_return_html, DELAY);
    }

    fn window(&mut self, options: &pb::BrowserOptions) {
        if let Some(viewport) = &options.viewport {
            self.within("viewport.width", viewport.width, &PIXELS);
            self.within("viewport.height", viewport.height, &PIXELS);
            if let Some(scale) = viewport.device_scale_factor {
                self.within("viewport.device_scale_factor", scale, &SCALE);
            }
        }
        if let Some(place) = &options.geolocation {
            self.within("geolocation.latitude", place.latitude, &(-90.0..=90.0));
            self.within("geolocation.longitude", place.longitude, &(-180.0..=180.0));
            if let Some(accuracy) = place.accuracy {
                self.within("geolocation.accuracy", accuracy, &(0.0..=100_000.0));
            }
        }
    }

    fn scripts(&mut self, options: &pb::BrowserOptions) {
        let mut bytes = 0;
        for (name, scripts) in
            [("js_code", &options.js_code), ("js_code_before_wait", &options.js_code_before_wait)]
        {
            if !self.count(name, scripts.len(), MAX_SCRIPTS) {
                continue;
            }
            for (index, script) in scripts.iter().enumerate() {
                bytes += script.len();
                if script.trim().is_empty() {
                    self.field(&format!("{name}[{index}]"), "REQUIRED", "is empty");
                }
            }
        }
        if bytes > MAX_SCRIPT_BYTES {
            self.field(
                "js_code",
                "TOO_LARGE",
                format!("scripts have more than {MAX_SCRIPT_BYTES} bytes together"),
            );
        }
    }

    fn scrolling(&mut self, options: &pb::BrowserOptions) {
        if let Some(scan) = &options.scan_full_page {
            self.duration("scan_full_page.scroll_delay", scan.scroll_delay, STEP_PAUSE);
            if let Some(steps) = scan.max_steps {
                self.within("scan_full_page.max_steps", steps, &STEPS);
            }
        }
        if let Some(scroll) = &options.virtual_scroll {
            self.selector("virtual_scroll.container_selector", &scroll.container_selector);
            self.duration("virtual_scroll.wait_after_scroll", scroll.wait_after_scroll, STEP_PAUSE);
            if let Some(count) = scroll.scroll_count {
                self.within("virtual_scroll.scroll_count", count, &STEPS);
            }
            if let Some(pixels) = scroll.scroll_by {
                self.within("virtual_scroll.scroll_by", pixels, &STEP_PIXELS);
            }
        }
    }
}
