//! How far from its seed a crawl goes.

use serde::{Deserialize, Serialize};

use crate::PageUrl;

/// How far from its seed a crawl goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// The seed's host, with or without `www.`, over http or https.
    Host,
    /// The seed's host without `www.`, and the hosts below it.
    Subdomains,
    /// The seed's host, and paths in the folder of the seed.
    Path,
    /// Anywhere.
    Any,
}

impl Reach {
    /// Whether a link of a page that descends from `seed` stays within it.
    #[must_use]
    pub fn covers(self, seed: &PageUrl, link: &PageUrl) -> bool {
        let same_host = || port(seed) == port(link) && bare(seed.host()) == bare(link.host());
        match self {
            Self::Any => true,
            Self::Host => same_host(),
            Self::Subdomains => port(seed) == port(link) && below(link.host(), bare(seed.host())),
            Self::Path => same_host() && link.as_url().path().starts_with(folder(seed.as_url().path())),
        }
    }

    /// The name of this as a rule that let a link in.
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Self::Host => "same host",
            Self::Subdomains => "same domain",
            Self::Path => "same path",
            Self::Any => "any",
        }
    }

    /// The name of this as a rule that kept a link out.
    pub(super) const fn outside(self) -> &'static str {
        match self {
            Self::Host => "other host",
            Self::Subdomains => "other domain",
            Self::Path => "other path",
            Self::Any => "any",
        }
    }
}

/// Whether a host is `name` or below it. Addresses have nothing below them.
pub(super) fn below(host: &str, name: &str) -> bool {
    host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.') && !rest.starts_with('['))
}

fn bare(host: &str) -> &str {
    host.strip_prefix("www.").unwrap_or(host)
}

/// The port, if it is not one of those that browsers do not show.
fn port(url: &PageUrl) -> Option<u16> {
    url.as_url().port().filter(|port| !matches!(port, 80 | 443))
}

/// `/a/b` and `/a/` are in `/a/`.
fn folder(path: &str) -> &str {
    path.rfind('/').map_or("/", |at| &path[..=at])
}
