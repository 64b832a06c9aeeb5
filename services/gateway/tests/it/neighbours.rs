//! The services behind the gateway, played: they answer with what they were asked, so that a test can see what arrived.

use std::{
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use api::{auth::v1 as auth, google::api::HttpBody, job::v1 as job, result::v1 as result};
use futures::{Stream, StreamExt, stream};
use mesh::TenantCall;
use tonic::{Code, Request, Response, Status, Streaming};

pub(crate) const GOOD_KEY: &str = "ck_good";
pub(crate) const TENANT: &str = "tenants/018f3c9e-6a5b-7c3d-8e1f-0123456789ab";
pub(crate) const JOB: &str = "jobs/018f3c9e-6a5b-7c3d-8e1f-aaaaaaaaaaaa";

type Reply<T> = Result<Response<T>, Status>;
type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What was asked, and how to answer.
#[derive(Default)]
pub(crate) struct Neighbours {
    /// Calls of `Authenticate`.
    pub(crate) asked: AtomicUsize,
    /// Whether the auth service is away.
    pub(crate) away: AtomicBool,
    /// The last call of the job service.
    pub(crate) call: Mutex<Option<TenantCall>>,
    /// The last request of `CreateCrawlJob`.
    pub(crate) created: Mutex<Option<job::CreateCrawlJobRequest>>,
    /// Headers of the last call, as they arrived.
    pub(crate) headers: Mutex<Option<http::HeaderMap>>,
}

impl Neighbours {
    fn note<T>(&self, request: &Request<T>) -> Result<(), Status> {
        *self.headers.lock().unwrap() = Some(request.metadata().clone().into_headers());
        *self.call.lock().unwrap() = Some(mesh::call(request)?);
        Ok(())
    }

    pub(crate) fn last_call(&self) -> TenantCall {
        self.call.lock().unwrap().clone().expect("a call arrived")
    }
}

fn unimplemented<T>() -> Reply<T> {
    Err(Status::unimplemented("not played"))
}

fn refused<T>(code: Code, reason: &'static str) -> Reply<T> {
    Err(mesh::refuse_with(code, reason, "no", &[]))
}

fn job_in(state: job::job::State) -> job::Job {
    job::Job {
        name: JOB.to_owned(),
        state: state.into(),
        counts: Some(job::Counts { found: 2, succeeded: 1, failed: 1, ..Default::default() }),
        urls: vec!["https://example.com/".to_owned()],
        create_time: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 0 }),
        end_time: Some(prost_types::Timestamp { seconds: 1_767_225_602, nanos: 0 }),
        ..Default::default()
    }
}

fn page_name(number: u8) -> String {
    format!("{JOB}/pages/018f3c9e-6a5b-7c3d-8e1f-bbbbbbbbbbb{number}")
}

#[tonic::async_trait]
impl auth::auth_service_server::AuthService for Neighbours {
    async fn authenticate(&self, request: Request<auth::AuthenticateRequest>) -> Reply<auth::Principal> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return refused(Code::Unavailable, "AWAY");
        }
        if request.get_ref().credential != GOOD_KEY {
            return refused(Code::Unauthenticated, "INVALID_API_KEY");
        }
        let scopes = vec!["jobs:read".to_owned(), "jobs:write".to_owned()];
        let subject = "api-keys/018f3c9e-6a5b-7c3d-8e1f-cccccccccccc".to_owned();
        Ok(Response::new(auth::Principal { tenant: TENANT.to_owned(), subject, scopes, expire_time: None }))
    }

    async fn issue_token(
        &self,
        request: Request<auth::IssueTokenRequest>,
    ) -> Reply<auth::IssueTokenResponse> {
        if request.get_ref().api_key != GOOD_KEY {
            return refused(Code::Unauthenticated, "INVALID_API_KEY");
        }
        let expires_in = Some(prost_types::Duration { seconds: 900, nanos: 0 });
        let (access_token, token_type) = ("a.b.c".to_owned(), "bearer".to_owned());
        Ok(Response::new(auth::IssueTokenResponse { access_token, token_type, expires_in }))
    }

    async fn get_jwks(&self, _: Request<auth::GetJwksRequest>) -> Reply<auth::Jwks> {
        Ok(Response::new(auth::Jwks { keys: vec![auth::Jwk { kid: "k1".to_owned(), ..Default::default() }] }))
    }

    async fn create_api_key(
        &self,
        _: Request<auth::CreateApiKeyRequest>,
    ) -> Reply<auth::CreateApiKeyResponse> {
        panic!("on purpose")
    }

    async fn list_api_keys(&self, _: Request<auth::ListApiKeysRequest>) -> Reply<auth::ListApiKeysResponse> {
        unimplemented()
    }

    async fn revoke_api_key(&self, _: Request<auth::RevokeApiKeyRequest>) -> Reply<auth::ApiKey> {
        unimplemented()
    }

    async fn create_tenant(
        &self,
        _: Request<auth::CreateTenantRequest>,
    ) -> Reply<auth::CreateTenantResponse> {
        refused(Code::PermissionDenied, "MISSING_PERMISSION")
    }
}

