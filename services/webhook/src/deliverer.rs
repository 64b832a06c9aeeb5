//! Sends due deliveries: many at once, few to one host, each attempt under a lease, a deadline and a signature.
//!
//! A receiver gets an event at least once: a sender that dies between POST and commit leaves a lease that runs out, and the
//! next attempt carries the same `webhook-id`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use domain::{PageUrl, TenantId, id::DeliveryId};
use egress::{FetchError, Fetched};
use futures::{StreamExt as _, stream::FuturesUnordered};
use mesh::Shutdown;
use tokio::sync::Notify;
use tracing::{Instrument as _, Span, debug, warn};

use crate::{
    delivery::{self, Answer, Attempt, Delivery, Next},
    error::Error,
    signature::{SECRET_BYTES, SigningSecret},
    store::Store,
};

/// Longest wait between looks at the store, though nothing wakes us.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// A lease outlives its attempt by this much.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// Pause after the store failed.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Deliverer {
    pub(crate) config: delivery::Config,
    pub(crate) store: Store,
    pub(crate) client: egress::Client,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) due: Arc<Notify>,
}

/// Signing secrets of tenants.
pub(crate) struct Secrets {
    pub(crate) store: Store,
    pub(crate) sealer: ::store::Sealer,
}

impl Secrets {
    /// The secret of a tenant, made at the first call.
    pub(crate) async fn of(&self, tenant: TenantId) -> Result<SigningSecret, Error> {
        let owner = tenant.name();
        let new: [u8; SECRET_BYTES] = self.sealer.random();
        let sealed = self.store.secret(tenant, &self.sealer.seal(&owner, &new), mesh::clock::now()).await?;
        let bytes = self.sealer.unseal(&owner, &sealed)?;
        Ok(SigningSecret::new(bytes.try_into().map_err(|_| ::store::CannotOpen)?))
    }
}

