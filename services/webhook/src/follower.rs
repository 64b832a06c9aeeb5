//! Follows the event log of the job service, and makes a delivery of each event that a target wants.
//!
//! The log is the truth and is asked for by cursor; a notification only wakes. Reading an event twice makes one delivery.

use std::{sync::Arc, time::Duration};

use api::job::v1::{ListEventsRequest, job_service_client::JobServiceClient, list_events_response::Entry};
use domain::{JobId, TenantId, id::DeliveryId};
use futures::StreamExt as _;
use mesh::{Shutdown, client::Channel};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tracing::warn;

use crate::{
    body,
    delivery::{Delivery, State},
    error::Error,
    store::Store,
};

/// Section `[events]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How often the event log is asked without being woken.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Events read at once, 1 to 1000.
    pub batch: i32,
}

/// Longest pause after a fault.
const MAX_PAUSE: Duration = Duration::from_secs(10);

pub(crate) struct Follower {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) jobs: JobServiceClient<Channel>,
    pub(crate) bus: queue::Bus,
    pub(crate) due: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("list events")]
    Jobs(#[from] tonic::Status),
    #[error(transparent)]
    Store(#[from] Error),
}

impl Follower {
    /// Follows until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut wakes = None;
        let mut pause = Duration::from_millis(100);
        loop {
            let wait = match self.catch_up().await {
                Ok(()) => {
                    pause = Duration::from_millis(100);
                    self.config.poll_interval
                }
                Err(fault) => {
                    warn!(error = &fault as &dyn std::error::Error, "cannot follow the event log");
                    pause = (pause * 2).min(MAX_PAUSE);
                    pause
                }
            };
            if wakes.is_none() {
                // Without NATS there is nothing to be woken by; the poll goes on, and asks for this again.
                wakes = self.bus.listen("event").await.ok();
            }
            let wake = async {
                match &mut wakes {
                    Some(listener) => listener.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.begun() => return,
                woken = wake => if woken.is_none() {
                    wakes = None;
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Reads the log to its end.
    async fn catch_up(&mut self) -> Result<(), Fault> {
        let mut after = self.store.cursor().await?;
        loop {
            let request = ListEventsRequest { after, page_size: self.config.batch };
            let entries = self.jobs.list_events(request).await?.into_inner().entries;
            let Some(last) = entries.last().map(|entry| entry.cursor) else { return Ok(()) };
            let now = mesh::clock::now();
            let deliveries: Vec<_> = entries.iter().filter_map(|entry| delivery(entry, now)).collect();
            self.store.follow(last, &deliveries).await?;
            after = last;
            if !deliveries.is_empty() {
                self.due.notify_one();
            }
        }
    }
}

/// The delivery that an event asks for, if its target wants events of its type.
fn delivery(entry: &Entry, now: OffsetDateTime) -> Option<Delivery> {
    let event = entry.event.as_ref()?;
    let job = event.job.as_ref()?;
    let target = job.webhook.as_ref()?;
    let wanted = match target.event_types.as_slice() {
        [] => body::TERMINAL_EVENTS.contains(&event.r#type.as_str()),
        types => types.contains(&event.r#type),
    };
    if !wanted {
        return None;
    }
    let (Ok(tenant), Ok(job_id)) = (TenantId::from_name(&entry.tenant), JobId::from_name(&job.name)) else {
        warn!(cursor = entry.cursor, "skipped an event with a malformed name");
        return None;
    };
    let mut headers: Vec<_> =
        target.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    headers.sort();
    Some(Delivery {
        id: DeliveryId::new(),
        tenant,
        job: job_id,
        event_type: event.r#type.clone(),
        event_id: entry.event_id.clone(),
        url: target.url.clone(),
        headers,
        body: body::write(event, job, target.format()),
        state: State::Pending,
        attempts: 0,
        create_time: now,
        next_attempt_time: Some(now),
        traceparent: entry.traceparent.clone(),
    })
}
