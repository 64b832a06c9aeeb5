//! What is remembered of hosts, for how long, and at what price.
//!
//! Promises: never more than `max_hosts` hosts for long, nor more than `max_memory` bytes; a host that has just been
//! asked is not the one that is forgotten (the default policy of the cache would turn newcomers away).

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::PageUrl;
use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::{Config, Key, Rules};

/// What an entry takes beside its rules and the text of its key, about.
const ENTRY_BYTES: usize = 512;

/// What a host asks for.
#[derive(Debug, Clone)]
pub(super) enum Policy {
    /// Nothing: there is no file, or no rule for us in it.
    Open,
    /// These rules.
    Rules(Arc<Rules>),
    /// Not known.
    Unreachable { retryable: bool, answered: bool },
}

/// A policy, and how long it holds.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) policy: Policy,
    pub(super) keep: Duration,
}

/// An empty cache.
pub(super) fn new(config: &Config) -> Cache<Key, Kept> {
    let memory = config.max_memory.as_u64();
    // Who takes less than an even share pays for one: so there is room for `max_hosts` and no more.
    let share = memory.div_ceil(config.max_hosts.max(1) as u64);
    Cache::builder()
        .max_capacity(memory)
        .weigher(move |(file, _): &Key, kept| {
            u32::try_from(share.max(bytes(file, kept) as u64)).unwrap_or(u32::MAX)
        })
        .eviction_policy(EvictionPolicy::lru())
        .expire_after(Keep)
        .build()
}

fn bytes(file: &PageUrl, kept: &Kept) -> usize {
    let rules = match &kept.policy {
        Policy::Rules(rules) => rules.bytes(),
        Policy::Open | Policy::Unreachable { .. } => 0,
    };
    ENTRY_BYTES + file.as_str().len() + rules
}

/// Entries hold for as long as they say.
struct Keep;

impl Expiry<Key, Kept> for Keep {
    fn expire_after_create(&self, _: &Key, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.keep)
    }

    fn expire_after_update(&self, _: &Key, kept: &Kept, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(kept.keep)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{DEFAULTS, tests::parse};
    use super::*;

    fn file(host: usize) -> Key {
        let url = format!("http://h{host}.example/robots.txt");
        (PageUrl::parse(&url).expect("because it is a URL"), None)
    }

    async fn full(config: &Config, policy: Policy) -> Cache<Key, Kept> {
        let cache = new(config);
        for host in 0..200 {
            cache.insert(file(host), Kept { policy: policy.clone(), keep: config.keep }).await;
        }
        cache.run_pending_tasks().await;
        cache
    }

    #[tokio::test]
    async fn hosts_are_bounded_and_the_oldest_goes_first() {
        let config = Config { max_hosts: 100, ..parse(DEFAULTS) };
        let cache = full(&config, Policy::Open).await;
        assert!((99..=100).contains(&cache.entry_count()), "{}", cache.entry_count());
        assert!(cache.get(&file(0)).await.is_none() && cache.get(&file(199)).await.is_some());
    }

    #[tokio::test]
    async fn memory_is_bounded_whatever_is_in_the_files() {
        let config = parse(DEFAULTS);
        for line in ["Allow:a\n", "Sitemap:a:\n", "Disallow:/\u{1}\u{1}\u{1}\u{1}\n"] {
            let text =
                format!("User-agent: *\nDisallow: /a\n{}", line.repeat(robotxt::BYTE_LIMIT / line.len()));
            let rules = Arc::new(Rules::parse(text.into_bytes(), &config.product));
            assert!(rules.bytes() < 16 << 20, "{} for {line:?}", rules.bytes());
            let cache = full(&config, Policy::Rules(rules.clone())).await;
            let most = (64 << 20) / rules.bytes() as u64;
            assert!((1..=most).contains(&cache.entry_count()), "{} for {line:?}", cache.entry_count());
        }
    }
}
