//! Protobuf in and out, with everything that can be wrong with a field.

pub(crate) mod session;

use std::time::SystemTime;

use api::{google::api::HttpBody, job::v1::page, result::v1 as pb};
use bytes::Bytes;
use domain::{JobId, PageId, TenantId, Verdict, id::page_name, id::parse_page_name};
use mesh::Violations;
use prost::Message;
use prost_types::Timestamp;
use time::OffsetDateTime;
use tonic::{Code, Status};

use crate::{
    Limits,
    document::{Artifact, CacheKey, Kind, PageKey, Record, whole_second},
    error::Error,
};

/// The artifact that is made of the document.
pub(crate) const MARKDOWN: &str = "markdown";
const MARKDOWN_TYPE: &str = "text/markdown; charset=utf-8";
const DEFAULT_PAGE: u64 = 20;
const MAX_PAGE: u64 = 100;
const MAX_CONTENT_TYPE: usize = 255;
/// There are two kinds to keep; a longer list is a mistake.
const MAX_ARTIFACTS: usize = 8;

/// A page that a crawler wants to store.
pub(crate) struct NewPage {
    pub(crate) record: Record,
    /// The document as it is kept.
    pub(crate) document: Bytes,
}

impl NewPage {
    /// Bytes of the whole upload.
    pub(crate) fn bytes(&self) -> u64 {
        self.record.size + self.record.artifacts.iter().map(|artifact| artifact.size).sum::<u64>()
    }
}

/// Reads the first part of `StorePage`.
pub(crate) fn header(
    part: Option<pb::StorePageRequest>,
    limits: &Limits,
    now: OffsetDateTime,
) -> Result<NewPage, Status> {
    let Some(pb::store_page_request::Part::Header(header)) = part.and_then(|part| part.part) else {
        return Err(Error::Upload("the first message is not the header").into());
    };
    let pb::store_page_request::Header { tenant, dispatch_sequence, document, expire_time, cache_key } =
        header;
    let Some(mut document) = document else { return refuse("header.document", "REQUIRED", "is required") };
    let announced = std::mem::take(&mut document.artifacts);
    let document_bytes = Bytes::from(document.encode_to_vec());
    limits.check(document_bytes.len() as u64, &announced)?;

    let mut wrong = Violations::new();
    let key = page_key(&mut wrong, &tenant, &document.name);
    if dispatch_sequence < 0 {
        wrong.add("header.dispatch_sequence", "NEGATIVE", "is negative");
    }
    let verdict = verdict(document.verdict);
    if verdict.is_none() {
        wrong.add("header.document.verdict", "REQUIRED", "is not a verdict");
    }
    let artifacts = artifacts(&mut wrong, announced);
    let key_of_cache = CacheKey::read(&cache_key);
    if key_of_cache.is_none() && !cache_key.is_empty() {
        wrong.add("header.cache_key", "INVALID_CACHE_KEY", "has not 32 bytes");
    }
    let end = expire_time.map_or(Some(now + limits.default_ttl), moment);
    if end.is_none() {
        wrong.add("header.expire_time", "INVALID_TIME", "is not a point in time");
    }
    let (Some(key), Some(verdict), Some(end), true) = (key, verdict, end, wrong.is_empty()) else {
        return Err(refused(wrong));
    };
    let record = Record {
        key,
        dispatch_seq: dispatch_sequence,
        verdict,
        size: document_bytes.len() as u64,
        folder: String::new(),
        artifacts,
        store_time: whole_second(now),
        expire_time: whole_second(end),
        cache_key: key_of_cache,
    };
    Ok(NewPage { record, document: document_bytes })
}

impl Limits {
    /// Refuses what is too large, before anything else is looked at.
    fn check(&self, document: u64, announced: &[pb::Artifact]) -> Result<(), Error> {
        let (max_document, max_artifact) = (self.max_document.as_u64(), self.max_artifact.as_u64());
        if document > max_document {
            return Err(Error::TooLarge { what: "the document", limit: max_document });
        }
        let sizes =
            announced.iter().filter(|artifact| artifact.kind != MARKDOWN).map(|artifact| artifact.size);
        if sizes.max().is_some_and(|size| size.cast_unsigned() > max_artifact && size >= 0) {
            return Err(Error::TooLarge { what: "an artifact", limit: max_artifact });
        }
        Ok(())
    }
}

