//! A session: the cookies and the local storage that pages of a tenant begin with, and what they change of it. No I/O.
//!
//! Promises: changes of pages that ran at the same time all hold, the later one where they touch the same cookie or item; what is kept
//! has a bound; values are in no debug output.

use std::{collections::BTreeMap, time::Duration};

use domain::{SessionName, TenantId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Sessions as Limits, error::Error};

/// Which session of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionKey {
    pub(crate) tenant: TenantId,
    pub(crate) name: SessionName,
}

/// How much is kept, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) name: SessionName,
    /// Tells it from others that had the name before, or will have it.
    pub(crate) id: Uuid,
    /// How long it is kept after its last use.
    pub(crate) ttl: Duration,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) use_time: OffsetDateTime,
    pub(crate) expire_time: OffsetDateTime,
    pub(crate) extent: Extent,
}

/// How much a state is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) cookies: usize,
    pub(crate) origins: usize,
    /// Bytes of it.
    pub(crate) size: usize,
}

/// What tells one cookie from another: name, host, whether it is for the hosts below, path.
pub(crate) type CookieKey = (String, String, bool, String);

/// A cookie.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cookie {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) host: String,
    pub(crate) below: bool,
    pub(crate) path: String,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    /// Seconds since 1970. `None`: with the session.
    pub(crate) expires: Option<i64>,
    pub(crate) same_site: String,
}

/// What is kept. Written as JSON, and sealed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) cookies: Vec<Cookie>,
    /// Items by origin.
    pub(crate) storage: BTreeMap<String, BTreeMap<String, String>>,
}

/// What a page has changed.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) cookies: Vec<Cookie>,
    pub(crate) removed_cookies: Vec<CookieKey>,
    pub(crate) storage: Vec<StorageChange>,
}

/// What a page has changed in the storage of an origin.
pub(crate) struct StorageChange {
    pub(crate) origin: String,
    pub(crate) items: BTreeMap<String, String>,
    pub(crate) removed: Vec<String>,
}

impl Session {
    /// A new one.
    pub(crate) fn new(name: SessionName, ttl: Duration, now: OffsetDateTime) -> Self {
        let (id, extent) = (Uuid::now_v7(), Extent::default());
        Self { name, id, ttl, create_time: now, use_time: now, expire_time: now + ttl, extent }
    }

    /// A page begins with it, or has ended. Its time begins again.
    pub(crate) fn used(&mut self, now: OffsetDateTime) {
        self.use_time = self.use_time.max(now);
        self.expire_time = self.use_time + self.ttl;
    }
}

impl Cookie {
    pub(crate) fn key(&self) -> CookieKey {
        (self.name.clone(), self.host.clone(), self.below, self.path.clone())
    }
}

impl State {
    /// Drops the cookies whose time is over.
    pub(crate) fn prune(&mut self, now: OffsetDateTime) {
        let now = now.unix_timestamp();
        self.cookies.retain(|cookie| cookie.expires.is_none_or(|end| end > now));
    }

    /// Makes the changes of a page.
    pub(crate) fn apply(&mut self, changes: &Changes, now: OffsetDateTime) {
        let mut cookies: BTreeMap<CookieKey, Cookie> =
            std::mem::take(&mut self.cookies).into_iter().map(|cookie| (cookie.key(), cookie)).collect();
        for key in &changes.removed_cookies {
            cookies.remove(key);
        }
        cookies.extend(changes.cookies.iter().map(|cookie| (cookie.key(), cookie.clone())));
        self.cookies = cookies.into_values().collect();
        for StorageChange { origin, items, removed } in &changes.storage {
            let storage = self.storage.entry(origin.clone()).or_default();
            for name in removed {
                storage.remove(name);
            }
            storage.extend(items.clone());
        }
        self.storage.retain(|_, items| !items.is_empty());
        self.prune(now);
    }

    /// As bytes, with how much it is. Fails if that is more than may be kept.
    pub(crate) fn write(&self, limits: &Limits) -> Result<(Vec<u8>, Extent), Error> {
        let bytes = serde_json::to_vec(self).map_err(|error| Error::Lost(error.to_string()))?;
        let extent = Extent { cookies: self.cookies.len(), origins: self.storage.len(), size: bytes.len() };
        let most = usize::try_from(limits.max_state.as_u64()).unwrap_or(usize::MAX);
        for (what, count, most) in [
            ("cookies", extent.cookies, limits.max_cookies),
            ("origins with local storage", extent.origins, limits.max_origins),
            ("bytes", extent.size, most),
        ] {
            if count > most {
                return Err(Error::SessionTooLarge { count, what, most });
            }
        }
        Ok((bytes, extent))
    }

