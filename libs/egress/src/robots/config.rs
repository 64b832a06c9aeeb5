//! The settings of robots.txt, section `[robots]`: our name in it, and how long its answers hold.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

/// The section with its defaults, for the `config.default.toml` of a service that crawls.
pub const DEFAULTS: &str = r#"[robots]
# Our name in robots.txt files: the product token of egress.user_agent (RFC 9309: letters, "-" and "_").
product = "crawlmesh"
# How long a robots.txt file is remembered, or that there is none; at most a day (RFC 9309).
keep = "24h"
# How long it is remembered that a robots.txt file could not be fetched. Until then nothing of its host is.
keep_unreachable = "5m"
# Hosts remembered; the one that was not asked about for the longest time is forgotten first.
max_hosts = 10000
# Memory for what is remembered of all hosts together.
max_memory = "64MiB"
# The whole fetch of a robots.txt file, redirects included.
timeout = "15s"
# A longer Crawl-delay counts as this.
max_crawl_delay = "60s"
"#;

/// The longest time for which RFC 9309 lets a file be remembered.
const LONGEST_KEEP: Duration = Duration::from_secs(24 * 3600);
/// A file of the largest size takes less than this in memory, whatever is in it.
const ONE_FILE: ByteSize = ByteSize::mib(16);

/// The settings of robots.txt. Every key is required: the defaults are in [`DEFAULTS`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The product token that groups of rules name.
    pub product: String,
    /// How long a file is remembered, or that there is none.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// How long it is remembered that a file could not be fetched.
    #[serde(with = "humantime_serde")]
    pub keep_unreachable: Duration,
    /// Most hosts remembered.
    pub max_hosts: usize,
    /// Most memory for what is remembered of all hosts together.
    pub max_memory: ByteSize,
    /// Longest fetch of a file, redirects included.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Longest pause that a site can ask for.
    #[serde(with = "humantime_serde")]
    pub max_crawl_delay: Duration,
}

impl Config {
    /// Every problem of these settings, in words for the operator. Empty if they can be used.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, problem: &str| {
            if !holds {
                problems.push(format!("robots.{problem}"));
            }
        };
        require(
            !self.product.is_empty() && self.product.bytes().all(is_token),
            "product must be letters, \"-\" and \"_\"",
        );
        require(
            !self.keep.is_zero() && self.keep <= LONGEST_KEEP,
            "keep must be more than 0 and at most 24h",
        );
        require(
            !self.keep_unreachable.is_zero() && self.keep_unreachable <= self.keep,
            "keep_unreachable must be more than 0 and not exceed keep",
        );
        require(self.max_hosts > 0, "max_hosts must be at least 1");
        require(
            (ONE_FILE..=ByteSize::gib(4)).contains(&self.max_memory),
            "max_memory must be between 16MiB and 4GiB",
        );
        require(
            !self.timeout.is_zero() && self.timeout <= crate::config::LONGEST_FETCH,
            "timeout must be more than 0 and at most 1h",
        );
        require(self.max_crawl_delay <= LONGEST_KEEP, "max_crawl_delay must be at most 24h");
        problems
    }
}

/// Whether a product token may hold this byte (RFC 9309, section 2.2.1).
pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        robots: Config,
    }

    pub(in crate::robots) fn parse(text: &str) -> Config {
        toml::from_str::<File>(text).expect("because the section is complete").robots
    }

    #[test]
    fn the_defaults_are_complete_and_sound() {
        let config = parse(DEFAULTS);
        assert_eq!(config.check(), Vec::<String>::new());
        assert_eq!((config.keep, config.max_hosts), (LONGEST_KEEP, 10_000));
        let agent = crate::config::DEFAULTS.lines().find(|line| line.starts_with("user_agent"));
        assert!(agent.is_some_and(|line| line.contains(&format!("\"{}/", config.product))), "{agent:?}");
    }

    #[test]
    fn every_problem_is_named() {
        for (key, value, problems) in [
            ("product", "\"\"", 1),
            ("product", "\"crawl mesh\"", 1),
            ("product", "\"crawlmesh/0.1\"", 1),
            ("product", "\"*\"", 1),
            ("keep", "\"0s\"", 2),
            ("keep", "\"25h\"", 1),
            ("keep_unreachable", "\"0s\"", 1),
            ("keep_unreachable", "\"25h\"", 1),
            ("max_hosts", "0", 1),
            ("max_memory", "\"1MiB\"", 1),
            ("max_memory", "\"5GiB\"", 1),
            ("timeout", "\"0s\"", 1),
            ("timeout", "\"2h\"", 1),
            ("max_crawl_delay", "\"48h\"", 1),
        ] {
            let line = |line: &str| match line.split_once(" = ") {
                Some((name, _)) if name == key => format!("{key} = {value}\n"),
                _ => format!("{line}\n"),
            };
            let config = parse(&DEFAULTS.lines().map(line).collect::<String>());
            let found = config.check();
            assert!(
                found.len() == problems && found.iter().any(|p| p.contains(key)),
                "{key} = {value}: {found:?}"
            );
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(toml::from_str::<File>(&format!("{DEFAULTS}\nobey = false\n")).is_err());
    }
}
