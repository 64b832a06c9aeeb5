//! The gateway's settings. config.default.toml documents each.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use domain::Service;
use mesh::config::Problems;
use serde::Deserialize;

/// The settings of the gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    server: mesh::config::Server,
    tls: mesh::config::Tls,
    telemetry: mesh::config::Telemetry,
    peers: mesh::config::Peers,
    pub(crate) public: Public,
    pub(crate) credentials: Credentials,
}

/// `[public]`: the port that the world sees, and what a request may cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Public {
    pub(crate) listen: String,
    pub(crate) tls_cert_file: PathBuf,
    pub(crate) tls_key_file: PathBuf,
    pub(crate) allow_plaintext: bool,
    pub(crate) open_metrics: bool,
    pub(crate) max_body: ByteSize,
    pub(crate) max_response: ByteSize,
    pub(crate) max_header_bytes: ByteSize,
    pub(crate) max_headers: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) header_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) body_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_concurrent_requests: usize,
    pub(crate) max_streams_per_tenant: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) default_deadline: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) heartbeat: Duration,
}

/// `[credentials]`: how long answers of the auth service are used.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    #[serde(with = "humantime_serde")]
    pub(crate) keep: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) keep_refused: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) keep_while_away: Duration,
    pub(crate) max_entries: u64,
    #[serde(with = "humantime_serde")]
    pub(crate) timeout: Duration,
}

impl Public {
    /// Whether the port speaks TLS.
    pub(crate) fn secured(&self) -> bool {
        !self.tls_cert_file.as_os_str().is_empty()
    }

    /// Why this port must not be opened at `address`, if so: credentials would cross a network in the clear.
    pub(crate) fn refuses(&self, address: SocketAddr) -> Option<String> {
        if self.secured() || self.allow_plaintext || address.ip().is_loopback() {
            return None;
        }
        Some(format!(
            "public.listen is {address}, which is not loopback, without TLS: set public.tls_cert_file and \
             public.tls_key_file, or public.allow_plaintext = true behind a balancer that terminates TLS"
        ))
    }
}

/// A size in bytes for code that counts in `usize`.
pub(crate) fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

impl mesh::Config for Config {
    const SERVICE: Service = Service::Gateway;
    const DEFAULTS: &'static str = include_str!("../config.default.toml");

    fn server(&self) -> &mesh::config::Server {
        &self.server
    }

    fn tls(&self) -> &mesh::config::Tls {
        &self.tls
    }

    fn telemetry(&self) -> &mesh::config::Telemetry {
        &self.telemetry
    }

    fn peers(&self) -> &mesh::config::Peers {
        &self.peers
    }

    fn validate(&self, problems: &mut Problems) {
        self.public.validate(problems);
        self.credentials.validate(problems);
    }
}

impl Public {
    fn validate(&self, problems: &mut Problems) {
        if self.tls_cert_file.as_os_str().is_empty() != self.tls_key_file.as_os_str().is_empty() {
            problems.add("public.tls_cert_file", "needs public.tls_key_file, and the other way round");
        }
        self.validate_listen(problems);
        if self.max_header_bytes.as_u64() < 8 << 10 {
            problems.add("public.max_header_bytes", "must be at least 8KiB");
        }
        for (key, value) in [
            ("public.max_headers", self.max_headers),
            ("public.max_connections", self.max_connections),
            ("public.max_concurrent_requests", self.max_concurrent_requests),
            ("public.max_streams_per_tenant", self.max_streams_per_tenant),
            ("public.max_body", bytes(self.max_body)),
            ("public.max_response", bytes(self.max_response)),
        ] {
            if value == 0 {
                problems.add(key, "must be at least 1");
            }
        }
        for (key, value) in [
            ("public.header_timeout", self.header_timeout),
            ("public.body_timeout", self.body_timeout),
            ("public.default_deadline", self.default_deadline),
            ("public.heartbeat", self.heartbeat),
        ] {
            if value.is_zero() {
                problems.add(key, "must be more than 0s");
            }
        }
    }

    fn validate_listen(&self, problems: &mut Problems) {
        match self.listen.parse::<SocketAddr>() {
            Ok(address) => {
                if let Some(problem) = self.refuses(address) {
                    problems.add("public.listen", problem);
                }
            }
            // A name is resolved when the port is bound, and checked then.
            Err(_) if self.listen.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {}
            Err(_) => problems.add("public.listen", "must be of the form host:port"),
        }
    }
}

impl Credentials {
    fn validate(&self, problems: &mut Problems) {
        if self.max_entries == 0 {
            problems.add("credentials.max_entries", "must be at least 1");
        }
        if self.timeout.is_zero() {
            problems.add("credentials.timeout", "must be more than 0s");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(settings: &str) -> Result<Config, String> {
        mesh::config::with(toml::from_str(settings).unwrap()).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn the_defaults_are_valid() {
        let config = with("").unwrap();
        assert_eq!(config.public.listen, "127.0.0.1:8700");
        assert_eq!(bytes(config.public.max_body), 16 << 20);
    }

    #[test]
    fn a_public_address_needs_tls() {
        for (settings, good) in [
            ("[public]\nlisten = \"0.0.0.0:8700\"", false),
            ("[public]\nlisten = \"[::]:8700\"", false),
            ("[public]\nlisten = \"10.0.0.1:8700\"", false),
            ("[public]\nlisten = \"0.0.0.0:8700\"\nallow_plaintext = true", true),
            ("[public]\nlisten = \"0.0.0.0:8700\"\ntls_cert_file = \"a\"\ntls_key_file = \"b\"", true),
            ("[public]\nlisten = \"0.0.0.0:8700\"\ntls_cert_file = \"a\"", false),
            ("[public]\nlisten = \"[::1]:8700\"", true),
            ("[public]\nlisten = \"localhost:8700\"", true),
            ("[public]\nlisten = \"localhost\"", false),
            ("[public]\nmax_headers = 0", false),
            ("[public]\nheartbeat = \"0s\"", false),
        ] {
            assert_eq!(with(settings).is_ok(), good, "{settings}");
        }
    }
}
