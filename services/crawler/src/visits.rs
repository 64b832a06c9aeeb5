//! Visits that are no pages of a job: each waits for its moment at the host, as the job service says, and tells what came of it.
//!
//! Promises: nobody waits beyond a deadline; without the job service there is no visit, because nobody would know its rate.

use api::job::v1 as pb;
use api::job::v1::job_service_client::JobServiceClient;
use domain::PageUrl;
use mesh::client::Channel;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

use crate::classify::Judgement;
use crate::outcome::{Visit, duration, timestamp};

/// A host that could not be visited is not asked about again sooner than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks the job service for moments. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Visits(JobServiceClient<Channel>);

impl Visits {
    /// Asks the job service behind `channel`.
    pub(crate) fn new(channel: Channel) -> Self {
        Self(JobServiceClient::new(channel))
    }

    /// Waits for the moment at which the host of `url` may be visited; if there is none before the deadline, says so at once.
    pub(crate) async fn wait(&self, url: &PageUrl, deadline: Instant) -> Result<(), Judgement> {
        loop {
            let patience = deadline.saturating_duration_since(Instant::now());
            let request = pb::ReserveVisitRequest { name: name(url), patience: duration(patience) };
            let mut client = self.0.clone();
            let answer = timeout_at(deadline, client.reserve_visit(request)).await;
            let answer = match answer {
                Ok(Ok(answer)) => answer.into_inner(),
                Ok(Err(status)) => {
                    tracing::debug!(code = %status.code(), "no visit without the job service");
                    return Err(Judgement::infra("the job service is away"));
                }
                Err(_) => return Err(Judgement::late("host")),
            };
            let wait = answer.wait.and_then(|wait| Duration::try_from(wait).ok()).unwrap_or_default();
            if answer.reserved {
                sleep(wait).await;
                return Ok(());
            }
            let wait = wait.max(SHORTEST_PAUSE);
            if Instant::now() + wait >= deadline {
                return Err(Judgement::late("host"));
            }
            sleep(wait).await;
        }
    }

    /// Tells how the host answered. A report that is lost costs a little politeness, and not the visit.
    pub(crate) async fn report(
        &self,
        url: &PageUrl,
        visit: &Visit,
        answered: bool,
        retry_after: Option<Duration>,
    ) {
        let Some(start) = visit.start else { return };
        let request = pb::ReportVisitRequest {
            name: name(url),
            start_time: Some(timestamp(start)),
            answered,
            latency: visit.latency.and_then(duration),
            crawl_delay: visit.crawl_delay.and_then(duration),
            throttled: visit.throttled,
            retry_after: retry_after.and_then(duration),
        };
        let mut client = self.0.clone();
        if let Err(status) = client.report_visit(request).await {
            tracing::debug!(code = %status.code(), "a visit was not reported");
        }
    }
}

fn name(url: &PageUrl) -> String {
    format!("hosts/{}", url.host_key())
}
