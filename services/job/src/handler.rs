//! The gRPC methods: decode, act, encode.

mod schedules;

use std::{sync::Arc, time::Duration};

use api::job::v1::{self as pb, job_service_server::JobService};
use bytes::Bytes;
use domain::{JobId, Scope, TenantId};
use mesh::Shutdown;
use queue::Bus;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};
use tonic::{Request, Response, Status, Streaming};
use tracing::{Span, info};

use crate::{
    announcer::Announcer,
    error::Error,
    host::Host,
    hub::Hub,
    import::{self, Bounds},
    job::Job,
    metrics,
    spec::{Spec, Submission},
    store::{Prepared, Store},
    submitter::Submitter,
    trace,
    watch::{self, Events},
    wire::{self, Headers, Rules},
};

pub(crate) use schedules::ScheduleHandler;

/// How often a waiting call looks for changes that another process made.
const POLL: Duration = Duration::from_secs(1);
/// A waiting call answers this long before its deadline.
const MARGIN: Duration = Duration::from_millis(250);
const DEFAULT_EVENTS: usize = 100;
const MAX_EVENTS: usize = 1000;

type Reply<T> = Result<Response<T>, Status>;

/// Answers the calls. Clones share everything.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) store: Store,
    pub(crate) submitter: Submitter,
    pub(crate) bus: Bus,
    pub(crate) hub: Hub,
    pub(crate) announcer: Announcer,
    pub(crate) rules: Arc<Rules>,
    /// For how long a request id returns its first job.
    pub(crate) request_id_retention: Duration,
    /// Bytes of a list answer: half of the largest message.
    pub(crate) answer_budget: usize,
    /// Bytes of a submission that comes as a stream.
    pub(crate) max_import: usize,
    pub(crate) watches: Arc<Semaphore>,
    pub(crate) shutdown: Shutdown,
}

impl Handler {
    /// The job once it has ended, or as it stands when the time is up.
    async fn wait_for_end(
        &self,
        tenant: TenantId,
        id: JobId,
        wait: Duration,
        deadline: Instant,
    ) -> Result<Job, Error> {
        let mut changes = self.hub.subscribe(id);
        let now = Instant::now();
        let until = (now + wait).min(deadline.checked_sub(MARGIN).unwrap_or(now));
        loop {
            let job = self.store.job(tenant, id).await?;
            let now = Instant::now();
            if job.state.terminal() || now >= until {
                return Ok(job);
            }
            tokio::select! {
                () = changes.changed() => {}
                () = sleep_until(until.min(now + POLL)) => {}
                () = self.shutdown.begun() => return Ok(job),
            }
        }
    }

    /// Makes a job of a request.
    async fn create(&self, request: pb::CreateCrawlJobRequest, call: &mesh::TenantCall) -> Reply<pb::Job> {
        let submission = wire::submission(request, &self.rules)?;
        check_baseline(&self.store, call, "baseline", submission.baseline, &submission.spec).await?;
        let mut job = self.accept(&submission, call).await?;
        if !submission.wait.is_zero() {
            // The job is accepted: whatever happens to the wait, the caller learns its name.
            let waited = self.wait_for_end(call.tenant, job.id, submission.wait, call.deadline).await;
            job = waited.unwrap_or(job);
        }
        Ok(Response::new(wire::job(&job, Headers::Hidden)))
    }

    /// A new job with the URLs of the failed pages of an ended one; held against the rules and scopes of today.
    async fn retry_ended(
        &self,
        job: &Job,
        request_id: String,
        call: &mesh::TenantCall,
    ) -> Result<Job, Status> {
        let urls = self.store.failed_urls(job.id, self.rules.max_urls).await?;
        if urls.is_empty() {
            return Err(Error::NothingToRetry(job.id).into());
        }
        // The pages, and not again what they led to.
        let config = pb::CrawlConfig { deep_crawl: None, ..wire::config(&job.spec, Headers::Shown) };
        let config = Some(config);
        let request = pb::CreateCrawlJobRequest { urls, config, request_id, ..Default::default() };
        let submission = wire::submission(request, &self.rules)?.again(job);
        self.accept(&submission, call).await
    }

    /// Writes a submission that the caller may make.
    async fn accept(&self, submission: &Submission, call: &mesh::TenantCall) -> Result<Job, Status> {
        for scope in &submission.scopes {
            call.require(*scope)?;
        }
        let traceparent = trace::traceparent(&Span::current());
        let memory = self.request_id_retention;
        let prepared = Prepared::new(call.tenant, submission, traceparent, call.time, memory);
        let (job, new) = self.submitter.submit(prepared).await?;
        if new {
            metrics::created();
            info!(job = %job.id, pages = job.counts.found, "job accepted");
            self.announcer.tell(&job).await;
        }
        Ok(job)
    }
}

