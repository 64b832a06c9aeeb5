//! Decode, act, encode: the methods of the result service.

mod sessions;

use std::pin::Pin;

use api::{
    google::api::HttpBody,
    result::v1::{self as pb, result_service_server::ResultService},
};
use bytes::Bytes;
use domain::{Scope, id::page_name};
use futures::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Limits,
    archive::Archive,
    diff,
    document::{Kept, Kind, PageKey, fitting, whole_second},
    error::Error,
    objects::PIECE,
    upload::Upload,
    wire,
};

pub(crate) use sessions::SessionHandler;

/// Where the documents of one list end.
const LIST_BYTES: u64 = 4 << 20;

type Reply<T> = Result<Response<T>, Status>;

/// Answers the calls.
pub(crate) struct Handler {
    pub(crate) archive: Archive,
    pub(crate) limits: Limits,
}

#[tonic::async_trait]
impl ResultService for Handler {
    type RecallPageStream = Pin<Box<dyn Stream<Item = Result<pb::RecallPageResponse, Status>> + Send>>;
    type GetArtifactStream = Pin<Box<dyn Stream<Item = Result<HttpBody, Status>> + Send>>;

    async fn get_document(&self, request: Request<pb::GetDocumentRequest>) -> Reply<pb::Document> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsRead)?;
        let key = wire::page_of("name", call.tenant, &request.get_ref().name)?;
        let (record, bytes) = self.archive.document(key, whole_second(call.time)).await?;
        Ok(Response::new(wire::document(&record, &bytes)?))
    }

    async fn list_documents(
        &self,
        request: Request<pb::ListDocumentsRequest>,
    ) -> Reply<pb::ListDocumentsResponse> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsRead)?;
        let page = wire::page(request.get_ref(), call.tenant)?;
        let (documents, next_page_token) =
            self.archive_page(call.tenant, page, whole_second(call.time)).await?;
        Ok(Response::new(pb::ListDocumentsResponse { documents, next_page_token }))
    }

    async fn get_artifact(&self, request: Request<pb::GetArtifactRequest>) -> Reply<Self::GetArtifactStream> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsRead)?;
        let pb::GetArtifactRequest { name, kind } = request.get_ref();
        let (key, now) = (wire::page_of("name", call.tenant, name)?, whole_second(call.time));
        if kind == wire::MARKDOWN {
            let (_, bytes) = self.archive.document(key, now).await?;
            let pieces = pieces(&wire::markdown(&bytes)?).into_iter().map(wire::markdown_piece).map(Ok);
            return Ok(Response::new(stream::iter(pieces.collect::<Vec<_>>()).boxed()));
        }
        let record = self.archive.record(key, now).await?;
        let missing = || Error::NoArtifact(key.job, key.page);
        let kind = Kind::parse(kind).ok_or_else(missing)?;
        let artifact = record.artifacts.iter().find(|artifact| artifact.kind == kind).cloned();
        let artifact = artifact.ok_or_else(missing)?;
        let pieces = self.archive.artifact(record, &artifact, now).await?;
        let content_type = artifact.content_type;
        // An empty artifact has a content type too.
        let first = (artifact.size == 0).then(|| Ok(wire::piece(&content_type, Bytes::new())));
        let rest = pieces.map(move |piece| Ok(wire::piece(&content_type, piece?)));
        Ok(Response::new(stream::iter(first).chain(rest).boxed()))
    }

    async fn diff_page(&self, request: Request<pb::DiffPageRequest>) -> Reply<pb::DiffPageResponse> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsRead)?;
        let pb::DiffPageRequest { name, base, main_content } = request.into_inner();
        let now = whole_second(call.time);
        let page = self.text_of(wire::page_of("name", call.tenant, &name)?, main_content, now).await?;
        let before = self.text_of(wire::page_of("base", call.tenant, &base)?, main_content, now).await?;
        let (time, bytes) = (self.limits.diff_timeout, self.limits.max_diff.as_u64());
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let (old, new) = (base.clone(), name.clone());
        let work = move || diff::unified((&old, &before), (&new, &page), time, bytes);
        let diff = tokio::task::spawn_blocking(work).await;
        let diff = diff.map_err(|panic| Error::Lost(panic.to_string()))?;
        Ok(Response::new(pb::DiffPageResponse {
            name,
            base,
            diff: diff.text,
            added_lines: i64::try_from(diff.added).unwrap_or(i64::MAX),
            removed_lines: i64::try_from(diff.removed).unwrap_or(i64::MAX),
            truncated: diff.truncated,
        }))
    }

    async fn recall_page(&self, request: Request<pb::RecallPageRequest>) -> Reply<Self::RecallPageStream> {
        let call = mesh::internal_call(&request)?;
        let (tenant, cache_key) = wire::recall(request.get_ref())?;
        let now = whole_second(call.time);
        let key = self.archive.latest(tenant, cache_key, now).await?;
        let (record, bytes) = self.archive.document(key, now).await?;
        let known = wire::known(&record, &bytes)?;
        let missing = || Error::NoArtifact(key.job, key.page);
        let html = record.artifacts.iter().find(|artifact| artifact.kind == Kind::Html).cloned();
        let pieces = self.archive.artifact(record, &html.ok_or_else(missing)?, now).await?;
        let part = |html: Bytes| pb::RecallPageResponse {
            part: Some(pb::recall_page_response::Part::Html(html.into())),
        };
        let rest = pieces.map(move |piece| Ok(part(piece?)));
        Ok(Response::new(stream::iter([Ok(known)]).chain(rest).boxed()))
    }

    async fn store_page(
        &self,
        request: Request<Streaming<pb::StorePageRequest>>,
    ) -> Reply<pb::StorePageResponse> {
        let call = mesh::internal_call(&request)?;
        let mut parts = request.into_inner();
        let page = wire::header(parts.message().await?, &self.limits, call.time)?;
        let _room = self.archive.room(page.bytes()).await?;
        let mut upload = Upload::new(page.record.artifacts.clone());
        while let Some(part) = parts.message().await? {
            let (kind, data) = wire::chunk(part)?;
            upload.push(kind, &data)?;
        }
        let artifacts = upload.finish()?;
        let kept = self.archive.keep(page.record, page.document, artifacts).await?;
        Ok(Response::new(reply(kept)))
    }
}

