//! The settings, and what the tests of this crate share.

use api::job::v1::page::Kind;
use domain::{JobId, PageId, PageUrl, TenantId};
use mesh::config::with;

use crate::Config;
use crate::task::Task;

/// The defaults with `overlay` on top.
pub(crate) fn config(overlay: &str) -> Config {
    with::<Config>(overlay.parse().expect("because the overlay is TOML"))
        .expect("because the settings are sound")
}

/// The task for a page at this depth of a crawl.
pub(crate) fn task(page: &str, depth: u32) -> Task {
    let url = |text: &str| PageUrl::parse(text).expect("because it is a URL");
    Task {
        job: JobId::new(),
        page: PageId::new(),
        tenant: TenantId::new(),
        dispatch_sequence: 1,
        url: url(page),
        spec_version: 1,
        attempts: 0,
        crashes: 0,
        lane_reason: String::new(),
        deliveries: 1,
        depth,
        seed: (depth > 0).then(|| url("https://example.com/")),
        kind: Kind::Page,
    }
}

#[test]
fn the_defaults_are_sound() {
    let config = config("");
    assert_eq!((config.http.slots, config.browser.slots), (16, 12));
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
