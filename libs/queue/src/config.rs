//! The `[queue]` section: where the broker is, and every bound of the bus that an operator may want to turn.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

/// The section as it stands in a service's defaults file, with one comment a key.
pub const DEFAULTS: &str = r#"[queue]
# NATS servers, comma separated. A user and password may stand in the URL.
url = "nats://127.0.0.1:4222"
# Names of streams and subjects start with this; two meshes on one NATS need two prefixes. Letters, digits, - and _.
prefix = "crawlmesh"
# A message that is neither acked nor kept alive for this long is given to another worker.
ack_wait = "30s"
# How often a worker says that it still works on a message. At most half of ack_wait.
progress_interval = "10s"
# How long one pull waits for a message.
pull_wait = "5s"
# Copies of each stream in a NATS cluster: 1, 3 or 5.
replicas = 1
# Page tasks that may wait in NATS; the dispatcher keeps far fewer there.
max_work_messages = 100000
max_work_bytes = "256MiB"
# Page outcomes kept in NATS, also after they were settled. The oldest go first.
max_outcome_bytes = "1GiB"
outcome_max_age = "24h"
connect_timeout = "5s"
# How long a publish waits for the server to say that the message is stored.
publish_timeout = "5s"
# A NATS .creds file; empty: none.
credentials_file = ""
# PEM with the CA of the NATS servers; empty: the system's CAs, and TLS only for tls:// URLs.
tls_ca_file = ""
# PEM with the client certificate and its key, where NATS asks for one.
tls_cert_file = ""
tls_key_file = ""
"#;

