//! Decode, act, encode: the methods of the auth service.

use api::auth::v1::{self as pb, auth_service_server::AuthService};
use domain::Scope;
use tonic::{Request, Response, Status};
use tracing::info;

use crate::{
    authenticator::{Authenticator, new_key, new_tenant},
    error::Error,
    key, wire,
};

type Reply<T> = Result<Response<T>, Status>;

/// Answers the calls.
pub(crate) struct Handler {
    pub(crate) auth: Authenticator,
    /// API keys in use that a tenant may have.
    pub(crate) max_keys: u64,
}

#[tonic::async_trait]
impl AuthService for Handler {
    async fn issue_token(&self, request: Request<pb::IssueTokenRequest>) -> Reply<pb::IssueTokenResponse> {
        let call = mesh::internal_call(&request)?;
        let secret = &request.get_ref().api_key;
        let key = match call.principal {
            _ if !secret.is_empty() => self.auth.key(secret, call.time).await?,
            Some(caller) => self.auth.key_of_call(caller.tenant, &caller.subject, call.time).await?,
            None => return Err(Error::MissingCredentials.into()),
        };
        Ok(Response::new(self.auth.issue(&key, call.time)?.into()))
    }

    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Reply<pb::CreateApiKeyResponse> {
        let call = mesh::call(&request)?;
        call.require(Scope::KeysManage)?;
        let wanted = wire::wanted_key(request.into_inner(), call.time)?;
        let scopes = key::grant(&wanted.scopes, &call.scopes)?;
        let (mut entry, secret) =
            new_key(&self.auth.pepper, call.tenant, &wanted.display_name, scopes, call.time)?;
        entry.key.expire_time = wanted.expire_time;
        self.auth.store.add_key(&entry, self.max_keys).await?;
        info!(tenant = %call.tenant, key = %entry.key.id, by = call.subject, "API key created");
        Ok(Response::new(wire::created(entry.key, &secret)))
    }

    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Reply<pb::ListApiKeysResponse> {
        let call = mesh::call(&request)?;
        call.require(Scope::KeysManage)?;
        let (size, before) = wire::page(request.get_ref(), call.tenant)?;
        // One more than asked for tells whether the list goes on.
        let mut keys = self.auth.store.keys(call.tenant, before, size + 1).await?;
        let more = keys.len() as u64 > size;
        keys.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        let last = keys.last().filter(|_| more);
        let next_page_token = last.map(|key| wire::page_token(call.tenant, key.id)).unwrap_or_default();
        let api_keys = keys.into_iter().map(Into::into).collect();
        Ok(Response::new(pb::ListApiKeysResponse { api_keys, next_page_token }))
    }

    async fn revoke_api_key(&self, request: Request<pb::RevokeApiKeyRequest>) -> Reply<pb::ApiKey> {
        let call = mesh::call(&request)?;
        call.require(Scope::KeysManage)?;
        let id = wire::key_id(&request.get_ref().name)?;
        let key = self.auth.store.revoke(call.tenant, id, call.time).await?;
        info!(tenant = %call.tenant, key = %id, by = call.subject, "API key revoked");
        Ok(Response::new(key.into()))
    }

    async fn create_tenant(
        &self,
        request: Request<pb::CreateTenantRequest>,
    ) -> Reply<pb::CreateTenantResponse> {
        let call = mesh::call(&request)?;
        call.require(Scope::TenantsManage)?;
        let name = wire::wanted_tenant(request.into_inner())?;
        let (tenant, entry, secret) = new_tenant(&self.auth.pepper, &name, call.time)?;
        self.auth.store.create_tenant(&tenant, &entry).await?;
        info!(tenant = %tenant.id, by = call.subject, "tenant created");
        let pb::CreateApiKeyResponse { api_key, secret } = wire::created(entry.key, &secret);
        Ok(Response::new(pb::CreateTenantResponse { tenant: Some(tenant.into()), api_key, secret }))
    }

    async fn get_jwks(&self, request: Request<pb::GetJwksRequest>) -> Reply<pb::Jwks> {
        let call = mesh::internal_call(&request)?;
        let keys = self.auth.signer.verifying(call.time).iter().map(Into::into).collect();
        Ok(Response::new(pb::Jwks { keys }))
    }

    async fn authenticate(&self, request: Request<pb::AuthenticateRequest>) -> Reply<pb::Principal> {
        let call = mesh::internal_call(&request)?;
        let credential = &request.get_ref().credential;
        if credential.is_empty() {
            return Err(Error::MissingCredentials.into());
        }
        Ok(Response::new(self.auth.authenticate(credential, call.time).await?.into()))
    }
}
