//! The settings, and what the tests of this crate share.

use mesh::config::with;

use crate::Config;

/// The defaults with `overlay` on top.
pub(crate) fn config(overlay: &str) -> Config {
    with::<Config>(overlay.parse().expect("because the overlay is TOML"))
        .expect("because the settings are sound")
}

#[test]
fn the_defaults_are_sound() {
    let config = config("");
    assert_eq!((config.http.slots, config.browser.slots), (16, 2));
}

#[test]
fn contradictions_are_named_together() {
    let overlay = "http.slots = 0\nbrowser.slots = 99\nbrowser.quiet = \"1h\"\nqueue.replicas = 2\negress.max_ratio = 0\n\
                   proxy.max_connections = 0";
    let problems = with::<Config>(overlay.parse().unwrap()).unwrap_err().to_string();
    for key in [
        "http.slots",
        "browser.slots",
        "browser.settle_cap",
        "queue",
        "egress.max_ratio",
        "proxy.max_connections",
    ] {
        assert!(problems.contains(key), "{key} in {problems}");
    }
}
