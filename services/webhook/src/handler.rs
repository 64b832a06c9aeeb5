//! Decode, act, encode.

use std::sync::Arc;

use api::webhook::v1::{
    GetSigningSecretRequest, ListDeliveriesRequest, ListDeliveriesResponse, SigningSecret,
    webhook_service_server::WebhookService,
};
use domain::{Scope, id::DeliveryId, page_token};
use tonic::{Request, Response, Status};

use crate::{deliverer::Secrets, store::Store, wire};

const DEFAULT_PAGE: u64 = 50;
const MAX_PAGE: u64 = 100;

pub(crate) struct Handler {
    pub(crate) store: Store,
    pub(crate) secrets: Arc<Secrets>,
}

#[tonic::async_trait]
impl WebhookService for Handler {
    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        let call = mesh::call(&request)?;
        call.require(Scope::WebhooksManage)?;
        let request = request.into_inner();
        let job = wire::job(&request.parent)?;
        let list = format!("{} deliveries {job}", call.tenant);
        let after = wire::cursor(&list, &request.page_token)?;
        let size = wire::page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE)?;
        let mut found = self.store.list(call.tenant, job, after, size + 1).await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = found.len() > size;
        found.truncate(size);
        let next: Option<DeliveryId> = found.last().filter(|_| more).map(|(delivery, _)| delivery.id);
        Ok(Response::new(ListDeliveriesResponse {
            next_page_token: next.map(|id| page_token::encode(&list, &id.to_string())).unwrap_or_default(),
            deliveries: found.into_iter().map(wire::delivery).collect(),
        }))
    }

    async fn get_signing_secret(
        &self,
        request: Request<GetSigningSecretRequest>,
    ) -> Result<Response<SigningSecret>, Status> {
        let call = mesh::call(&request)?;
        call.require(Scope::WebhooksManage)?;
        let secret = self.secrets.of(call.tenant).await?;
        Ok(Response::new(SigningSecret { secret: secret.to_text() }))
    }
}