/// Holds the job that pages are to be compared with against what they are asked for.
async fn check_baseline(
    store: &Store,
    call: &mesh::TenantCall,
    field: &str,
    baseline: Option<JobId>,
    spec: &Spec,
) -> Result<(), Status> {
    let Some(baseline) = baseline else { return Ok(()) };
    let baseline = match store.job(call.tenant, baseline).await {
        Err(Error::NotFound(_)) => None,
        found => Some(found?),
    };
    wire::check_baseline(field, spec, baseline.as_ref())
}

#[tonic::async_trait]
impl JobService for Handler {
    async fn create_crawl_job(&self, request: Request<pb::CreateCrawlJobRequest>) -> Reply<pb::Job> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        self.create(request.into_inner(), &call).await
    }

    async fn import_crawl_job(
        &self,
        request: Request<Streaming<pb::ImportCrawlJobRequest>>,
    ) -> Reply<pb::Job> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        let bounds = Bounds { urls: self.rules.max_urls, bytes: self.max_import };
        let request = import::collect(request.into_inner(), bounds).await?;
        self.create(request, &call).await
    }

    async fn test_urls(&self, request: Request<pb::TestUrlsRequest>) -> Reply<pb::TestUrlsResponse> {
        mesh::call(&request)?.require(Scope::JobsRead)?;
        wire::test_urls(request.into_inner(), &self.rules).map(Response::new)
    }

    async fn get_job(&self, request: Request<pb::GetJobRequest>) -> Reply<pb::Job> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsRead)?;
        let request = request.into_inner();
        let id = wire::job_id("name", &request.name)?;
        let wait = wire::wait(request.wait)?;
        let job = self.wait_for_end(call.tenant, id, wait, call.deadline).await?;
        Ok(Response::new(wire::job(&job, Headers::Hidden)))
    }

    async fn list_jobs(&self, request: Request<pb::ListJobsRequest>) -> Reply<pb::ListJobsResponse> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsRead)?;
        let list = wire::list_jobs(call.tenant, request.get_ref())?;
        let found = self
            .store
            .jobs(call.tenant, list.filter.clone().unwrap_or_default(), list.after, list.size as u64 + 1)
            .await?;
        let mut jobs: Vec<pb::Job> =
            found.iter().take(list.size).map(|job| wire::job(job, Headers::Hidden)).collect();
        let cut = wire::fit(&mut jobs, self.answer_budget);
        let last = jobs.len().checked_sub(1).map(|last| found[last].id);
        let next_page_token = match last {
            Some(last) if cut || found.len() > list.size => list.token(&last),
            _ => String::new(),
        };
        Ok(Response::new(pb::ListJobsResponse { jobs, next_page_token }))
    }

    async fn cancel_job(&self, request: Request<pb::CancelJobRequest>) -> Reply<pb::Job> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        let id = wire::job_id("name", &request.get_ref().name)?;
        let (job, cancelled) = self.store.cancel(call.tenant, id, call.time).await?;
        if cancelled {
            metrics::ended(job.state);
            info!(job = %id, pages = job.counts.cancelled, "job cancelled");
            // Crawlers stop its pages; what they answer all the same is stale.
            self.bus.notify("cancel", Bytes::from(id.to_string())).await;
            self.announcer.tell(&job).await;
        }
        Ok(Response::new(wire::job(&job, Headers::Hidden)))
    }

    async fn pause_job(&self, request: Request<pb::PauseJobRequest>) -> Reply<pb::Job> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        let id = wire::job_id("name", &request.get_ref().name)?;
        let (job, paused) = self.store.pause(call.tenant, id, call.time).await?;
        if paused {
            info!(job = %id, "job paused");
            self.announcer.tell(&job).await;
        }
        Ok(Response::new(wire::job(&job, Headers::Hidden)))
    }

    async fn resume_job(&self, request: Request<pb::ResumeJobRequest>) -> Reply<pb::Job> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        let id = wire::job_id("name", &request.get_ref().name)?;
        let (job, resumed) = self.store.resume(call.tenant, id, call.time).await?;
        if resumed {
            info!(job = %id, "job resumed");
            self.announcer.tell(&job).await;
        }
        Ok(Response::new(wire::job(&job, Headers::Hidden)))
    }

    async fn retry_failed_pages(&self, request: Request<pb::RetryFailedPagesRequest>) -> Reply<pb::Job> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        let request = request.into_inner();
        let id = wire::job_id("name", &request.name)?;
        wire::request_id(&request.request_id)?;
        let (job, pages) = self.store.retry(call.tenant, id, call.time).await?;
        let job = match (pages, job.state.terminal()) {
            (0, true) => self.retry_ended(&job, request.request_id, &call).await?,
            (0, false) => return Err(Error::NothingToRetry(id).into()),
            _ => {
                self.announcer.tell(&job).await;
                job
            }
        };
        info!(job = %id, pages, as_job = %job.id, "failed pages are tried again");
        Ok(Response::new(wire::job(&job, Headers::Hidden)))
    }

    async fn set_job_priority(&self, request: Request<pb::SetJobPriorityRequest>) -> Reply<pb::Job> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        let request = request.into_inner();
        let id = wire::job_id("name", &request.name)?;
        let priority = wire::priority(request.priority)?;
        let job = self.store.prioritize(call.tenant, id, priority).await?;
        self.announcer.tell(&job).await;
        Ok(Response::new(wire::job(&job, Headers::Hidden)))
    }

    type WatchJobStream = Events;

    async fn watch_job(&self, request: Request<pb::WatchJobRequest>) -> Reply<Events> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsRead)?;
        let request = request.into_inner();
        let id = wire::job_id("name", &request.name)?;
        let after = wire::after("after_sequence", request.after_sequence)?;
        // Before the job is read, so that no change is missed.
        let changes = self.hub.subscribe(id);
        let job = self.store.job(call.tenant, id).await?;
        if after > job.event_sequence {
            let description = format!("the last event of the job is {}", job.event_sequence);
            return Err(wire::violation("after_sequence", "EVENT_UNKNOWN", description));
        }
        let permit = Arc::clone(&self.watches).try_acquire_owned().map_err(|_| Error::TooManyWatches)?;
        let shutdown = self.shutdown.clone();
        Ok(Response::new(watch::events(self.store.clone(), job, after, changes, shutdown, permit)))
    }

    async fn list_pages(&self, request: Request<pb::ListPagesRequest>) -> Reply<pb::ListPagesResponse> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsRead)?;
        let (job, list) = wire::list_pages(call.tenant, request.get_ref())?;
        let job = self.store.job(call.tenant, job).await?;
        let found =
            self.store.pages(&job, list.filter.unwrap_or_default(), list.after, list.size as u64 + 1).await?;
        let mut pages: Vec<pb::Page> =
            found.iter().take(list.size).map(|page| wire::page(page, job.baseline, call.time)).collect();
        let cut = wire::fit(&mut pages, self.answer_budget);
        let last = pages.len().checked_sub(1).map(|last| found[last].idx);
        let next_page_token = match last {
            Some(last) if cut || found.len() > list.size => list.token(&last),
            _ => String::new(),
        };
        Ok(Response::new(pb::ListPagesResponse { pages, next_page_token }))
    }

    async fn get_host(&self, request: Request<pb::GetHostRequest>) -> Reply<pb::Host> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsRead)?;
        let key = wire::host_key("name", &request.get_ref().name)?;
        let host = self.store.host(&key).await?;
        let waiting = self.store.waiting_for(call.tenant, &key).await?;
        let paces = self.store.paces();
        let (pace, local) = (paces.of(&key), paces.local(&key));
        let host = host.unwrap_or_else(|| Host::new(key, call.time));
        Ok(Response::new(wire::host(&host, pace, local, waiting, call.time)))
    }

    async fn get_job_spec(&self, request: Request<pb::GetJobSpecRequest>) -> Reply<pb::JobSpec> {
        mesh::internal_call(&request)?;
        let id = wire::job_id("name", &request.get_ref().name)?;
        let job = self.store.any_job(id).await?;
        Ok(Response::new(pb::JobSpec {
            name: job.id.name(),
            tenant: job.tenant.name(),
            version: job.spec_version,
            config: Some(wire::config(&job.spec, Headers::Shown)),
            ended: job.state.terminal(),
        }))
    }

    async fn reserve_visit(
        &self,
        request: Request<pb::ReserveVisitRequest>,
    ) -> Reply<pb::ReserveVisitResponse> {
        mesh::internal_call(&request)?;
        let (key, patience) = wire::reserve_visit(request.get_ref())?;
        let reservation = self.store.reserve_visit(&key, patience, mesh::clock::now()).await?;
        Ok(Response::new(wire::reservation(reservation)))
    }

    async fn report_visit(&self, request: Request<pb::ReportVisitRequest>) -> Reply<()> {
        mesh::internal_call(&request)?;
        let (key, answer) = wire::report_visit(request.get_ref())?;
        self.store.report_visit(&key, &answer, mesh::clock::now()).await?;
        // It may be due at another time than was thought.
        self.hub.work();
        Ok(Response::new(()))
    }

    async fn list_events(&self, request: Request<pb::ListEventsRequest>) -> Reply<pb::ListEventsResponse> {
        mesh::internal_call(&request)?;
        let request = request.into_inner();
        let after = wire::after("after", request.after)?;
        let size = wire::page_size(request.page_size, DEFAULT_EVENTS, MAX_EVENTS)?;
        let found = self.store.webhook_events(after, size as u64).await?;
        let mut entries: Vec<_> = found.iter().map(wire::entry).collect();
        wire::fit(&mut entries, self.answer_budget);
        Ok(Response::new(pb::ListEventsResponse { entries }))
    }
}