    /// From the bytes of [`State::write`].
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|_| Error::Lost("the state of a session".to_owned()))
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("cookies", &self.cookies.len())
            .field("origins", &self.storage.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use bytesize::ByteSize;

    use super::*;

    fn cookie(name: &str, value: &str) -> Cookie {
        Cookie {
            name: name.to_owned(),
            value: value.to_owned(),
            host: "example.com".to_owned(),
            below: false,
            path: "/".to_owned(),
            secure: true,
            http_only: true,
            expires: None,
            same_site: "Lax".to_owned(),
        }
    }

    fn storage(items: &[(&str, &str)], removed: &[&str]) -> Vec<StorageChange> {
        let items = items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let removed = removed.iter().map(|&name| name.to_owned()).collect();
        vec![StorageChange { origin: "https://example.com".to_owned(), items, removed }]
    }

    #[test]
    fn changes_of_pages_that_ran_together_all_hold() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1000);
        let mut state = State::default();
        let one = Changes {
            cookies: vec![cookie("a", "1")],
            storage: storage(&[("x", "1"), ("y", "1")], &[]),
            ..Changes::default()
        };
        let other = Changes {
            cookies: vec![cookie("b", "2"), cookie("c", "3")],
            storage: storage(&[("z", "2")], &["y"]),
            ..Changes::default()
        };
        state.apply(&one, now);
        state.apply(&other, now);
        let names: Vec<_> = state.cookies.iter().map(|cookie| cookie.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let kept: Vec<_> = state.storage["https://example.com"].keys().map(String::as_str).collect();
        assert_eq!(kept, ["x", "z"]);

        // Another path or another reach is another cookie.
        let elsewhere = Cookie { path: "/x".to_owned(), ..cookie("a", "other") };
        let below = Cookie { below: true, ..cookie("a", "below") };
        let removed_cookies = vec![cookie("a", "").key(), cookie("none", "").key()];
        let last =
            Changes { cookies: vec![elsewhere, below], removed_cookies, storage: storage(&[], &["x", "z"]) };
        state.apply(&last, now);
        let left: Vec<_> = state.cookies.iter().map(|cookie| cookie.value.as_str()).collect();
        assert_eq!((left, state.storage.len()), (vec!["other", "below", "2", "3"], 0));
    }

    #[test]
    fn a_cookie_whose_time_is_over_is_not_kept() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1000);
        let until = |name: &str, end| Cookie { expires: Some(end), ..cookie(name, "1") };
        let mut state = State::default();
        state.apply(
            &Changes { cookies: vec![until("over", 1000), until("good", 1001)], ..Changes::default() },
            now,
        );
        assert_eq!(state.cookies.len(), 1);
        state.prune(now + Duration::from_secs(1));
        assert!(state.cookies.is_empty());
    }

    #[test]
    fn what_is_written_is_read_back_within_its_bounds_and_never_shown() {
        let limits = |max_cookies, max_origins, max_state| Limits {
            key_file: "unused".into(),
            max_per_tenant: 1,
            max_cookies,
            max_origins,
            max_state: ByteSize(max_state),
            linger: Duration::ZERO,
        };
        let mut state = State::default();
        let changes = Changes {
            cookies: vec![cookie("a", "secret"), cookie("b", "secret")],
            storage: storage(&[("x", "secret")], &[]),
            ..Changes::default()
        };
        state.apply(&changes, OffsetDateTime::UNIX_EPOCH);
        let (bytes, extent) = state.write(&limits(2, 1, 1000)).expect("it fits");
        assert_eq!((extent.cookies, extent.origins, extent.size), (2, 1, bytes.len()));
        assert!(State::read(&bytes).expect("it can be read") == state);
        assert!(!format!("{state:?}").contains("secret"));
        for (limits, told) in [
            (limits(1, 1, 1000), "2 cookies, more than 1"),
            (limits(2, 0, 1000), "1 origins with local storage, more than 0"),
            (limits(2, 1, 10), "bytes, more than 10"),
        ] {
            let error = state.write(&limits).expect_err(told).to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
