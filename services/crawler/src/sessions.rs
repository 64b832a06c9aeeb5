//! The sessions of tenants, which the result service keeps: a page asks for the state, and tells what it has changed.
//!
//! Promises: a result service that is away is asked again with back-off until `store_timeout` is over, and then it is our fault, not the
//! page's. Nothing of a session stays here.

use std::time::Duration;

use api::result::v1 as pb;
use api::result::v1::session_service_client::SessionServiceClient;
use domain::{SessionName, TenantId, Verdict};
use egress::Crumb;
use mesh::client::Channel;
use tonic::{Code, Response, Status};

use crate::classify::Judgement;
use crate::persist::persist;
use crate::session::{Changes, State};

/// The session of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: SessionName,
    /// How long it is kept after its last use.
    pub(crate) ttl: Duration,
}

/// Why a page cannot begin with a session, or leave its changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// There is no room for it, as the result service says it.
    #[error("session: {0}")]
    Full(String),
    /// The result service is away, or refuses us.
    #[error("the session cannot be reached")]
    Away,
}

impl From<Error> for Judgement {
    fn from(error: Error) -> Self {
        match error {
            Error::Full(_) => Self::done(Verdict::TooLarge, error.to_string()),
            Error::Away => Self::infra(error.to_string()),
        }
    }
}

/// Sessions, as crawlers use them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sessions {
    client: SessionServiceClient<Channel>,
    timeout: Duration,
}

impl Sessions {
    /// Those of the result service behind `channel`, which answers with at most `max_message` bytes.
    pub(crate) fn new(channel: Channel, timeout: Duration, max_message: usize) -> Self {
        let client = SessionServiceClient::new(channel)
            .max_decoding_message_size(max_message)
            .max_encoding_message_size(max_message);
        Self { client, timeout }
    }

    /// What a page begins with, and which session of this name it is.
    pub(crate) async fn open(&self, tenant: TenantId, session: &Named) -> Result<(String, State), Error> {
        let request = pb::OpenSessionRequest {
            tenant: tenant.name(),
            name: session.name.name(),
            ttl: prost_types::Duration::try_from(session.ttl).ok(),
        };
        let open = || {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.open_session(request).await }
        };
        let opened = self.ask(open).await?;
        Ok((opened.session_id, read(opened.state.unwrap_or_default())))
    }

    /// Keeps what a page has changed. Where the session was deleted meanwhile, nothing is kept, and nothing is wrong.
    pub(crate) async fn change(
        &self,
        tenant: TenantId,
        session: &Named,
        session_id: String,
        changes: Changes,
    ) -> Result<(), Error> {
        let request = pb::ChangeSessionRequest {
            tenant: tenant.name(),
            name: session.name.name(),
            session_id,
            changes: Some(write(changes)),
        };
        let change = || {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.change_session(request).await }
        };
        if !self.ask(change).await?.kept {
            tracing::debug!("a session was deleted while a page used it");
        }
        Ok(())
    }

    async fn ask<T, F>(&self, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        persist("session", self.timeout, full, call).await.map_err(|refused| match refused {
            Some(status) => Error::Full(status.message().to_owned()),
            None => Error::Away,
        })
    }
}

fn full(status: &Status) -> bool {
    let reason = mesh::error_reason(status);
    status.code() == Code::ResourceExhausted
        && matches!(reason.as_deref(), Some("TOO_MANY_SESSIONS" | "SESSION_TOO_LARGE"))
}

fn read(state: pb::SessionState) -> State {
    let storage = state.storage.into_iter().map(|it| (it.origin, it.items.into_iter().collect()));
    State { cookies: state.cookies.into_iter().map(read_cookie).collect(), storage: storage.collect() }
}

fn write(changes: Changes) -> pb::SessionChanges {
    let storage = changes.storage.into_iter().map(|(origin, change)| pb::SessionStorage {
        origin,
        items: change.items.into_iter().collect(),
        removed: change.removed,
    });
    pb::SessionChanges {
        cookies: changes.cookies.into_iter().map(write_cookie).collect(),
        removed_cookies: changes.removed_cookies.into_iter().map(write_cookie).collect(),
        storage: storage.collect(),
    }
}

fn read_cookie(cookie: pb::SessionCookie) -> Crumb {
    let pb::SessionCookie { name, value, host, below, path, secure, http_only, expires, same_site } = cookie;
    let same_site = Some(same_site).filter(|it| !it.is_empty());
    Crumb { name, value, host, below, path, secure, http_only, expires, same_site }
}

fn write_cookie(crumb: Crumb) -> pb::SessionCookie {
    let Crumb { name, value, host, below, path, secure, http_only, expires, same_site } = crumb;
    let same_site = same_site.unwrap_or_default();
    pb::SessionCookie { name, value, host, below, path, secure, http_only, expires, same_site }
}
