//! robots.txt: what a site asks crawlers to leave alone (RFC 9309).
//!
//! Promises: each scheme, host and port is asked once, however many pages wait for the answer, and not again before the
//! answer is old; the rules that were not read forbid (server error, no connection) unless there are none (4xx). The
//! file is fetched through the guarded client. What is remembered is bounded in hosts and in bytes.

mod cache;
mod config;
mod fetch;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use domain::PageUrl;
use moka::future::Cache;
use url::Position;

pub use config::{Config, DEFAULTS};

use crate::{Client, Relay};
use cache::{Kept, Policy};
use rules::Rules;

const FILE: &str = "/robots.txt";
/// Byte comparisons that are done at once; more of them, 64 ms at the worst, go to a thread that may block.
const INLINE_WORK: usize = 1 << 20;

/// Whether robots.txt lets us fetch a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It does, or has nothing to say.
    Allowed {
        /// The pause between two fetches that the site asks for; at most `max_crawl_delay`.
        crawl_delay: Option<Duration>,
    },
    /// It does not.
    Denied {
        /// A few words for the ledger, from a closed set.
        why: &'static str,
    },
    /// There was no answer: the site failed, or cannot be reached. RFC 9309 has this forbid everything.
    Unreachable {
        /// Whether asking later may help.
        retryable: bool,
        /// Whether the site answered at all, e.g. with 503. If not, the fetch of the page fails for the same reason and
        /// names it.
        answered: bool,
    },
}

/// The URL of a robots.txt file, which is scheme, host and port, and the relay that it is fetched through: what a relay
/// says of a site is believed of nobody's requests but those that go through it.
type Key = (PageUrl, Option<Relay>);

/// Knows the robots.txt files of the sites that were asked about. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Robots(Arc<Inner>);

struct Inner {
    client: Client,
    config: Config,
    policies: Cache<Key, Kept>,
}

impl Robots {
    /// Asks with `client`, and remembers nothing yet. `config` is taken as checked.
    #[must_use]
    pub fn new(client: Client, config: &Config) -> Self {
        let policies = cache::new(config);
        Self(Arc::new(Inner { client, config: config.clone(), policies }))
    }

    /// Whether the page may be fetched. Waits for the file if it is not known, at most `timeout` from the moment its
    /// fetch starts.
    ///
    /// A host that the address policy forbids is allowed here: the fetch of the page is what refuses it. The
    /// robots.txt file itself is always allowed, and not asked for.
    pub async fn allowed(&self, url: &PageUrl) -> Access {
        self.allowed_through(None, url).await
    }

    /// The same for a page that is fetched through `relay`, which the file is then fetched through, too.
    pub async fn allowed_through(&self, relay: Option<&Relay>, url: &PageUrl) -> Access {
        if url.as_url()[Position::BeforePath..Position::AfterQuery] == *FILE {
            return Access::Allowed { crawl_delay: None };
        }
        match self.policy((file_of(url), relay.cloned())).await {
            Policy::Open => Access::Allowed { crawl_delay: None },
            Policy::Rules(rules) => self.judge(rules, url).await,
            Policy::Unreachable { retryable, answered } => Access::Unreachable { retryable, answered },
        }
    }

    /// What is known of the file, fetching it if that is nothing. If the caller that fetches is dropped, the next one
    /// that waits fetches in its place.
    async fn policy(&self, key: Key) -> Policy {
        let Inner { client, config, policies } = &*self.0;
        let fetch = Box::pin(fetch::policy(client, config, key.clone()));
        policies.get_with(key, fetch).await.policy
    }

    async fn judge(&self, rules: Arc<Rules>, url: &PageUrl) -> Access {
        let crawl_delay = rules.crawl_delay().map(|delay| delay.min(self.0.config.max_crawl_delay));
        let allowed = if rules.work(url) <= INLINE_WORK {
            rules.allow(url)
        } else {
            let url = url.clone();
            match tokio::task::spawn_blocking(move || rules.allow(&url)).await {
                Ok(allowed) => allowed,
                // The process is going down.
                Err(_) => return Access::Unreachable { retryable: true, answered: false },
            }
        };
        if allowed {
            Access::Allowed { crawl_delay }
        } else {
            Access::Denied { why: "robots.txt disallows it" }
        }
    }
}

/// Where the robots.txt file of a page is.
fn file_of(page: &PageUrl) -> PageUrl {
    let mut url = page.as_url().clone();
    url.set_path(FILE);
    url.set_query(None);
    url.set_fragment(None);
    PageUrl::try_from(url).expect("because scheme, host and port are those of a page")
}
