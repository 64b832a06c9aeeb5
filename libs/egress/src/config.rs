//! The settings of the fetch client, section `[egress]`: the limits that hostile and broken sites meet.
//!
//! The defaults are text, [`DEFAULTS`]: a service pastes them into its `config.default.toml`, which stays the one
//! place where they are read and documented.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use serde::Deserialize;

/// The longest fetch that can be asked for, whatever the settings or a request say.
pub const LONGEST_FETCH: Duration = Duration::from_secs(3600);

/// The section with its defaults, for the `config.default.toml` of a service that fetches.
pub const DEFAULTS: &str = r#"[egress]
# Networks that may be fetched from although they are not on the public Internet, e.g. ["127.0.0.0/8"].
allow_targets = []
# PEM files with roots that are trusted beside the system's, e.g. of a private CA.
extra_roots = []
# What we call ourselves.
user_agent = "crawlmesh/0.1 (+https://github.com/crawlmesh/crawlmesh)"
# Name resolution, TCP and TLS.
connect_timeout = "5s"
# From sending a request to the end of the response head, for each redirect anew.
head_timeout = "15s"
# The whole fetch, redirects and body included.
total_timeout = "60s"
# A body that comes in more slowly than this, per second and on average, is given up ...
min_rate = "1KiB"
# ... but not before this long.
min_rate_grace = "10s"
# Redirects followed before giving up.
max_redirects = 10
# All headers of a response together.
max_header_bytes = "64KiB"
# A body as it comes over the wire, compressed.
max_body = "10MiB"
# A body after decompression.
max_decompressed = "50MiB"
# Decompressed bytes for each byte on the wire, once there is more than 1 MiB.
max_ratio = 200
# Idle connections kept for each host, and for how long.
pool_per_host = 4
pool_idle_timeout = "15s"
# Proxies of callers to which connections are kept; the one that was not used for the longest time goes first.
max_proxies = 100
"#;

/// The settings of the fetch client. Every key is required: the defaults are in [`DEFAULTS`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Networks that may be fetched from although they are not on the public Internet.
    pub allow_targets: Vec<IpNet>,
    /// PEM files with roots that are trusted beside the system's.
    pub extra_roots: Vec<PathBuf>,
    /// `User-Agent` of requests that do not bring their own.
    pub user_agent: String,
    /// Longest name resolution, TCP and TLS handshake together.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Longest wait for the end of a response head, for each redirect anew.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// Longest fetch, redirects and body included.
    #[serde(with = "humantime_serde")]
    pub total_timeout: Duration,
    /// Slowest average body, in bytes per second on the wire.
    pub min_rate: ByteSize,
    /// How long a body may be slower than `min_rate`.
    #[serde(with = "humantime_serde")]
    pub min_rate_grace: Duration,
    /// Redirects followed before giving up.
    pub max_redirects: usize,
    /// Most bytes of all response headers together.
    pub max_header_bytes: ByteSize,
    /// Most bytes of a body on the wire, compressed.
    pub max_body: ByteSize,
    /// Most bytes of a body after decompression.
    pub max_decompressed: ByteSize,
    /// Most decompressed bytes for each byte on the wire, once there is more than 1 MiB.
    pub max_ratio: u64,
    /// Most idle connections kept for one host.
    pub pool_per_host: usize,
    /// How long an idle connection is kept.
    #[serde(with = "humantime_serde")]
    pub pool_idle_timeout: Duration,
    /// Most proxies of callers to which connections are kept.
    pub max_proxies: u64,
}

impl Config {
    /// Every problem of these settings, in words for the operator. Empty if they can be used.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, problem: &str| {
            if !holds {
                problems.push(format!("egress.{problem}"));
            }
        };
        require(!self.connect_timeout.is_zero(), "connect_timeout must be longer than 0");
        require(!self.head_timeout.is_zero(), "head_timeout must be longer than 0");
        require(self.total_timeout <= LONGEST_FETCH, "total_timeout must be at most 1h");
        require(self.connect_timeout <= self.total_timeout, "connect_timeout must not exceed total_timeout");
        require(self.head_timeout <= self.total_timeout, "head_timeout must not exceed total_timeout");
        require(self.max_redirects <= 50, "max_redirects must be at most 50");
        require(
            (ByteSize::kib(1)..=ByteSize::mib(1)).contains(&self.max_header_bytes),
            "max_header_bytes must be between 1KiB and 1MiB",
        );
        require(self.max_body.as_u64() > 0, "max_body must be more than 0");
        require(self.max_body <= self.max_decompressed, "max_body must not exceed max_decompressed");
        require(self.max_ratio > 0, "max_ratio must be more than 0");
        require(self.max_proxies > 0, "max_proxies must be at least 1");
        require(
            !self.user_agent.is_empty() && http::HeaderValue::from_str(&self.user_agent).is_ok(),
            "user_agent must be the value of a header",
        );
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        egress: Config,
    }

    fn parse(text: &str) -> Config {
        toml::from_str::<File>(text).expect("because the section is complete").egress
    }

    #[test]
    fn the_defaults_are_complete_and_sound() {
        let config = parse(DEFAULTS);
        assert_eq!(config.check(), Vec::<String>::new());
        assert_eq!((config.max_body, config.head_timeout), (ByteSize::mib(10), Duration::from_secs(15)));
    }

    #[test]
    fn every_problem_is_named() {
        for (key, value, problems) in [
            ("connect_timeout", "\"0s\"", 1),
            ("connect_timeout", "\"61s\"", 1),
            ("total_timeout", "\"1s\"", 2),
            ("total_timeout", "\"2h\"", 1),
            ("max_redirects", "51", 1),
            ("max_header_bytes", "\"2MiB\"", 1),
            ("max_body", "\"0B\"", 1),
            ("max_decompressed", "\"1MiB\"", 1),
            ("max_ratio", "0", 1),
            ("user_agent", "\"a\\nb\"", 1),
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
        assert!(toml::from_str::<File>(&format!("{DEFAULTS}\ncookies = true\n")).is_err());
    }
}
