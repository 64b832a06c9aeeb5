//! `GET /crawl/job/{task_id}`: a job with its results, as far as they fit into one answer.

use api::{
    job::v1::{
        GetJobRequest, Job, ListPagesRequest, Page,
        job::State,
        page::{Kind, Verdict},
    },
    result::v1::{
        Document, GetArtifactRequest, ListDocumentsRequest, result_service_client::ResultServiceClient,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{JobId, Service};
use http::Response;
use mesh::{Principal, client::Channel};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::{Code, Status};

use super::{
    jobs, logs,
    result::{self, Files},
    task_id,
};
use crate::{
    body::{self, Body},
    config::bytes,
    edge::{Context, Edge},
    problem::Problem,
    transcode::outgoing,
};

/// Pages in one answer. Crawl4AI has no way to ask for more.
const MAX_PAGES: usize = 100;
/// Bytes of documents and artifacts in one answer.
const MAX_BYTES: usize = 10 << 20;
/// Documents to ask for at a time.
const BATCH: i32 = 20;

/// Shows a task.
pub(super) async fn show(
    edge: &Edge,
    context: &Context,
    principal: &Principal,
    id: JobId,
) -> Result<Response<Body>, Problem> {
    let reader = Reader { edge, context, principal };
    let job = reader.job(id).await?;
    let path = format!("/crawl/job/{}", task_id(id));
    let mut answer = Map::new();
    answer.insert("task_id".to_owned(), json!(task_id(id)));
    answer.insert("created_at".to_owned(), json!(time_text(job.create_time.as_ref())));
    // Crawl4AI shows a list in a string.
    answer.insert("url".to_owned(), json!(json!(job.urls).to_string()));
    answer.insert("_links".to_owned(), json!({"self": {"href": path}, "refresh": {"href": path}}));
    let status = match job.state() {
        State::Unspecified | State::Queued | State::Running | State::Paused => "processing",
        State::Succeeded => {
            answer.insert("result".to_owned(), reader.result(id, &job).await?);
            "completed"
        }
        State::Failed | State::Cancelled => {
            answer.insert("error".to_owned(), json!(failure(&job)));
            "failed"
        }
    };
    answer.insert("status".to_owned(), json!(status));
    Ok(body::json(&Value::Object(answer)))
}

/// Why a job failed, from its ledger: `no page succeeded: dns 2, timeout 1`.
fn failure(job: &Job) -> String {
    if job.state() == State::Cancelled {
        return "the job was cancelled".to_owned();
    }
    let mut verdicts: Vec<_> = job.verdicts.iter().collect();
    verdicts.sort();
    let list: Vec<_> = verdicts.iter().map(|(verdict, count)| format!("{verdict} {count}")).collect();
    format!("no page succeeded: {}", list.join(", "))
}

fn time_text(time: Option<&prost_types::Timestamp>) -> Option<String> {
    let time = time?;
    let whole = OffsetDateTime::from_unix_timestamp(time.seconds).ok()?;
    let exact = whole.replace_nanosecond(u32::try_from(time.nanos).ok()?).ok()?;
    exact.format(&Rfc3339).ok()
}

/// Reads from the services on behalf of the caller.
struct Reader<'a> {
    edge: &'a Edge,
    context: &'a Context,
    principal: &'a Principal,
}

impl Reader<'_> {
    fn request<T>(&self, message: T) -> tonic::Request<T> {
        outgoing(self.edge, self.context, Some(self.principal), message)
    }

    fn results(&self) -> ResultServiceClient<Channel> {
        ResultServiceClient::new(self.edge.peers.channel(Service::Result).clone())
            .max_decoding_message_size(bytes(self.edge.public.max_response))
    }

    async fn job(&self, id: JobId) -> Result<Job, Status> {
        let request = self.request(GetJobRequest { name: id.name(), wait: None });
        Ok(jobs(self.edge).get_job(request).await?.into_inner())
    }

    async fn result(&self, id: JobId, job: &Job) -> Result<Value, Status> {
        let (pages, hidden) = self.pages(id).await?;
        let (mut documents, complete) = self.documents(id).await?;
        let mut left = MAX_BYTES;
        let mut results = Vec::with_capacity(pages.len());
        for page in &pages {
            let document = documents.iter().position(|document| document.name == page.name);
            // Both lists are in the order of the pages: after the last document that was read, nobody knows.
            if document.is_none() && documents.is_empty() && !complete {
                break;
            }
            let document = document.map(|index| documents.remove(index));
            let size = document.as_ref().map_or(0, size);
            if size > left {
                break;
            }
            left -= size;
            results.push(self.page(job, page, document).await?);
        }
        let found = job.counts.map_or(0, |counts| counts.found);
        let shown = results.len() + hidden;
        let mut answer = json!({
            "success": true,
            "results": results,
            "server_processing_time_s": seconds(job),
        });
        if i64::try_from(shown).unwrap_or(i64::MAX) < found {
            // Never silently: the rest is in the native API.
            answer["truncated"] = json!(true);
            answer["next"] = json!(format!("/v1/{}/documents", id.name()));
        }
        Ok(answer)
    }

    /// The first pages of a job, and how many lines of its ledger among them are no results.
    async fn pages(&self, id: JobId) -> Result<(Vec<Page>, usize), Status> {
        let request = ListPagesRequest {
            parent: id.name(),
            page_size: i32::try_from(MAX_PAGES).unwrap_or(i32::MAX),
            ..ListPagesRequest::default()
        };
        let mut pages = jobs(self.edge).list_pages(self.request(request)).await?.into_inner().pages;
        let all = pages.len();
        pages.retain(is_result);
        let hidden = all - pages.len();
        Ok((pages, hidden))
    }

    /// The documents of the first pages, at most as many and as large as an answer may have, and whether these are all.
    async fn documents(&self, id: JobId) -> Result<(Vec<Document>, bool), Status> {
        let (mut documents, mut total, mut token) = (Vec::new(), 0, String::new());
        loop {
            let request = ListDocumentsRequest { parent: id.name(), page_size: BATCH, page_token: token };
            let batch = self.results().list_documents(self.request(request)).await?.into_inner();
            total += batch.documents.iter().map(size).sum::<usize>();
            documents.extend(batch.documents);
            token = batch.next_page_token;
            if token.is_empty() || documents.len() >= MAX_PAGES || total >= MAX_BYTES {
                return Ok((documents, token.is_empty()));
            }
        }
    }

    async fn page(&self, job: &Job, page: &Page, document: Option<Document>) -> Result<Value, Status> {
        let Some(document) = document else { return Ok(result::failed(page)) };
        let html = self.artifact(&document, "html").await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let files = Files {
            html: html.map(text).unwrap_or_default(),
            screenshot: self.artifact(&document, "screenshot").await?.map(|bytes| STANDARD.encode(bytes)),
            pdf: self.artifact(&document, "pdf").await?.map(|bytes| STANDARD.encode(bytes)),
            mhtml: self.artifact(&document, "mhtml").await?.map(text),
            network: self.artifact(&document, "har").await?.and_then(|har| logs::network(&har)),
            console: self.artifact(&document, "console").await?.and_then(|console| logs::console(&console)),
        };
        Ok(result::fetched(job, page, &document, files))
    }

    /// An artifact, if the document has it. One that has expired since is as good as none.
    async fn artifact(&self, document: &Document, kind: &str) -> Result<Option<Vec<u8>>, Status> {
        if !document.artifacts.iter().any(|artifact| artifact.kind == kind) {
            return Ok(None);
        }
        let request = GetArtifactRequest { name: document.name.clone(), kind: kind.to_owned() };
        let mut chunks = match self.results().get_artifact(self.request(request)).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            Err(status) => return Err(status),
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            bytes.extend(chunk.data);
            if bytes.len() > MAX_BYTES {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }
}

/// Whether a line of the ledger is a result: what a deep crawl found and did not read is none, nor is a sitemap.
fn is_result(page: &Page) -> bool {
    let passed_over = page.depth > 0 && matches!(page.verdict(), Verdict::Budget | Verdict::Duplicate);
    matches!(page.kind(), Kind::Unspecified | Kind::Page) && !passed_over
}

/// Bytes of a document with the artifacts that are shown, pictures as base64.
fn size(document: &Document) -> usize {
    let artifacts = document.artifacts.iter().map(|artifact| {
        let size = usize::try_from(artifact.size).unwrap_or(usize::MAX);
        match artifact.kind.as_str() {
            "html" | "mhtml" | "har" | "console" => size,
            "screenshot" | "pdf" => size.div_ceil(3).saturating_mul(4),
            _ => 0,
        }
    });
    artifacts.fold(prost::Message::encoded_len(document), usize::saturating_add)
}

fn seconds(job: &Job) -> Option<f64> {
    let (start, end) = (job.create_time.as_ref()?, job.end_time.as_ref()?);
    Some((end.seconds - start.seconds) as f64 + f64::from(end.nanos - start.nanos) / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_job_says_why() {
        let verdicts = [("timeout".to_owned(), 1), ("dns".to_owned(), 2)].into();
        let job = Job { state: State::Failed.into(), verdicts, ..Job::default() };
        assert_eq!(failure(&job), "no page succeeded: dns 2, timeout 1");
        let job = Job { state: State::Cancelled.into(), ..Job::default() };
        assert_eq!(failure(&job), "the job was cancelled");
    }

    #[test]
    fn times_are_text() {
        let time = prost_types::Timestamp { seconds: 1_767_225_600, nanos: 500_000_000 };
        assert_eq!(time_text(Some(&time)).as_deref(), Some("2026-01-01T00:00:00.5Z"));
        assert_eq!(time_text(None), None);
    }
}