fn page_key(wrong: &mut Violations, tenant: &str, name: &str) -> Option<PageKey> {
    let tenant = TenantId::from_name(tenant);
    let page = parse_page_name(name);
    if let Err(error) = &tenant {
        wrong.add("header.tenant", "INVALID_NAME", error.to_string());
    }
    if let Err(error) = &page {
        wrong.add("header.document.name", "INVALID_NAME", error.to_string());
    }
    let (job, page) = page.ok()?;
    Some(PageKey { tenant: tenant.ok()?, job, page })
}

/// Reads the artifacts that will follow. `markdown` is in the document, so it does not follow.
fn artifacts(wrong: &mut Violations, announced: Vec<pb::Artifact>) -> Vec<Artifact> {
    let mut artifacts: Vec<Artifact> = Vec::new();
    if announced.len() > MAX_ARTIFACTS {
        wrong.add("header.document.artifacts", "TOO_MANY", format!("has more than {MAX_ARTIFACTS} entries"));
    }
    for (index, pb::Artifact { kind, content_type, size }) in
        announced.into_iter().take(MAX_ARTIFACTS).enumerate()
    {
        if kind == MARKDOWN {
            continue;
        }
        let field = |name: &str| format!("header.document.artifacts[{index}].{name}");
        let Some(kind) = Kind::parse(&kind) else {
            wrong.add(field("kind"), "UNKNOWN_ARTIFACT", "is not a kind of artifact");
            continue;
        };
        if artifacts.iter().any(|artifact| artifact.kind == kind) {
            wrong.add(field("kind"), "DUPLICATE", "is announced twice");
        }
        // It becomes an HTTP header.
        let good = !content_type.is_empty()
            && content_type.len() <= MAX_CONTENT_TYPE
            && content_type.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !good {
            wrong.add(field("content_type"), "INVALID_CONTENT_TYPE", "is not a content type");
        }
        match u64::try_from(size) {
            Ok(size) => artifacts.push(Artifact { kind, content_type, size }),
            Err(_) => wrong.add(field("size"), "NEGATIVE", "is negative"),
        }
    }
    artifacts
}

/// Reads a further part of `StorePage`.
pub(crate) fn chunk(part: pb::StorePageRequest) -> Result<(Kind, Bytes), Error> {
    let Some(pb::store_page_request::Part::Chunk(chunk)) = part.part else {
        return Err(Error::Upload("a message after the header is not a chunk"));
    };
    let kind = Kind::parse(&chunk.kind).ok_or(Error::Upload("a chunk is of no kind that can be stored"))?;
    Ok((kind, chunk.data.into()))
}

/// The word of a verdict is the same in the protocol, but for its case.
fn verdict(number: i32) -> Option<Verdict> {
    page::Verdict::try_from(number).ok()?.as_str_name().to_ascii_lowercase().parse().ok()
}

/// Reads `RecallPageRequest`.
pub(crate) fn recall(request: &pb::RecallPageRequest) -> Result<(TenantId, CacheKey), Status> {
    let tenant = TenantId::from_name(&request.tenant);
    match (tenant, CacheKey::read(&request.cache_key)) {
        (Ok(tenant), Some(key)) => Ok((tenant, key)),
        (Err(error), _) => refuse("tenant", "INVALID_NAME", &error.to_string()),
        (_, None) => refuse("cache_key", "INVALID_CACHE_KEY", "has not 32 bytes"),
    }
}

/// What a crawler needs to know of a stored page, without its content.
pub(crate) fn known(record: &Record, bytes: &Bytes) -> Result<pb::RecallPageResponse, Error> {
    let document = self::document(record, bytes)?;
    let known = pb::Document {
        final_url: document.final_url,
        http_status: document.http_status,
        fetch_time: document.fetch_time,
        redirects: document.redirects,
        response_headers: document.response_headers,
        artifacts: document.artifacts,
        ..pb::Document::default()
    };
    Ok(pb::RecallPageResponse { part: Some(pb::recall_page_response::Part::Document(known)) })
}

/// Reads the name of a page.
pub(crate) fn page_of(field: &str, tenant: TenantId, name: &str) -> Result<PageKey, Status> {
    match parse_page_name(name) {
        Ok((job, page)) => Ok(PageKey { tenant, job, page }),
        Err(error) => refuse(field, "INVALID_NAME", &error.to_string()),
    }
}

/// What of a job to list.
pub(crate) struct Page {
    pub(crate) job: JobId,
    pub(crate) size: u64,
    pub(crate) after: Option<PageId>,
}

