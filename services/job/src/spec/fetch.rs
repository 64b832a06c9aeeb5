//! How the pages of a job are asked for: what is sent beside our own headers, to whom, and what is used again.

use std::{collections::BTreeMap, time::Duration};

use domain::Scope;
use serde::{Deserialize, Serialize};

/// Options of the requests. Values may be credentials: they are shown to crawlers only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fetch {
    pub(crate) headers: BTreeMap<String, String>,
    /// Names and values, in the order given.
    pub(crate) cookies: Vec<(String, String)>,
    pub(crate) user_agent: Option<String>,
    /// Hosts that headers and cookies are sent to.
    pub(crate) hosts: Vec<String>,
    /// How old a stored page may be that is used again. `None`: none is used.
    pub(crate) max_age: Option<Duration>,
    /// What everything goes through. `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<Proxy>,
}

/// A proxy of the caller's, with the credentials for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proxy {
    pub(crate) server: String,
    /// Empty: it is told of no user.
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Fetch {
    /// Whether something is sent that only the HTTP lane sends.
    pub(crate) fn sends(&self) -> bool {
        !self.headers.is_empty() || !self.cookies.is_empty() || self.user_agent.is_some()
    }

    /// The scopes that a credential needs for it.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = Scope> {
        let headers = !self.headers.is_empty() || self.user_agent.is_some();
        let cookies = !self.cookies.is_empty();
        [
            headers.then_some(Scope::HeadersSet),
            cookies.then_some(Scope::CookiesSet),
            self.proxy.as_ref().map(|_| Scope::ProxySet),
        ]
        .into_iter()
        .flatten()
    }
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetch")
            .field("hosts", &self.hosts)
            .field("max_age", &self.max_age)
            .field("proxy", &self.proxy.as_ref().map(|proxy| &proxy.server))
            .finish_non_exhaustive()
    }
}
