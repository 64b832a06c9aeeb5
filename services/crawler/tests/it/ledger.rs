//! The other side of the protocol: answers for job settings, takes documents in, and can be told to be away.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use api::job::v1 as job;
use api::job::v1::job_service_server::JobService;
use api::result::v1 as result;
use api::result::v1::result_service_server::ResultService;
use api::result::v1::store_page_request::{Header, Part};
use parking_lot::Mutex;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// A stored page: its header, and its artifacts by kind.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) header: Header,
    pub(crate) artifacts: HashMap<String, Vec<u8>>,
}

/// What the neighbours know.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) specs: Arc<Mutex<HashMap<String, job::JobSpec>>>,
    pub(crate) stored: Arc<Mutex<Vec<Stored>>>,
    pub(crate) away: Arc<AtomicBool>,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Ledger {
    fn here(&self) -> Result<(), Status> {
        if self.away.load(Ordering::SeqCst) { Err(Status::unavailable("away")) } else { Ok(()) }
    }
}

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Reply<T> = Result<Response<T>, Status>;

fn not_here<T>() -> Reply<T> {
    Err(Status::unimplemented("crawlers do not call this"))
}

#[tonic::async_trait]
impl JobService for Ledger {
    type WatchJobStream = Boxed<job::JobEvent>;

    async fn get_job_spec(&self, request: Request<job::GetJobSpecRequest>) -> Reply<job::JobSpec> {
        self.here()?;
        self.asked.fetch_add(1, Ordering::SeqCst);
        let spec = self.specs.lock().get(&request.get_ref().name).cloned();
        spec.map(Response::new).ok_or_else(|| Status::not_found("no such job"))
    }

    async fn create_crawl_job(&self, _: Request<job::CreateCrawlJobRequest>) -> Reply<job::Job> {
        not_here()
    }
    async fn import_crawl_job(&self, _: Request<Streaming<job::ImportCrawlJobRequest>>) -> Reply<job::Job> {
        not_here()
    }
    async fn get_job(&self, _: Request<job::GetJobRequest>) -> Reply<job::Job> {
        not_here()
    }
    async fn list_jobs(&self, _: Request<job::ListJobsRequest>) -> Reply<job::ListJobsResponse> {
        not_here()
    }
    async fn cancel_job(&self, _: Request<job::CancelJobRequest>) -> Reply<job::Job> {
        not_here()
    }
    async fn watch_job(&self, _: Request<job::WatchJobRequest>) -> Reply<Self::WatchJobStream> {
        not_here()
    }
    async fn list_pages(&self, _: Request<job::ListPagesRequest>) -> Reply<job::ListPagesResponse> {
        not_here()
    }
    async fn pause_job(&self, _: Request<job::PauseJobRequest>) -> Reply<job::Job> {
        not_here()
    }
    async fn resume_job(&self, _: Request<job::ResumeJobRequest>) -> Reply<job::Job> {
        not_here()
    }
    async fn retry_failed_pages(&self, _: Request<job::RetryFailedPagesRequest>) -> Reply<job::Job> {
        not_here()
    }
    async fn set_job_priority(&self, _: Request<job::SetJobPriorityRequest>) -> Reply<job::Job> {
        not_here()
    }
    async fn test_urls(&self, _: Request<job::TestUrlsRequest>) -> Reply<job::TestUrlsResponse> {
        not_here()
    }
    async fn get_host(&self, _: Request<job::GetHostRequest>) -> Reply<job::Host> {
        not_here()
    }
    async fn reserve_visit(&self, _: Request<job::ReserveVisitRequest>) -> Reply<job::ReserveVisitResponse> {
        Ok(Response::new(job::ReserveVisitResponse { reserved: true, wait: None }))
    }
    async fn report_visit(&self, _: Request<job::ReportVisitRequest>) -> Reply<()> {
        Ok(Response::new(()))
    }
    async fn list_events(&self, _: Request<job::ListEventsRequest>) -> Reply<job::ListEventsResponse> {
        not_here()
    }
}

#[tonic::async_trait]
impl ResultService for Ledger {
    type GetArtifactStream = Boxed<api::google::api::HttpBody>;
    type RecallPageStream = Boxed<result::RecallPageResponse>;

    async fn recall_page(&self, _: Request<result::RecallPageRequest>) -> Reply<Self::RecallPageStream> {
        not_here()
    }

    async fn store_page(
        &self,
        request: Request<Streaming<result::StorePageRequest>>,
    ) -> Reply<result::StorePageResponse> {
        self.here()?;
        let mut parts = request.into_inner();
        let Some(Part::Header(header)) = parts.message().await?.and_then(|part| part.part) else {
            return Err(Status::invalid_argument("the header comes first"));
        };
        let mut artifacts: HashMap<String, Vec<u8>> = HashMap::new();
        while let Some(part) = parts.message().await? {
            let Some(Part::Chunk(chunk)) = part.part else {
                return Err(Status::invalid_argument("a second header"));
            };
            artifacts.entry(chunk.kind).or_default().extend(chunk.data);
        }
        self.stored.lock().push(Stored { header, artifacts });
        Ok(Response::new(result::StorePageResponse { stored: true }))
    }

    async fn get_document(&self, _: Request<result::GetDocumentRequest>) -> Reply<result::Document> {
        not_here()
    }
    async fn list_documents(
        &self,
        _: Request<result::ListDocumentsRequest>,
    ) -> Reply<result::ListDocumentsResponse> {
        not_here()
    }
    async fn diff_page(&self, _: Request<result::DiffPageRequest>) -> Reply<result::DiffPageResponse> {
        not_here()
    }
    async fn get_artifact(&self, _: Request<result::GetArtifactRequest>) -> Reply<Self::GetArtifactStream> {
        not_here()
    }
}