impl Deliverer {
    /// Delivers until `shutdown`, then lets running attempts finish.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let this = Arc::new(self);
        let mut running = FuturesUnordered::new();
        let mut hosts: HashMap<String, usize> = HashMap::new();
        loop {
            let wait = if shutdown.has_begun() {
                if running.is_empty() {
                    return;
                }
                MAX_WAIT
            } else {
                match this.claim(&hosts, this.config.concurrency.saturating_sub(running.len())).await {
                    Ok(deliveries) => {
                        for delivery in deliveries {
                            let host = host(&delivery.url);
                            *hosts.entry(host.clone()).or_default() += 1;
                            let this = this.clone();
                            let task = mesh::spawn("deliver", async move { this.deliver(delivery).await });
                            running.push(async move { (host, task.await) });
                        }
                        this.wait().await
                    }
                    Err(error) => {
                        warn!(error = &error as &dyn std::error::Error, "cannot claim deliveries");
                        FAULT_PAUSE
                    }
                }
            };
            tokio::select! {
                Some((host, _)) = running.next() => {
                    if let Some(count) = hosts.get_mut(&host) {
                        *count -= 1;
                        if *count == 0 {
                            hosts.remove(&host);
                        }
                    }
                }
                () = this.due.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = shutdown.begun(), if !shutdown.has_begun() => {}
            }
        }
    }

    /// Leases due deliveries for free slots, at most `per_host` to a host together with those on their way.
    async fn claim(&self, hosts: &HashMap<String, usize>, free: usize) -> Result<Vec<Delivery>, Error> {
        if free == 0 {
            return Ok(Vec::new());
        }
        let full: HashSet<&String> =
            hosts.iter().filter(|(_, count)| **count >= self.config.per_host).map(|(host, _)| host).collect();
        let full: Vec<String> = full.into_iter().cloned().collect();
        let lease = self.config.attempt_timeout + LEASE_MARGIN;
        let claimed = self.store.claim(mesh::clock::now(), lease, free, &full).await?;
        let mut counts = hosts.clone();
        let mut taken = Vec::with_capacity(claimed.len());
        for delivery in claimed {
            let count = counts.entry(host(&delivery.url)).or_default();
            if *count < self.config.per_host {
                *count += 1;
                taken.push(delivery);
            } else {
                self.store.release(delivery.id).await?;
            }
        }
        Ok(taken)
    }

    /// How long nothing is due.
    async fn wait(&self) -> Duration {
        match self.store.next_due().await {
            Ok(Some(due)) => {
                let left = due - mesh::clock::now();
                // Never zero: what is due and was not taken waits for a slot, not for time.
                Duration::try_from(left).unwrap_or_default().clamp(Duration::from_millis(20), MAX_WAIT)
            }
            Ok(None) => MAX_WAIT,
            Err(_) => FAULT_PAUSE,
        }
    }

    async fn deliver(&self, delivery: Delivery) {
        let number = delivery.attempts + 1;
        let span = tracing::info_span!(
            "webhook",
            otel.kind = "client",
            job = %delivery.job,
            event = delivery.event_type,
            attempt = number,
            http.response.status_code = tracing::field::Empty,
        );
        set_parent(&span, &delivery.traceparent);
        let id = delivery.id;
        let outcome = self.attempt(&delivery, number).instrument(span).await;
        match outcome {
            Ok((attempt, answer)) => {
                let next = delivery::next(&self.config, number, answer, rand::random());
                count(next);
                let settled = self.store.settle(id, &attempt, next, mesh::clock::now()).await;
                if let Err(error) = settled {
                    // The lease runs out, and the delivery is sent again: at least once.
                    warn!(error = &error as &dyn std::error::Error, delivery = %id, "cannot settle a delivery");
                }
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, delivery = %id, "cannot sign a delivery");
                self.release(id).await;
            }
        }
    }

    async fn release(&self, id: DeliveryId) {
        tokio::time::sleep(FAULT_PAUSE).await;
        if let Err(error) = self.store.release(id).await {
            debug!(error = &error as &dyn std::error::Error, delivery = %id, "cannot release; the lease runs out");
        }
    }

    /// Signs and POSTs.
    async fn attempt(&self, delivery: &Delivery, number: u32) -> Result<(Attempt, Answer), Error> {
        let secret = self.secrets.of(delivery.tenant).await?;
        let start_time = mesh::clock::now();
        let start = tokio::time::Instant::now();
        let timestamp = start_time.unix_timestamp();
        let result = match PageUrl::parse(&delivery.url) {
            Ok(url) => {
                let signature = secret.sign(&delivery.event_id, timestamp, &delivery.body);
                let body = Bytes::from(delivery.body.clone());
                let mut request = egress::Request::post(url, body, self.config.max_answer.as_u64());
                request.total_timeout = Some(self.config.attempt_timeout);
                for (name, value) in &delivery.headers {
                    if !egress::header_allowed(name, value) {
                        continue;
                    }
                    request = request.header(name, value);
                }
                let request = request
                    .header("content-type", "application/json")
                    .header("webhook-id", &delivery.event_id)
                    .header("webhook-timestamp", timestamp.to_string())
                    .header("webhook-signature", signature);
                // The client keeps this time by itself; this is the wall that holds if it does not.
                let wall = self.config.attempt_timeout + Duration::from_secs(1);
                let timeout = FetchError::Timeout { stage: egress::Stage::Body };
                tokio::time::timeout(wall, self.client.fetch(request)).await.unwrap_or(Err(timeout))
            }
            Err(_) => Err(FetchError::NotAllowed),
        };
        let duration = start.elapsed();
        let attempt = Attempt {
            number,
            start_time,
            duration,
            http_status: result.as_ref().ok().map(|fetched| fetched.status),
            error: error_word(&result).to_owned(),
            response: result.as_ref().map(|fetched| self.shown(fetched)).unwrap_or_default(),
        };
        if let Some(status) = attempt.http_status {
            Span::current().record("http.response.status_code", status);
        }
        Ok((attempt, answer(&result)))
    }

    /// The start of a receiver's answer, as far as it can be printed.
    fn shown(&self, fetched: &Fetched) -> String {
        let most = usize::try_from(self.config.kept_answer.as_u64()).unwrap_or(usize::MAX);
        let text = String::from_utf8_lossy(&fetched.body);
        let printable = text.chars().filter(|c| !c.is_control() || *c == '\n');
        let mut shown = String::new();
        for c in printable {
            if shown.len() + c.len_utf8() > most {
                break;
            }
            shown.push(c);
        }
        shown
    }
}

fn host(url: &str) -> String {
    PageUrl::parse(url).map(|url| url.host().to_owned()).unwrap_or_default()
}

fn answer(result: &Result<Fetched, FetchError>) -> Answer {
    match result {
        Ok(fetched) => Answer::Http {
            status: fetched.status,
            retry_after: fetched
                .header("retry-after")
                .and_then(|text| text.trim().parse().ok())
                .map(Duration::from_secs),
        },
        Err(FetchError::Timeout { .. }) => Answer::Timeout,
        Err(_) => Answer::None,
    }
}

fn error_word(result: &Result<Fetched, FetchError>) -> &'static str {
    match result {
        Ok(fetched) if (200..300).contains(&fetched.status) => "",
        Ok(_) => "http_error",
        Err(error) => error.verdict().as_str(),
    }
}

fn set_parent(span: &Span, traceparent: &str) {
    let mut headers = http::HeaderMap::new();
    if let Ok(value) = traceparent.parse() {
        headers.insert("traceparent", value);
        mesh::telemetry::set_parent_from(&headers, span);
    }
}

fn count(next: Next) {
    let outcome = match next {
        Next::Delivered => "delivered",
        Next::Failed => "failed",
        Next::Again(_) => "again",
    };
    let counter = mesh::metrics::meter().u64_counter("crawlmesh.webhook.attempts").build();
    counter.add(1, &[opentelemetry::KeyValue::new("outcome", outcome)]);
}
