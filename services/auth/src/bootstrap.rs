//! The first start: a tenant, and the admin API key without which nobody could call anything.
//!
//! Promises: the key is shown once, by the one process that made it, in a file of mode 0600 or on stderr. A crash between
//! making and showing leaves the file under a longer name. A later start shows nothing and touches no file, unless it is
//! told to make another admin key.

use std::path::PathBuf;

use anyhow::Context;
use domain::Scope;
use time::OffsetDateTime;
use tracing::{error, info};

use crate::{
    Bootstrap,
    authenticator::new_key,
    key::Secret,
    pepper::{Draft, Pepper},
    store::Store,
    tenant::Tenant,
};

const TENANT: &str = "default";
const KEY: &str = "admin";

/// Makes what the first start needs. `new_pepper`: there was no pepper before.
pub(crate) async fn run(
    store: &Store,
    pepper: &Pepper,
    new_pepper: bool,
    config: &Bootstrap,
    now: OffsetDateTime,
) -> anyhow::Result<()> {
    match store.first_tenant().await? {
        None => {
            let tenant = Tenant::new(TENANT, now);
            let (entry, secret) = new_key(pepper, tenant.id, KEY, Scope::ALL.to_vec(), now)?;
            let shown = Shown::prepare(config, secret)?;
            if store.create_first(&tenant, &entry).await? {
                shown.show()?;
                info!(tenant = %tenant.id, key = %entry.key.id, "first start: tenant and admin key created");
            } else {
                shown.discard()?;
                info!("another process made the first tenant");
            }
        }
        Some(tenant) if config.reissue_admin_key => {
            let (entry, secret) = new_key(pepper, tenant, KEY, Scope::ALL.to_vec(), now)?;
            let shown = Shown::prepare(config, secret)?;
            store.add_key(&entry, u64::MAX).await?;
            shown.show()?;
            info!(%tenant, key = %entry.key.id, "another admin key created");
        }
        Some(_) if new_pepper => {
            error!("the pepper is new but the database is not: every API key made before is invalid");
        }
        Some(_) => {}
    }
    Ok(())
}

/// A secret on its way to the operator.
enum Shown {
    File(Draft, PathBuf),
    Stderr(Secret),
}

impl Shown {
    /// Does what can fail, before the key is made.
    fn prepare(config: &Bootstrap, secret: Secret) -> anyhow::Result<Self> {
        let path = &config.admin_key_file;
        if path.as_os_str().is_empty() {
            return Ok(Self::Stderr(secret));
        }
        let draft = Draft::write(path, secret.expose().as_bytes())
            .with_context(|| format!("write the admin API key to {}", path.display()))?;
        Ok(Self::File(draft, path.clone()))
    }

    fn show(self) -> anyhow::Result<()> {
        match self {
            Self::File(draft, path) => draft.publish(&path),
            Self::Stderr(secret) => {
                // Not through tracing: logs are kept and sent elsewhere.
                eprintln!("admin API key (shown once): {}", secret.expose());
                Ok(())
            }
        }
    }

    fn discard(self) -> anyhow::Result<()> {
        match self {
            Self::File(draft, _) => draft.discard(),
            Self::Stderr(_) => Ok(()),
        }
    }
}
