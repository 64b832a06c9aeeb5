//! What to do in a page, step by step.

use std::time::Duration;

use api::job::v1::{self as pb, browser_action::Action};

use super::Check;

const MAX_ACTIONS: usize = 30;
const MAX_TEXT: usize = 4096;
const SCROLL: std::ops::RangeInclusive<i32> = -100_000..=100_000;
const PAUSE: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(60));
/// Keys beside single printable characters.
const KEYS: [&str; 15] = [
    "Enter",
    "Tab",
    "Escape",
    "Backspace",
    "Delete",
    "Home",
    "End",
    "PageUp",
    "PageDown",
    "ArrowUp",
    "ArrowDown",
    "ArrowLeft",
    "ArrowRight",
    "Space",
    "Insert",
];

/// Holds the actions against the rules.
pub(super) fn check(actions: &[pb::BrowserAction], screenshot: bool, check: &mut Check<'_>) {
    if !check.count("actions", actions.len(), MAX_ACTIONS) {
        return;
    }
    let mut taken = false;
    for (index, action) in actions.iter().enumerate() {
        let at = |name: &str| format!("actions[{index}].{name}");
        match &action.action {
            None => check.field(&format!("actions[{index}]"), "REQUIRED", "does nothing"),
            Some(Action::Click(click)) => check.selector(&at("click.selector"), &click.selector),
            Some(Action::Type(typed)) => {
                check.selector(&at("type.selector"), &typed.selector);
                if typed.text.is_empty() || typed.text.len() > MAX_TEXT {
                    check.field(&at("type.text"), "OUT_OF_RANGE", format!("must have 1 to {MAX_TEXT} bytes"));
                }
            }
            Some(Action::Press(key)) => {
                let printable = key.len() == 1 && key.bytes().all(|byte| byte.is_ascii_graphic());
                if !printable && !KEYS.contains(&key.as_str()) {
                    check.field(
                        &at("press"),
                        "UNKNOWN_VALUE",
                        format!("must be a printable character or one of {}", KEYS.join(", ")),
                    );
                }
            }
            Some(Action::ScrollBy(pixels)) => check.within(&at("scroll_by"), *pixels, &SCROLL),
            Some(Action::Wait(wait)) => check.duration(&at("wait"), Some(*wait), PAUSE),
            Some(Action::WaitForSelector(selector)) => check.selector(&at("wait_for_selector"), selector),
            Some(Action::Screenshot(true)) if !screenshot => {
                check.field(&at("screenshot"), "CONFLICT", "needs `screenshot`");
            }
            Some(Action::Screenshot(true)) if taken => {
                check.field(&at("screenshot"), "TOO_MANY", "is the second one; a page has one screenshot");
            }
            Some(Action::Screenshot(wanted)) => taken |= wanted,
        }
    }
}