/// Reads `ListDocumentsRequest`.
pub(crate) fn page(request: &pb::ListDocumentsRequest, tenant: TenantId) -> Result<Page, Status> {
    let mut wrong = Violations::new();
    let job = JobId::from_name(&request.parent);
    if let Err(error) = &job {
        wrong.add("parent", "INVALID_NAME", error.to_string());
    }
    let size = match u64::try_from(request.page_size) {
        Ok(0) => DEFAULT_PAGE,
        Ok(size) => size.min(MAX_PAGE),
        Err(_) => {
            wrong.add("page_size", "NEGATIVE_PAGE_SIZE", "is negative");
            DEFAULT_PAGE
        }
    };
    wrong.into_result()?;
    let Ok(job) = job else { return refuse("parent", "INVALID_NAME", "is not a job") };
    let bad = || refuse("page_token", "INVALID_PAGE_TOKEN", "is not a page token of this list");
    match domain::page_token::decode(&list(tenant, job), &request.page_token) {
        Ok(None) => Ok(Page { job, size, after: None }),
        Ok(Some(cursor)) => cursor.parse().map(|id| Page { job, size, after: Some(id) }).or_else(|_| bad()),
        Err(_) => bad(),
    }
}

/// The token of the documents after `last`.
pub(crate) fn page_token(last: PageKey) -> String {
    domain::page_token::encode(&list(last.tenant, last.job), &last.page.to_string())
}

fn list(tenant: TenantId, job: JobId) -> String {
    format!("{tenant} {} documents", job.name())
}

/// The document as readers see it.
pub(crate) fn document(record: &Record, bytes: &Bytes) -> Result<pb::Document, Error> {
    let mut document = decode(bytes)?;
    document.name = page_name(record.key.job, record.key.page);
    document.expire_time = Some(Timestamp::from(SystemTime::from(record.expire_time)));
    let markdown = pb::Artifact {
        kind: MARKDOWN.to_owned(),
        content_type: MARKDOWN_TYPE.to_owned(),
        size: i64::try_from(document.markdown.len()).unwrap_or(i64::MAX),
    };
    let kept = record.artifacts.iter().map(|artifact| pb::Artifact {
        kind: artifact.kind.as_str().to_owned(),
        content_type: artifact.content_type.clone(),
        size: i64::try_from(artifact.size).unwrap_or(i64::MAX),
    });
    document.artifacts = std::iter::once(markdown).chain(kept).collect();
    Ok(document)
}

/// The Markdown of a document.
pub(crate) fn markdown(bytes: &Bytes) -> Result<Bytes, Error> {
    Ok(decode(bytes)?.markdown.into())
}

/// The Markdown of a document, or of its main content.
pub(crate) fn text(bytes: &Bytes, main_content: bool) -> Result<String, Error> {
    let document = decode(bytes)?;
    Ok(if main_content { document.fit_markdown } else { document.markdown })
}

fn decode(bytes: &Bytes) -> Result<pb::Document, Error> {
    pb::Document::decode(bytes.clone()).map_err(|error| Error::Lost(error.to_string()))
}

/// A piece of an artifact.
pub(crate) fn piece(content_type: &str, data: Bytes) -> HttpBody {
    HttpBody { content_type: content_type.to_owned(), data: data.into(), extensions: Vec::new() }
}

/// A piece of Markdown.
pub(crate) fn markdown_piece(data: Bytes) -> HttpBody {
    piece(MARKDOWN_TYPE, data)
}

fn moment(stamp: Timestamp) -> Option<OffsetDateTime> {
    // Rounded up: a document never goes before its time.
    let seconds = stamp.seconds.checked_add(i64::from(stamp.nanos > 0))?;
    // Before year 0, times cannot be written as text.
    OffsetDateTime::from_unix_timestamp(seconds).ok().filter(|time| *time >= OffsetDateTime::UNIX_EPOCH)
}

fn refuse<T>(field: &str, reason: &'static str, text: &str) -> Result<T, Status> {
    let mut wrong = Violations::new();
    wrong.add(field, reason, text);
    Err(refused(wrong))
}

/// The status of violations that there are.
fn refused(wrong: Violations) -> Status {
    let none = || mesh::refuse_with(Code::InvalidArgument, "INVALID_FIELD", "a field is not valid", &[]);
    wrong.into_result().err().unwrap_or_else(none)
}
