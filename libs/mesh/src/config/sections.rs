//! The sections that every service shares. config.sections.toml documents the keys and their defaults.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use domain::Service;
use serde::Deserialize;

use super::Problems;

/// `[server]`: the gRPC port and what calls may cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address of the gRPC port; port 0 takes a free one.
    pub listen: String,
    /// Address of the plain HTTP port for probes and metrics; empty: none.
    pub admin_listen: String,
    /// Whether gRPC reflection is answered.
    pub reflection: bool,
    /// Greatest size of one message. `usize` for tonic: [`Server::max_message_bytes`].
    pub max_message_size: ByteSize,
    /// Calls at work at a time; further ones are refused with UNAVAILABLE.
    pub max_concurrent_calls: usize,
    /// Deadline of calls that come without one.
    #[serde(with = "humantime_serde")]
    pub default_deadline: Duration,
    /// Deadlines longer than this are cut.
    #[serde(with = "humantime_serde")]
    pub max_deadline: Duration,
    /// From "not ready" to closing the port.
    #[serde(with = "humantime_serde")]
    pub drain_delay: Duration,
    /// For running calls to finish at shutdown.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

impl Server {
    /// `max_message_size` in bytes, for tonic's `max_decoding_message_size` and `max_encoding_message_size`.
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        usize::try_from(self.max_message_size.as_u64()).unwrap_or(usize::MAX)
    }

    pub(super) fn validate(&self, problems: &mut Problems) {
        if self.listen.is_empty() {
            problems.add("server.listen", "must not be empty");
        }
        if self.max_concurrent_calls == 0 {
            problems.add("server.max_concurrent_calls", "must be at least 1");
        }
        if self.max_message_size.as_u64() < 1024 {
            problems.add("server.max_message_size", "must be at least 1KiB");
        }
        if self.default_deadline.is_zero() || self.default_deadline > self.max_deadline {
            problems.add("server.default_deadline", "must be more than 0s and at most server.max_deadline");
        }
    }
}

/// `[tls]`: files with the identity of this process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The authority that members trust, PEM.
    pub ca_file: PathBuf,
    /// The certificate, PEM.
    pub cert_file: PathBuf,
    /// Its key, PEM.
    pub key_file: PathBuf,
}

impl Tls {
    pub(super) fn validate(&self, problems: &mut Problems) {
        let empty = [&self.ca_file, &self.cert_file, &self.key_file].map(|file| file.as_os_str().is_empty());
        if empty.contains(&true) && empty.contains(&false) {
            problems.add("tls", "needs all of ca_file, cert_file and key_file, or none");
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Short lines for humans.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// `[telemetry]`: logs and traces.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// How log lines look.
    pub log_format: LogFormat,
    /// Directives of tracing's `EnvFilter`.
    pub log_filter: String,
    /// URL of an OTLP collector (gRPC); empty: no export.
    pub otlp_endpoint: String,
    /// Limit of one export.
    #[serde(with = "humantime_serde")]
    pub otlp_timeout: Duration,
    /// Share of traces that are exported, 0 to 1.
    pub trace_sample_ratio: f64,
}

impl Telemetry {
    pub(super) fn validate(&self, problems: &mut Problems) {
        if !(0.0..=1.0).contains(&self.trace_sample_ratio) {
            problems.add("telemetry.trace_sample_ratio", "must be from 0 to 1");
        }
        if let Err(error) = self.log_filter.parse::<tracing_subscriber::EnvFilter>() {
            problems.add("telemetry.log_filter", error.to_string());
        }
        let endpoint = self.otlp_endpoint.parse::<http::Uri>();
        let usable = endpoint.is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        if !self.otlp_endpoint.is_empty() && !usable {
            problems.add("telemetry.otlp_endpoint", "must be of the form http://host:port, or empty");
        }
    }
}

/// `[peers]`: where the other members are, `host:port`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// The auth service.
    pub auth: String,
    /// The job service.
    pub job: String,
    /// A crawler.
    pub crawler: String,
    /// The result service.
    pub result: String,
    /// The webhook service.
    pub webhook: String,
    /// Limit of one attempt to connect.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
}

impl Peers {
    /// The address of a member. The gateway is nobody's peer.
    #[must_use]
    pub fn address(&self, of: Service) -> Option<&str> {
        match of {
            Service::Auth => Some(&self.auth),
            Service::Job => Some(&self.job),
            Service::Crawler => Some(&self.crawler),
            Service::Result => Some(&self.result),
            Service::Webhook => Some(&self.webhook),
            Service::Gateway => None,
        }
    }

    pub(super) fn validate(&self, problems: &mut Problems) {
        for &service in Service::ALL {
            let Some(address) = self.address(service) else { continue };
            let authority = address.parse::<http::uri::Authority>();
            if !authority.is_ok_and(|authority| authority.port_u16().is_some_and(|port| port > 0)) {
                problems.add(format!("peers.{service}"), "must be of the form host:port");
            }
        }
        if self.connect_timeout.is_zero() {
            problems.add("peers.connect_timeout", "must be more than 0s");
        }
    }
}
