//! Whether the gateway can do its work: it is ready when the services behind it are.

use std::{sync::Arc, time::Duration};

use domain::Service;
use futures::future::join_all;
use mesh::{Shutdown, client::Channel};
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};
use tonic::Request;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::edge::Peers;

/// Of asking one peer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long a good answer is used.
const KEEP_READY: Duration = Duration::from_secs(1);
/// How long a bad one: a start should be noticed soon.
const KEEP_NOT_READY: Duration = Duration::from_millis(50);
/// Who must be there. Crawlers come and go; without one, jobs wait.
const NEEDED: [Service; 4] = [Service::Auth, Service::Job, Service::Result, Service::Webhook];

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// Whether requests can be answered.
    pub(crate) ready: bool,
    /// Each peer and its state: `ok`, or what is wrong.
    checks: Vec<(&'static str, String)>,
}

impl Report {
    /// The report as JSON.
    pub(crate) fn json(&self) -> Value {
        let checks: serde_json::Map<_, _> =
            self.checks.iter().map(|(name, state)| ((*name).to_owned(), json!(state))).collect();
        json!({"ready": self.ready, "checks": checks})
    }
}

/// Asks the peers, and remembers their answers for a moment.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    peers: Arc<Vec<(Service, Channel)>>,
    last: Arc<Mutex<Option<(Instant, Report)>>>,
    shutdown: Shutdown,
}

impl Readiness {
    /// Asks `peers`; never ready once `shutdown` has begun.
    pub(crate) fn new(peers: &Peers, shutdown: Shutdown) -> Self {
        let peers = NEEDED.into_iter().map(|service| (service, peers.channel(service).clone())).collect();
        Self { peers: Arc::new(peers), last: Arc::default(), shutdown }
    }

    /// Whether the gateway is ready. Asked many times at once, it asks each peer once.
    pub(crate) async fn report(&self) -> Report {
        if self.shutdown.has_begun() {
            return Report { ready: false, checks: vec![("gateway", "shutting down".to_owned())] };
        }
        let mut last = self.last.lock().await;
        if let Some((time, report)) = &*last {
            let keep = if report.ready { KEEP_READY } else { KEEP_NOT_READY };
            if time.elapsed() < keep {
                return report.clone();
            }
        }
        let states = join_all(self.peers.iter().map(|(_, channel)| ask(channel.clone()))).await;
        let names = self.peers.iter().map(|(service, _)| service.as_str());
        let ready = states.iter().all(Result::is_ok);
        let states = states.into_iter().map(|state| state.err().unwrap_or_else(|| "ok".to_owned()));
        let report = Report { ready, checks: names.zip(states).collect() };
        *last = Some((Instant::now(), report.clone()));
        report
    }
}

async fn ask(channel: Channel) -> Result<(), String> {
    let mut request = Request::new(HealthCheckRequest { service: String::new() });
    request.set_timeout(TIMEOUT);
    // The kind of failure only: the report is shown to anybody.
    let answer = HealthClient::new(channel)
        .check(request)
        .await
        .map_err(|status| crate::problem::code_name(status.code()).to_owned())?;
    match answer.get_ref().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(other.as_str_name().to_owned()),
    }
}
