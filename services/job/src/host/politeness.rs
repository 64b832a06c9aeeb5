//! `[politeness]`: how fast hosts are visited, and which of them are one's own.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use serde::Deserialize;

/// `[politeness]`: the pace of hosts of others, and that of one's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Politeness {
    /// Hosts on the Internet.
    pub public: Pace,
    /// Hosts that are one's own: addresses of `targets.allow`, `localhost` where it is allowed, and `local_hosts`.
    pub local: Pace,
    /// Names of one's own hosts; each stands for the names under it, too.
    pub local_hosts: Vec<String>,
}

/// How fast a host is visited.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Least time between the starts of two pages.
    #[serde(with = "humantime_serde")]
    pub min_delay: Duration,
    /// Pages at a time.
    pub max_concurrency: u32,
    /// The delay is at least so many times the smoothed answer time.
    pub latency_factor: f64,
    /// But no more than this for that reason.
    #[serde(with = "humantime_serde")]
    pub max_latency_delay: Duration,
    /// Added after the first 429 or 503; doubled by each further one, halved by each success.
    #[serde(with = "humantime_serde")]
    pub back_off: Duration,
    /// The longest such addition.
    #[serde(with = "humantime_serde")]
    pub max_back_off: Duration,
    /// A Retry-After holds the host up to this.
    #[serde(with = "humantime_serde")]
    pub max_retry_after: Duration,
}

impl Pace {
    /// The delay that an answer time asks for.
    pub(crate) fn of_latency(&self, latency: Option<Duration>) -> Duration {
        let seconds = latency.unwrap_or_default().as_secs_f64() * self.latency_factor;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(self.max_latency_delay)
    }

    fn check(&self) -> Option<&'static str> {
        if !(1..=10_000).contains(&self.max_concurrency) {
            return Some("max_concurrency must be from 1 to 10000");
        }
        if !(0.0..=100.0).contains(&self.latency_factor) {
            return Some("latency_factor must be from 0 to 100");
        }
        if self.back_off.is_zero() || self.back_off > self.max_back_off {
            return Some("back_off must be more than 0s and at most max_back_off");
        }
        let longest = Duration::from_secs(86_400);
        let waits = [self.min_delay, self.max_latency_delay, self.max_back_off, self.max_retry_after];
        waits.iter().any(|wait| *wait > longest).then_some("no wait may be longer than 1day")
    }
}

impl Politeness {
    /// Everything that is wrong, with its key.
    pub(crate) fn check(&self) -> Vec<(&'static str, &'static str)> {
        let paces = [("politeness.public", &self.public), ("politeness.local", &self.local)];
        paces.into_iter().filter_map(|(key, pace)| Some((key, pace.check()?))).collect()
    }
}

/// Which pace is whose.
#[derive(Debug, Clone)]
pub(crate) struct Paces {
    politeness: Politeness,
    /// The networks that are one's own.
    allow: Vec<IpNet>,
}

impl Paces {
    /// The settings, and `targets.allow`.
    pub(crate) fn new(politeness: Politeness, allow: Vec<IpNet>) -> Self {
        Self { politeness, allow }
    }

    /// The pace of a host.
    pub(crate) fn of(&self, key: &str) -> &Pace {
        if self.local(key) { &self.politeness.local } else { &self.politeness.public }
    }

    /// Whether a host is one's own.
    pub(crate) fn local(&self, key: &str) -> bool {
        let name = name(key);
        let inside = |ip: IpAddr| self.allow.iter().any(|net| net.contains(&ip.to_canonical()));
        if let Ok(ip) = name.trim_matches(['[', ']']).parse() {
            return inside(ip);
        }
        let under =
            |zone: &str| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        self.politeness.local_hosts.iter().any(|zone| under(&zone.to_ascii_lowercase()))
            || (under("localhost") && loopback.into_iter().any(inside))
    }
}

/// The key without its port.
fn name(key: &str) -> &str {
    match key.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => name,
        _ => key,
    }
}