/// Settings of the bus; the keys are explained in [`DEFAULTS`].
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// NATS servers, comma separated; may hold a password, so it is never printed.
    pub url: String,
    /// What names of streams and subjects start with.
    pub prefix: String,
    /// After how long a silent worker's message is given to another.
    #[serde(with = "humantime_serde")]
    pub ack_wait: Duration,
    /// How often a worker keeps its message alive.
    #[serde(with = "humantime_serde")]
    pub progress_interval: Duration,
    /// How long one pull waits for a message.
    #[serde(with = "humantime_serde")]
    pub pull_wait: Duration,
    /// Copies of each stream.
    pub replicas: usize,
    /// Most page tasks in NATS.
    pub max_work_messages: u64,
    /// Most bytes of page tasks in NATS.
    pub max_work_bytes: ByteSize,
    /// Most bytes of outcomes in NATS.
    pub max_outcome_bytes: ByteSize,
    /// How long an outcome is kept.
    #[serde(with = "humantime_serde")]
    pub outcome_max_age: Duration,
    /// Time for one attempt to connect.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Time for one publish or one question to the server.
    #[serde(with = "humantime_serde")]
    pub publish_timeout: Duration,
    /// A NATS credentials file, or empty.
    pub credentials_file: String,
    /// PEM of the servers' CA, or empty.
    pub tls_ca_file: String,
    /// PEM of the client certificate, or empty.
    pub tls_cert_file: String,
    /// PEM of the client key, or empty.
    pub tls_key_file: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            prefix: "crawlmesh".to_owned(),
            ack_wait: Duration::from_secs(30),
            progress_interval: Duration::from_secs(10),
            pull_wait: Duration::from_secs(5),
            replicas: 1,
            max_work_messages: 100_000,
            max_work_bytes: ByteSize::mib(256),
            max_outcome_bytes: ByteSize::gib(1),
            outcome_max_age: Duration::from_secs(24 * 3600),
            connect_timeout: Duration::from_secs(5),
            publish_timeout: Duration::from_secs(5),
            credentials_file: String::new(),
            tls_ca_file: String::new(),
            tls_cert_file: String::new(),
            tls_key_file: String::new(),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Config {
    /// Everything that is wrong with the settings, one sentence each, starting with the key.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let rules = [
            (self.servers().is_err(), "url must be nats:// or tls:// addresses, comma separated"),
            (
                self.prefix.is_empty() || self.prefix.len() > 64 || !self.prefix.chars().all(name),
                "prefix must be 1 to 64 of a-z, 0-9, - and _",
            ),
            (self.ack_wait < Duration::from_millis(100), "ack_wait must be at least 100ms"),
            (
                self.progress_interval.is_zero() || self.progress_interval > self.ack_wait / 2,
                "progress_interval must be more than 0 and at most half of ack_wait",
            ),
            (self.pull_wait < Duration::from_millis(10), "pull_wait must be at least 10ms"),
            (self.pull_wait > self.ack_wait, "pull_wait must be at most ack_wait"),
            (![1, 3, 5].contains(&self.replicas), "replicas must be 1, 3 or 5"),
            (self.max_work_messages == 0, "max_work_messages must be more than 0"),
            (i64::try_from(self.max_work_messages).is_err(), "max_work_messages is too large"),
            (self.max_work_bytes < ByteSize::mib(1), "max_work_bytes must be at least 1MiB"),
            (self.max_outcome_bytes < ByteSize::mib(1), "max_outcome_bytes must be at least 1MiB"),
            (
                self.outcome_max_age < crate::subjects::DUPLICATE_WINDOW,
                "outcome_max_age must be at least 2m, the duplicate window",
            ),
            (self.connect_timeout.is_zero(), "connect_timeout must be more than 0"),
            (self.publish_timeout.is_zero(), "publish_timeout must be more than 0"),
            (
                self.tls_cert_file.is_empty() != self.tls_key_file.is_empty(),
                "tls_cert_file and tls_key_file must be set together",
            ),
        ];
        rules.iter().filter(|(broken, _)| *broken).map(|(_, text)| (*text).to_owned()).collect()
    }

    pub(crate) fn servers(&self) -> Result<Vec<async_nats::ServerAddr>, String> {
        let parse = |url: &str| url.trim().parse::<async_nats::ServerAddr>().map_err(|e| e.to_string());
        self.url.split(',').map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        queue: Config,
    }

    #[test]
    fn the_defaults_text_says_what_the_defaults_are() {
        let config = toml::from_str::<File>(DEFAULTS).unwrap().queue;
        let default = Config::default();
        assert_eq!(config.check(), Vec::<String>::new());
        assert_eq!((&config.url, &config.prefix), (&default.url, &default.prefix));
        assert_eq!(config.ack_wait, default.ack_wait);
        assert_eq!(config.progress_interval, default.progress_interval);
        assert_eq!(config.pull_wait, default.pull_wait);
        assert_eq!(config.max_work_messages, default.max_work_messages);
        assert_eq!(config.max_work_bytes, default.max_work_bytes);
        assert_eq!(config.max_outcome_bytes, default.max_outcome_bytes);
        assert_eq!(config.outcome_max_age, default.outcome_max_age);
        assert_eq!(config.connect_timeout, default.connect_timeout);
        assert_eq!(config.publish_timeout, default.publish_timeout);
        assert_eq!(config.replicas, default.replicas);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(toml::from_str::<File>(&format!("{DEFAULTS}\nsurprise = 1")).is_err());
    }

    #[test]
    fn each_contradiction_is_named() {
        type Harm = fn(&mut Config);
        let cases: &[(Harm, &str)] = &[
            (|c| c.url = "http://x".into(), "url"),
            (|c| c.prefix = "a.b".into(), "prefix"),
            (|c| c.prefix = String::new(), "prefix"),
            (|c| c.progress_interval = Duration::from_secs(16), "progress_interval"),
            (|c| c.pull_wait = Duration::from_secs(31), "pull_wait"),
            (|c| c.replicas = 2, "replicas"),
            (|c| c.max_work_messages = 0, "max_work_messages"),
            (|c| c.outcome_max_age = Duration::from_secs(60), "outcome_max_age"),
            (|c| c.tls_cert_file = "x".into(), "tls_cert_file"),
        ];
        for (change, key) in cases {
            let mut config = Config::default();
            change(&mut config);
            let problems = config.check();
            assert_eq!(problems.len(), 1, "{key}: {problems:?}");
            assert!(problems[0].starts_with(key), "{key}: {problems:?}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_not_printed() {
        let config = Config { url: "nats://u:secret@h:1".into(), ..Config::default() };
        assert!(!format!("{config:?}").contains("secret"));
    }
}
