//! `BrowserOptions` as the browser lane takes them, defaults filled in.

use std::time::Duration;

use api::job::v1::{self as pb, browser_action::Action as Wire, browser_options::WaitUntil};

use crate::browser::options::{
    Action, Area, Arrival, Block, Cookie, Identity, Keep, Options, Place, Scan, Viewport, VirtualScroll,
    WaitFor,
};

const SCROLL_PAUSE: Duration = Duration::from_millis(200);
const SCAN_STEPS: u32 = 40;
const VIRTUAL_PAUSE: Duration = Duration::from_millis(500);
const VIRTUAL_STEPS: u32 = 10;
/// Metres.
const ACCURACY: f64 = 10.0;

/// Reads the options of a job with this `screenshot` setting.
pub(super) fn read(options: pb::BrowserOptions, screenshot: bool) -> Options {
    let area = if options.full_page { Area::FullPage } else { Area::Viewport };
    let keep = Keep {
        screenshot: screenshot.then_some(area),
        pdf: options.pdf,
        mhtml: options.mhtml,
        har: options.har,
        console: options.console,
    };
    Options {
        arrival: match options.wait_until() {
            WaitUntil::Unspecified => Arrival::Settled,
            WaitUntil::Load => Arrival::Load,
            WaitUntil::DomContentLoaded => Arrival::Parsed,
            WaitUntil::NetworkIdle => Arrival::Idle,
        },
        wait_for: wait_for(&options.wait_for),
        wait_timeout: options.wait_for_timeout.and_then(|limit| limit.try_into().ok()),
        delay: duration(options.delay_before_return_html, Duration::ZERO),
        virtual_scroll: options.virtual_scroll.as_ref().map(|scroll| VirtualScroll {
            container: scroll.container_selector.clone(),
            steps: count(scroll.scroll_count, VIRTUAL_STEPS),
            step: scroll.scroll_by.and_then(|pixels| pixels.try_into().ok()),
            pause: duration(scroll.wait_after_scroll, VIRTUAL_PAUSE),
        }),
        scan: options.scan_full_page.map(|scan| Scan {
            steps: count(scan.max_steps, SCAN_STEPS),
            pause: duration(scan.scroll_delay, SCROLL_PAUSE),
        }),
        remove_consent: options.remove_consent_popups,
        remove_overlays: options.remove_overlays,
        flatten_frames: options.flatten_iframes,
        flatten_shadow: options.flatten_shadow_dom,
        block: block(&options, keep),
        keep,
        actions: options.actions.iter().filter_map(action).collect(),
        scripts_before: options.js_code_before_wait.clone(),
        scripts: options.js_code.clone(),
        identity: identity(options),
    }
}

fn block(options: &pb::BrowserOptions, keep: Keep) -> Block {
    let pictured = keep.screenshot.is_some() || keep.pdf || keep.mhtml;
    let text = if options.text_mode.unwrap_or(!pictured) { Block::TEXT } else { Block::default() };
    let asked = options.block.unwrap_or_default();
    Block {
        images: text.images || asked.images,
        media: text.media || asked.media,
        fonts: text.fonts || asked.fonts,
        stylesheets: text.stylesheets || asked.stylesheets,
        ads: asked.ads,
    }
}

fn identity(options: pb::BrowserOptions) -> Identity {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    Identity {
        viewport: options.viewport.map(|window| Viewport {
            width: window.width.unsigned_abs(),
            height: window.height.unsigned_abs(),
            scale: window.device_scale_factor.unwrap_or(1.0),
        }),
        locale: some(options.locale),
        timezone: some(options.timezone),
        place: options.geolocation.map(|place| Place {
            latitude: place.latitude,
            longitude: place.longitude,
            accuracy: place.accuracy.unwrap_or(ACCURACY),
        }),
        user_agent: some(options.user_agent),
        headers: options.headers.into_iter().collect(),
        cookies: options.cookies.into_iter().map(cookie).collect(),
        storage: options
            .local_storage
            .into_iter()
            .map(|storage| {
                (storage.origin.trim_end_matches('/').to_owned(), storage.items.into_iter().collect())
            })
            .collect(),
    }
}

fn cookie(cookie: pb::Cookie) -> Cookie {
    let path = if cookie.path.is_empty() { "/".to_owned() } else { cookie.path };
    Cookie {
        name: cookie.name,
        value: cookie.value,
        domain: cookie.domain,
        path,
        secure: cookie.secure,
        http_only: cookie.http_only,
    }
}

fn action(action: &pb::BrowserAction) -> Option<Action> {
    Some(match action.action.as_ref()? {
        Wire::Click(click) => Action::Click(click.selector.clone()),
        Wire::Type(typed) => Action::Type { selector: typed.selector.clone(), text: typed.text.clone() },
        Wire::Press(key) => Action::Press(key.clone()),
        Wire::ScrollBy(pixels) => Action::ScrollBy(*pixels),
        Wire::Wait(wait) => Action::Wait(duration(Some(*wait), Duration::ZERO)),
        Wire::WaitForSelector(selector) => Action::WaitFor(selector.clone()),
        Wire::Screenshot(true) => Action::Screenshot,
        Wire::Screenshot(false) => return None,
    })
}

fn wait_for(text: &str) -> Option<WaitFor> {
    let css = text.strip_prefix("css:").map(|selector| WaitFor::Css(selector.to_owned()));
    css.or_else(|| text.strip_prefix("js:").map(|expression| WaitFor::Js(expression.to_owned())))
}

fn duration(value: Option<prost_types::Duration>, default: Duration) -> Duration {
    value.and_then(|value| value.try_into().ok()).unwrap_or(default)
}

fn count(value: Option<i32>, default: u32) -> u32 {
    value.and_then(|value| value.try_into().ok()).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_all_that_is_loaded_unless_a_picture_is_wanted() {
        let none = pb::BrowserOptions::default;
        assert_eq!(read(none(), false).block, Block::TEXT);
        assert_eq!(read(none(), true).block, Block::default());
        assert_eq!(read(pb::BrowserOptions { pdf: true, ..none() }, false).block, Block::default());
        let full = pb::BrowserOptions { text_mode: Some(false), ..none() };
        assert_eq!(read(full, false).block, Block::default());
        let block = Some(pb::Block { stylesheets: true, ..pb::Block::default() });
        let styles = read(pb::BrowserOptions { block, ..none() }, true).block;
        assert_eq!(styles, Block { stylesheets: true, ..Block::default() });
    }

    #[test]
    fn an_option_is_read_as_it_was_sent() {
        let options = read(
            pb::BrowserOptions {
                wait_for: "js:window.ready".into(),
                wait_until: WaitUntil::NetworkIdle.into(),
                full_page: true,
                scan_full_page: Some(pb::ScanFullPage::default()),
                actions: vec![
                    pb::BrowserAction { action: Some(Wire::Screenshot(false)) },
                    pb::BrowserAction { action: Some(Wire::Press("Enter".into())) },
                ],
                ..pb::BrowserOptions::default()
            },
            true,
        );
        assert_eq!(options.wait_for, Some(WaitFor::Js("window.ready".into())));
        assert_eq!((options.arrival, options.keep.screenshot), (Arrival::Idle, Some(Area::FullPage)));
        assert_eq!(options.actions, [Action::Press("Enter".into())]);
        assert_eq!(options.scan, Some(Scan { steps: SCAN_STEPS, pause: SCROLL_PAUSE }));
        assert!(options.steps() && options.acts());
    }
}
