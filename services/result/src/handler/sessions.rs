//! The methods of the session service.

use api::result::v1::{self as pb, session_service_server::SessionService};
use domain::Scope;
use store::comparable;
use tonic::{Request, Response, Status};

use super::Reply;
use crate::{error::Error, session::SessionKey, vault::Vault, wire::session as wire};

/// Answers the calls.
pub(crate) struct SessionHandler {
    pub(crate) vault: Vault,
}

#[tonic::async_trait]
impl SessionService for SessionHandler {
    async fn get_session(&self, request: Request<pb::GetSessionRequest>) -> Reply<pb::Session> {
        let call = mesh::call(&request)?;
        call.require(Scope::SessionUse)?;
        let key = SessionKey { tenant: call.tenant, name: wire::name(&request.get_ref().name)? };
        let session = self.vault.store.session(&key, comparable(call.time)).await?;
        let session = session.ok_or_else(|| Error::NoSession(key.name.name()))?;
        Ok(Response::new(wire::show(&session)))
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Reply<pb::ListSessionsResponse> {
        let call = mesh::call(&request)?;
        call.require(Scope::SessionUse)?;
        let list = wire::list(request.get_ref(), call.tenant)?;
        let now = comparable(call.time);
        // One more than asked for tells whether the list goes on.
        let mut sessions =
            self.vault.store.sessions(call.tenant, list.after.as_ref(), list.size + 1, now).await?;
        let wanted = usize::try_from(list.size).unwrap_or(usize::MAX);
        let more = sessions.len() > wanted;
        sessions.truncate(wanted);
        let last = sessions.last().filter(|_| more);
        let next_page_token = last.map(|last| wire::token(call.tenant, &last.name)).unwrap_or_default();
        let sessions = sessions.iter().map(wire::show).collect();
        Ok(Response::new(pb::ListSessionsResponse { sessions, next_page_token }))
    }

    async fn delete_session(&self, request: Request<pb::DeleteSessionRequest>) -> Reply<()> {
        let call = mesh::call(&request)?;
        call.require(Scope::SessionUse)?;
        let key = SessionKey { tenant: call.tenant, name: wire::name(&request.get_ref().name)? };
        if self.vault.store.delete_session(&key, comparable(call.time)).await? {
            Ok(Response::new(()))
        } else {
            Err(Error::NoSession(key.name.name()).into())
        }
    }

    async fn open_session(&self, request: Request<pb::OpenSessionRequest>) -> Reply<pb::OpenSessionResponse> {
        let call = mesh::internal_call(&request)?;
        let (key, ttl) = wire::opening(request.get_ref())?;
        let (session, state) = self.vault.open(key.tenant, key.name, ttl, comparable(call.time)).await?;
        let (session_id, state) = (session.id.to_string(), Some(wire::state(state)));
        Ok(Response::new(pb::OpenSessionResponse { session_id, state }))
    }

    async fn change_session(
        &self,
        request: Request<pb::ChangeSessionRequest>,
    ) -> Result<Response<pb::ChangeSessionResponse>, Status> {
        let call = mesh::internal_call(&request)?;
        let (key, id, changes) = wire::changes(request.into_inner())?;
        let kept = self.vault.change(&key, id, changes, comparable(call.time)).await?;
        Ok(Response::new(pb::ChangeSessionResponse { kept }))
    }
}
