//! The auth service: tenants, API keys, access tokens and the keys that sign them.
//!
//! Promises: secrets are never stored, only keyed hashes of them; what a credential may do is decided when it is made
//! and only shrinks; another tenant's key looks like one that does not exist.

mod authenticator;
mod bootstrap;
mod error;
mod handler;
mod key;
mod pepper;
mod signer;
mod store;
mod tenant;
mod token;
mod wire;

use std::{path::PathBuf, sync::Arc, time::Duration};

use ::store as database;
use anyhow::Context;
use api::auth::v1::auth_service_server::AuthServiceServer;
use serde::Deserialize;
use tokio::sync::watch;

use crate::{authenticator::Authenticator, handler::Handler, pepper::Pepper, signer::Signer, store::Store};

/// Pause between two looks at the database for `/ready`.
const READY_PAUSE: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(3600);

/// The settings of the auth service; `config.default.toml` documents each.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: mesh::config::Server,
    /// `[tls]`
    pub tls: mesh::config::Tls,
    /// `[telemetry]`
    pub telemetry: mesh::config::Telemetry,
    /// `[peers]`
    pub peers: mesh::config::Peers,
    /// `[database]`
    pub database: database::Config,
    /// `[keys]`
    pub keys: Keys,
    /// `[tokens]`
    pub tokens: Tokens,
    /// `[bootstrap]`
    pub bootstrap: Bootstrap,
}

/// `[keys]`: API keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// 32 random bytes, made if missing.
    pub pepper_file: PathBuf,
    /// API keys in use that a tenant may have.
    pub max_per_tenant: u64,
}

/// `[tokens]`: access tokens and the keys that sign them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Life of an access token.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// How long a signing key signs.
    #[serde(with = "humantime_serde")]
    pub key_lifetime: Duration,
    /// How often that is checked.
    #[serde(with = "humantime_serde")]
    pub check_interval: Duration,
}

/// `[bootstrap]`: the first start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// Where the first start writes the admin API key; empty: to stderr.
    pub admin_key_file: PathBuf,
    /// Whether every start makes another admin key.
    pub reissue_admin_key: bool,
}

impl mesh::Config for Config {
    const SERVICE: domain::Service = domain::Service::Auth;
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

    fn validate(&self, problems: &mut mesh::config::Problems) {
        for problem in self.database.check() {
            problems.add("database", problem);
        }
        if self.keys.pepper_file.as_os_str().is_empty() {
            problems.add("keys.pepper_file", "must not be empty");
        }
        if self.keys.max_per_tenant == 0 {
            problems.add("keys.max_per_tenant", "must be at least 1");
        }
        if self.tokens.ttl < Duration::from_secs(1) || self.tokens.ttl > HOUR {
            problems.add("tokens.ttl", "must be from 1s to 1h");
        }
        if self.tokens.key_lifetime < HOUR || self.tokens.key_lifetime > HOUR * 24 * 366 {
            problems.add("tokens.key_lifetime", "must be from 1h to 366d");
        }
        if self.tokens.check_interval < Duration::from_secs(1) || self.tokens.check_interval > HOUR * 24 {
            problems.add("tokens.check_interval", "must be from 1s to 1d");
        }
    }
}

/// Runs the auth service until `node.shutdown` begins and the last call has been answered.
///
/// The first start on an empty database makes the tenant `default` and an admin API key, and shows the key once: in
/// `bootstrap.admin_key_file`, or on stderr.
pub async fn serve(config: Config, node: mesh::Node) -> anyhow::Result<()> {
    let now = mesh::clock::now();
    let (pepper, new_pepper) = Pepper::load_or_create(&config.keys.pepper_file)?;
    let pepper = Arc::new(pepper);
    let store = Store::open(&config.database).await.context("open the auth store")?;
    bootstrap::run(&store, &pepper, new_pepper, &config.bootstrap, now).await?;
    let signer = Signer::open(store.clone(), pepper.clone(), config.tokens, now).await?;
    let signer = Arc::new(signer);

    let rotation = mesh::spawn("auth.rotation", signer::rotate(signer.clone()));
    let (report, ready) = watch::channel(Ok(()));
    let readiness = mesh::spawn("auth.readiness", watch_database(store.db().clone(), report));
    let auth = Authenticator { store: store.clone(), pepper, signer };
    let handler = Handler { auth, max_keys: config.keys.max_per_tenant };
    let size = config.server.max_message_bytes();
    let service =
        AuthServiceServer::new(handler).max_decoding_message_size(size).max_encoding_message_size(size);
    let served = mesh::Server::new(node, &config.server).add(service).ready("database", ready).run().await;
    drop((rotation, readiness));
    store.db().close().await;
    served
}

/// Tells `/ready` whether the database answers.
async fn watch_database(db: database::Db, report: watch::Sender<Result<(), String>>) {
    loop {
        let state = if db.ready().await { Ok(()) } else { Err("the database does not answer".to_owned()) };
        report.send_if_modified(|last| {
            let changed = *last != state;
            *last = state;
            changed
        });
        tokio::time::sleep(READY_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn the_defaults_are_valid() {
        let config =
            mesh::config::with::<Config>(toml::Table::new()).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(config.server.listen, "127.0.0.1:8701");
    }

    #[test]
    fn bad_settings_are_all_told() {
        let overlay = "[keys]\nmax_per_tenant = 0\n[tokens]\nttl = \"2h\"\nkey_lifetime = \"1s\"\n";
        let wrong = mesh::config::with::<Config>(overlay.parse().expect("TOML")).expect_err("three problems");
        for key in ["keys.max_per_tenant", "tokens.ttl", "tokens.key_lifetime"] {
            assert!(wrong.to_string().contains(key), "{wrong}");
        }
    }
}
