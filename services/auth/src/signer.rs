//! The signing keys at work: loaded from the database, opened with the pepper, replaced when they are old.
//!
//! Promises: tokens of every replica are accepted by every replica, at the latest 5 s after a new key's first token; a
//! retired key verifies until the last token that it can have signed is over.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use time::{Duration, OffsetDateTime};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    Tokens,
    error::Error,
    pepper::Pepper,
    store::{SealedKey, Store},
    token::{self, Claims, LEEWAY, SigningKey},
};

/// A key that we do not know may be another replica's new one. Forgers must not make us ask the database each time.
const FETCH_PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

/// Signs tokens and checks them.
pub(crate) struct Signer {
    store: Store,
    pepper: Arc<Pepper>,
    settings: Tokens,
    /// Newest first.
    keys: RwLock<Arc<[SigningKey]>>,
    /// When an unknown key made us ask the database.
    fetched: Mutex<Option<Instant>>,
}

impl Signer {
    /// Loads the keys, and makes one if there is none that is young enough.
    pub(crate) async fn open(
        store: Store,
        pepper: Arc<Pepper>,
        settings: Tokens,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let signer =
            Self { store, pepper, settings, keys: RwLock::new(Arc::new([])), fetched: Mutex::new(None) };
        signer.refresh(now).await?;
        Ok(signer)
    }

    /// Loads the keys again, and makes a new one if it is time.
    pub(crate) async fn refresh(&self, now: OffsetDateTime) -> Result<(), Error> {
        self.load().await?;
        let old = now - self.settings.key_lifetime;
        if self.current().is_some_and(|key| key.create_time > old) {
            return Ok(());
        }
        let key = SigningKey::generate(now)?;
        let sealed = SealedKey {
            id: key.id.clone(),
            sealed: self.pepper.seal(&key.id, key.seed())?,
            public: key.x(),
            create_time: now,
            retire_time: None,
        };
        // Two replicas may both get here: then there are two new keys, which does no harm.
        self.store.rotate(&sealed, now - self.afterlife()).await?;
        info!(kid = key.id, "new signing key");
        self.load().await
    }

    /// Signs a token.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, Error> {
        self.current().ok_or(Error::Crypto("find a signing key"))?.sign(claims)
    }

    /// Checks a token's signature. Its times are the caller's business.
    pub(crate) async fn verify(&self, token: &str, now: OffsetDateTime) -> Result<Claims, Error> {
        let id = token::key_id(token)?;
        if let Some(key) = self.find(&id, now) {
            return key.verify(token);
        }
        if self.may_fetch() {
            self.load().await?;
        }
        self.find(&id, now).ok_or(Error::InvalidToken)?.verify(token)
    }

    /// The keys that verify tokens, newest first.
    pub(crate) fn verifying(&self, now: OffsetDateTime) -> Vec<SigningKey> {
        let keys = Arc::clone(&self.keys.read());
        let alive = |key: &&SigningKey| key.retire_time.is_none_or(|end| now < end + self.afterlife());
        keys.iter().filter(alive).cloned().collect()
    }

    /// How often `refresh` is due.
    pub(crate) fn check_interval(&self) -> std::time::Duration {
        self.settings.check_interval
    }

    /// How long a token lives.
    pub(crate) fn ttl(&self) -> std::time::Duration {
        self.settings.ttl
    }

    /// How long a retired key may still verify: another replica signs with it until its next check.
    fn afterlife(&self) -> Duration {
        let span = self.settings.ttl + self.settings.check_interval;
        Duration::try_from(span).unwrap_or(Duration::DAY) + LEEWAY
    }

    fn current(&self) -> Option<SigningKey> {
        self.keys.read().iter().find(|key| key.retire_time.is_none()).cloned()
    }

    fn find(&self, id: &str, now: OffsetDateTime) -> Option<SigningKey> {
        self.verifying(now).into_iter().find(|key| key.id == id)
    }

    fn may_fetch(&self) -> bool {
        let mut fetched = self.fetched.lock();
        if fetched.is_some_and(|last| last.elapsed() < FETCH_PAUSE) {
            return false;
        }
        *fetched = Some(Instant::now());
        true
    }

    async fn load(&self) -> Result<(), Error> {
        let mut keys = Vec::new();
        for SealedKey { id, sealed, create_time, retire_time, .. } in self.store.signing_keys().await? {
            match self.pepper.open(&id, &sealed) {
                Some(seed) => keys.push(SigningKey::from_seed(id, &seed, create_time, retire_time)?),
                // Its tokens are invalid, and that is all: their owners ask for new ones.
                None => warn!(kid = id, "signing key was sealed with another pepper"),
            }
        }
        *self.keys.write() = keys.into();
        Ok(())
    }
}

/// Refreshes the keys for ever.
pub(crate) async fn rotate(signer: Arc<Signer>) {
    let mut ticks = tokio::time::interval(signer.check_interval());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first tick is at once, and the keys have just been loaded.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(error) = signer.refresh(mesh::clock::now()).await {
            warn!(%error, "signing keys were not refreshed");
        }
    }
}
