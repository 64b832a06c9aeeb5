//! The sessions of tenants, sealed on their way into the database and opened on their way out.
//!
//! Promises: what is read of the database without the key file says nothing but how much is kept; a page's changes are made in one
//! transaction, so that pages that end at the same time lose nothing of each other.

use std::time::Duration;

use domain::{SessionName, TenantId};
use store::Sealer;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Sessions as Limits,
    error::Error,
    session::{Changes, Session, SessionKey, State},
    store::Store,
};

/// Sessions that can be opened.
pub(crate) struct Vault {
    pub(crate) store: Store,
    pub(crate) sealer: Sealer,
    pub(crate) limits: Limits,
}

impl Vault {
    /// What a page begins with; a new session if there is none.
    pub(crate) async fn open(
        &self,
        tenant: TenantId,
        name: SessionName,
        ttl: Duration,
        now: OffsetDateTime,
    ) -> Result<(Session, State), Error> {
        let new = Session::new(name, ttl, now);
        let (session, sealed) =
            self.store.open_session(tenant, &new, self.limits.max_per_tenant, now).await?;
        let mut state = self.unseal(&owner(tenant, session.id), &sealed)?;
        state.prune(now);
        Ok((session, state))
    }

    /// Keeps what a page has changed. False: its session is gone.
    pub(crate) async fn change(
        &self,
        key: &SessionKey,
        id: Uuid,
        changes: Changes,
        now: OffsetDateTime,
    ) -> Result<bool, Error> {
        let owner = owner(key.tenant, id);
        let change = |sealed: &[u8]| {
            let mut state = self.unseal(&owner, sealed)?;
            state.apply(&changes, now);
            let (bytes, extent) = state.write(&self.limits)?;
            Ok((self.sealer.seal(&owner, &bytes), extent))
        };
        self.store.change_session(key, id, &change, now).await
    }

    fn unseal(&self, owner: &str, sealed: &[u8]) -> Result<State, Error> {
        if sealed.is_empty() {
            return Ok(State::default());
        }
        State::read(&self.sealer.unseal(owner, sealed)?)
    }
}

/// Whom a state is sealed for: that of one tenant opens for no other, and that of an earlier session not for a later one.
fn owner(tenant: TenantId, id: Uuid) -> String {
    format!("{} {id}", tenant.name())
}
