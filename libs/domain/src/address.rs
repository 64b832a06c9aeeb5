//! The address policy: which IP addresses a crawler or a webhook may connect to (RFC 6890 and its registries).
//!
//! Everything that is not a globally routable unicast address is refused, and so are a few routable addresses that
//! belong to clouds. `allow` opens networks by name, for development and for crawling one's own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// Refused IPv4 networks. `is_global` of the usual libraries misses the last one, the Azure platform's.
const DENIED_V4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    ([168, 63, 129, 16], 32),
];

/// Refused IPv6 networks. NAT64, 6to4 and Teredo embed an IPv4 address, so they are refused wholesale.
const DENIED_V6: &[([u16; 8], u8)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 96),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

/// The target is refused by the address policy. Says no more: an address here would tell callers about our network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is a target that is not allowed")]
pub struct NotAllowed;

/// Which addresses may be connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allow: Vec<IpNet>,
}

impl AddressPolicy {
    /// The public Internet, and the networks in `allow`.
    #[must_use]
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow }
    }

    /// Whether `ip` may be connected to.
    #[must_use]
    pub fn allows(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.allow.iter().any(|net| net.contains(&ip)) || routable(ip)
    }

    /// Refuses a URL whose host is already known to be forbidden: an IP literal, or a name that only exists inside a
    /// network. Other names are checked when they are resolved.
    pub fn check_url(&self, url: &Url) -> Result<(), NotAllowed> {
        let allowed = match url.host() {
            None => false,
            Some(Host::Ipv4(ip)) => self.allows(ip.into()),
            Some(Host::Ipv6(ip)) => self.allows(ip.into()),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let under = |zone: &str| name == zone || name.ends_with(&format!(".{zone}"));
                if under("localhost") {
                    self.allows(Ipv4Addr::LOCALHOST.into()) || self.allows(Ipv6Addr::LOCALHOST.into())
                } else {
                    // Kubernetes services and cloud metadata, and names that only a local resolver knows.
                    !["internal", "svc", "cluster.local", "local"].iter().any(|zone| under(zone))
                }
            }
        };
        if allowed { Ok(()) } else { Err(NotAllowed) }
    }
}

fn routable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !DENIED_V4
            .iter()
            .any(|&(net, bits)| Ipv4Net::new(Ipv4Addr::from(net), bits).is_ok_and(|net| net.contains(&ip))),
        IpAddr::V6(ip) => {
            // Only 2000::/3 is handed out for global unicast (RFC 4291).
            ip.segments()[0] & 0xe000 == 0x2000
                && !DENIED_V6.iter().any(|&(net, bits)| {
                    Ipv6Net::new(Ipv6Addr::from(net), bits).is_ok_and(|net| net.contains(&ip))
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &AddressPolicy, url: &str) -> bool {
        policy.check_url(&Url::parse(url).expect("because the table holds URLs")).is_ok()
    }

    #[test]
    fn targets_inside_are_refused_in_every_spelling() {
        let policy = AddressPolicy::default();
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://①②⑦.⓪.⓪.①/",
            "http://[::ffff:7f00:1]/",
            "http://[::]/",
            "http://[::1]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:7f00:1::]/",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
            "http://[5f00::1]/",
            "http://[3fff::1]/",
            "http://localhost/",
            "http://localhost./",
            "http://foo.localhost/",
            "http://10.1.2.3/",
            "http://169.254.169.254/",
            "http://168.63.129.16/",
            "http://100.100.100.200/",
            "http://192.0.0.192/",
            "http://224.0.0.1/",
            "http://metadata.google.internal/",
            "http://kubernetes.default.svc/",
            "http://job.crawl.svc.cluster.local/",
        ] {
            assert!(!check(&policy, url), "{url}");
        }
    }

    #[test]
    fn the_internet_is_allowed() {
        let policy = AddressPolicy::default();
        for url in
            ["http://example.com/", "http://1.1.1.1/", "http://[2606:4700::1111]/", "http://local.example/"]
        {
            assert!(check(&policy, url), "{url}");
        }
    }

    #[test]
    fn a_network_can_be_opened_by_name() {
        let policy = AddressPolicy::new(vec!["127.0.0.0/8".parse().expect("because it is a network")]);
        assert!(check(&policy, "http://127.0.0.1:8000/") && check(&policy, "http://localhost/"));
        assert!(check(&policy, "http://[::ffff:7f00:1]/"), "a mapped address is its IPv4 address");
        assert!(!check(&policy, "http://10.0.0.1/"));
    }
}