impl Handler {
    /// The Markdown of a page, if it is not too long to be compared.
    async fn text_of(
        &self,
        key: PageKey,
        main_content: bool,
        now: time::OffsetDateTime,
    ) -> Result<String, Error> {
        let (_, bytes) = self.archive.document(key, now).await?;
        let text = wire::text(&bytes, main_content)?;
        let limit = self.limits.max_diff_input.as_u64();
        if text.len() as u64 > limit {
            return Err(Error::TooLargeToDiff(page_name(key.job, key.page), limit));
        }
        Ok(text)
    }

    /// One page of a job's documents, and the token of the next.
    async fn archive_page(
        &self,
        tenant: domain::TenantId,
        page: wire::Page,
        now: time::OffsetDateTime,
    ) -> Result<(Vec<pb::Document>, String), Error> {
        // One more than asked for tells whether the list goes on.
        let mut records = self.archive.list(tenant, page.job, page.after, page.size + 1, now).await?;
        let found = records.len();
        let wanted = usize::try_from(page.size).unwrap_or(usize::MAX);
        let count = fitting(records.iter().take(wanted).map(|record| record.size), LIST_BYTES);
        records.truncate(count);
        let last = records.last().map(|record| record.key).filter(|_| found > count);
        let next_page_token = last.map(wire::page_token).unwrap_or_default();
        let loaded = self.archive.documents(records, now).await?;
        let documents = loaded.iter().map(|(record, bytes)| wire::document(record, bytes));
        Ok((documents.collect::<Result<_, _>>()?, next_page_token))
    }
}

fn reply(kept: Kept) -> pb::StorePageResponse {
    pb::StorePageResponse { stored: kept != Kept::Outdated }
}

/// `bytes` in pieces; one empty piece for nothing, so that its content type is told.
fn pieces(bytes: &Bytes) -> Vec<Bytes> {
    let starts = (0..bytes.len().max(1)).step_by(PIECE);
    starts.map(|start| bytes.slice(start..bytes.len().min(start + PIECE))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_bounded_and_make_the_whole() {
        for (size, count) in [(0, 1), (1, 1), (PIECE, 1), (PIECE + 1, 2), (3 * PIECE, 3)] {
            let whole = Bytes::from(vec![1; size]);
            let pieces = pieces(&whole);
            assert_eq!(pieces.len(), count, "{size}");
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE));
            assert_eq!(pieces.concat(), whole);
        }
    }
}
