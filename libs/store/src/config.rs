//! The `[database]` section: which database, and every bound on waiting for it.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

/// The section as it stands in a service's defaults file, with one comment a key. A service sets its own `url`.
pub const DEFAULTS: &str = r#"[database]
# sqlite://FILE (made if need be) or postgres://USER:PASSWORD@HOST/NAME.
url = "sqlite://crawlmesh.db"
# Connections to Postgres, or readers of SQLite, which has one writer.
max_connections = 8
# How long to try to reach the database at start.
connect_timeout = "5s"
# How long a call waits for a free connection.
acquire_timeout = "5s"
# Postgres: the longest one statement may run, and a transaction may sit idle; locks are waited for half as long.
statement_timeout = "10s"
# SQLite: how long to wait while another process writes.
busy_timeout = "5s"
"#;

/// Settings of the database; the keys are explained in [`DEFAULTS`].
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which database; may hold a password, so it is never printed.
    pub url: String,
    /// Connections of the pool.
    pub max_connections: u32,
    /// How long to try at start.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long a call waits for a connection.
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
    /// The longest that one Postgres statement may run.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// How long SQLite waits for another process.
    #[serde(with = "humantime_serde")]
    pub busy_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "sqlite://crawlmesh.db".to_owned(),
            max_connections: 8,
            connect_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(5),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("max_connections", &self.max_connections).finish_non_exhaustive()
    }
}

impl Config {
    /// Everything that is wrong with the settings, one sentence each, starting with the key.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let rules = [
            (
                self.sqlite_file().is_none() && !self.url.starts_with("postgres://"),
                "url must be sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME",
            ),
            (self.max_connections == 0 || self.max_connections > 1000, "max_connections must be 1 to 1000"),
            (self.connect_timeout.is_zero(), "connect_timeout must be more than 0"),
            (self.acquire_timeout.is_zero(), "acquire_timeout must be more than 0"),
            (self.statement_timeout < Duration::from_millis(100), "statement_timeout must be at least 100ms"),
            (self.busy_timeout.is_zero(), "busy_timeout must be more than 0"),
        ];
        rules.iter().filter(|(broken, _)| *broken).map(|(_, text)| (*text).to_owned()).collect()
    }

    /// The file of a SQLite database. There is none in memory: readers and writer could not share it.
    pub(crate) fn sqlite_file(&self) -> Option<PathBuf> {
        let rest = self.url.strip_prefix("sqlite://")?;
        let file = rest.split('?').next().unwrap_or_default();
        (!file.is_empty() && file != ":memory:" && !rest.contains("mode=memory")).then(|| PathBuf::from(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        database: Config,
    }

    #[test]
    fn the_defaults_text_says_what_the_defaults_are() {
        let config = toml::from_str::<File>(DEFAULTS).unwrap().database;
        let default = Config::default();
        assert_eq!(config.check(), Vec::<String>::new());
        assert_eq!((config.url, config.max_connections), (default.url, default.max_connections));
        assert_eq!(config.connect_timeout, default.connect_timeout);
        assert_eq!(config.acquire_timeout, default.acquire_timeout);
        assert_eq!(config.statement_timeout, default.statement_timeout);
        assert_eq!(config.busy_timeout, default.busy_timeout);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(toml::from_str::<File>(&format!("{DEFAULTS}\nsurprise = 1")).is_err());
    }

    #[test]
    fn urls_are_told_apart() {
        for (url, good) in [
            ("sqlite://job.db", true),
            ("sqlite:///var/lib/job.db?cache=private", true),
            ("postgres://u:p@h/n", true),
            ("sqlite::memory:", false),
            ("sqlite://:memory:", false),
            ("sqlite://x?mode=memory", false),
            ("sqlite://", false),
            ("mysql://h/n", false),
            ("", false),
        ] {
            let config = Config { url: url.to_owned(), ..Config::default() };
            assert_eq!(config.check().is_empty(), good, "{url}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_not_printed() {
        let config = Config { url: "postgres://u:secret@h/n".into(), ..Config::default() };
        assert!(!format!("{config:?}").contains("secret"));
    }
}