#[tonic::async_trait]
impl job::job_service_server::JobService for Neighbours {
    type WatchJobStream = Items<job::JobEvent>;

    async fn create_crawl_job(&self, request: Request<job::CreateCrawlJobRequest>) -> Reply<job::Job> {
        self.note(&request)?;
        *self.created.lock().unwrap() = Some(request.into_inner());
        Ok(Response::new(job_in(job::job::State::Queued)))
    }

    async fn import_crawl_job(
        &self,
        request: Request<Streaming<job::ImportCrawlJobRequest>>,
    ) -> Reply<job::Job> {
        self.note(&request)?;
        let mut parts = request.into_inner();
        let mut created = job::CreateCrawlJobRequest::default();
        while let Some(part) = parts.message().await? {
            match part.part {
                Some(job::import_crawl_job_request::Part::Job(job)) => created = job,
                Some(job::import_crawl_job_request::Part::Urls(urls)) => created.urls.extend(urls.urls),
                Some(job::import_crawl_job_request::Part::End(_)) => {}
                None => return Err(Status::invalid_argument("nothing")),
            }
        }
        *self.created.lock().unwrap() = Some(created);
        Ok(Response::new(job_in(job::job::State::Queued)))
    }

    async fn get_job(&self, request: Request<job::GetJobRequest>) -> Reply<job::Job> {
        self.note(&request)?;
        match request.get_ref().name.as_str() {
            JOB => Ok(Response::new(job_in(job::job::State::Succeeded))),
            "jobs/slow" => std::future::pending().await,
            _ => refused(Code::NotFound, "JOB_NOT_FOUND"),
        }
    }

    async fn list_jobs(&self, request: Request<job::ListJobsRequest>) -> Reply<job::ListJobsResponse> {
        self.note(&request)?;
        Ok(Response::new(job::ListJobsResponse {
            next_page_token: request.into_inner().page_token,
            ..Default::default()
        }))
    }

    async fn cancel_job(&self, request: Request<job::CancelJobRequest>) -> Reply<job::Job> {
        self.note(&request)?;
        refused(Code::FailedPrecondition, "JOB_FINISHED")
    }

    async fn pause_job(&self, request: Request<job::PauseJobRequest>) -> Reply<job::Job> {
        self.note(&request)?;
        refused(Code::FailedPrecondition, "JOB_FINISHED")
    }

    async fn resume_job(&self, request: Request<job::ResumeJobRequest>) -> Reply<job::Job> {
        self.note(&request)?;
        refused(Code::FailedPrecondition, "JOB_FINISHED")
    }

    async fn retry_failed_pages(&self, request: Request<job::RetryFailedPagesRequest>) -> Reply<job::Job> {
        self.note(&request)?;
        refused(Code::FailedPrecondition, "JOB_FINISHED")
    }

    async fn set_job_priority(&self, request: Request<job::SetJobPriorityRequest>) -> Reply<job::Job> {
        self.note(&request)?;
        refused(Code::FailedPrecondition, "JOB_FINISHED")
    }

    async fn get_host(&self, request: Request<job::GetHostRequest>) -> Reply<job::Host> {
        self.note(&request)?;
        refused(Code::NotFound, "HOST_NOT_FOUND")
    }

    async fn watch_job(&self, request: Request<job::WatchJobRequest>) -> Reply<Self::WatchJobStream> {
        self.note(&request)?;
        let after = request.get_ref().after_sequence;
        let event = |sequence: i64| {
            Ok(job::JobEvent { sequence, r#type: "job.progress".to_owned(), ..Default::default() })
        };
        let events = stream::iter([event(after + 1), event(after + 2)]);
        match request.get_ref().name.as_str() {
            JOB => Ok(Response::new(events.boxed())),
            "jobs/broken" => Ok(Response::new(
                events
                    .chain(stream::iter([refused::<()>(Code::Unavailable, "BROKEN").map(|_| unreachable!())]))
                    .boxed(),
            )),
            "jobs/endless" => Ok(Response::new(events.chain(stream::pending()).boxed())),
            _ => refused(Code::NotFound, "JOB_NOT_FOUND"),
        }
    }

    async fn list_pages(&self, request: Request<job::ListPagesRequest>) -> Reply<job::ListPagesResponse> {
        self.note(&request)?;
        let page = |number, verdict: job::page::Verdict| job::Page {
            name: page_name(number),
            url: format!("https://example.com/{number}"),
            verdict: verdict.into(),
            attempts: 1,
            ..Default::default()
        };
        let pages = vec![page(1, job::page::Verdict::Ok), page(2, job::page::Verdict::Dns)];
        Ok(Response::new(job::ListPagesResponse { pages, next_page_token: String::new() }))
    }

    async fn test_urls(&self, _: Request<job::TestUrlsRequest>) -> Reply<job::TestUrlsResponse> {
        unimplemented()
    }

    async fn get_job_spec(&self, _: Request<job::GetJobSpecRequest>) -> Reply<job::JobSpec> {
        unimplemented()
    }

    async fn reserve_visit(&self, _: Request<job::ReserveVisitRequest>) -> Reply<job::ReserveVisitResponse> {
        unimplemented()
    }

    async fn report_visit(&self, _: Request<job::ReportVisitRequest>) -> Reply<()> {
        unimplemented()
    }

    async fn list_events(&self, _: Request<job::ListEventsRequest>) -> Reply<job::ListEventsResponse> {
        unimplemented()
    }
}

fn document() -> result::Document {
    let html = result::Artifact { kind: "html".to_owned(), content_type: "text/html".to_owned(), size: 11 };
    result::Document {
        name: page_name(1),
        markdown: "# Hi".to_owned(),
        artifacts: vec![html],
        ..Default::default()
    }
}

#[tonic::async_trait]
impl result::result_service_server::ResultService for Neighbours {
    type GetArtifactStream = Items<HttpBody>;
    type RecallPageStream = Items<result::RecallPageResponse>;

    async fn diff_page(&self, request: Request<result::DiffPageRequest>) -> Reply<result::DiffPageResponse> {
        self.note(&request)?;
        refused(Code::NotFound, "DOCUMENT_NOT_FOUND")
    }

    async fn recall_page(
        &self,
        request: Request<result::RecallPageRequest>,
    ) -> Reply<Self::RecallPageStream> {
        self.note(&request)?;
        refused(Code::PermissionDenied, "NOT_FOR_THE_GATEWAY")
    }

    async fn get_document(&self, request: Request<result::GetDocumentRequest>) -> Reply<result::Document> {
        self.note(&request)?;
        Ok(Response::new(document()))
    }

    async fn list_documents(
        &self,
        request: Request<result::ListDocumentsRequest>,
    ) -> Reply<result::ListDocumentsResponse> {
        self.note(&request)?;
        Ok(Response::new(result::ListDocumentsResponse {
            documents: vec![document()],
            next_page_token: String::new(),
        }))
    }

    async fn get_artifact(
        &self,
        request: Request<result::GetArtifactRequest>,
    ) -> Reply<Self::GetArtifactStream> {
        self.note(&request)?;
        if request.get_ref().kind != "html" {
            return refused(Code::NotFound, "ARTIFACT_NOT_FOUND");
        }
        let chunk = |data: &str| {
            Ok(HttpBody {
                content_type: "text/html".to_owned(),
                data: data.as_bytes().to_vec(),
                ..Default::default()
            })
        };
        Ok(Response::new(stream::iter([chunk("<p>hello"), chunk("</p>")]).boxed()))
    }

    async fn store_page(
        &self,
        _: Request<Streaming<result::StorePageRequest>>,
    ) -> Reply<result::StorePageResponse> {
        unimplemented()
    }
}
