//! Where the time of a fetch goes: a probe that the resolver and the connector of the HTTP client write to.
//!
//! The probe travels as a task-local value. A connection that the client finishes in the background, for another
//! request, is not measured.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::{Layer, Service};

tokio::task_local! {
    static PROBE: Arc<Probe>;
}

/// What was measured so far in one fetch.
#[derive(Default)]
pub(crate) struct Probe {
    dns: Mutex<Option<Duration>>,
    connector: Mutex<Option<Duration>>,
}

impl Probe {
    /// Runs `future` with this probe.
    pub(crate) async fn scope<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        PROBE.scope(self.clone(), future).await
    }

    /// Time of name resolution.
    pub(crate) fn dns(&self) -> Option<Duration> {
        *self.dns.lock()
    }

    /// Time of TCP and TLS: the connector's, without name resolution.
    pub(crate) fn connect(&self) -> Option<Duration> {
        Some((*self.connector.lock())?.saturating_sub(self.dns().unwrap_or_default()))
    }
}

/// Adds the time since `started` to the name resolution of the current fetch.
pub(crate) fn resolved(started: Instant) {
    let _ = PROBE.try_with(|probe| add(&probe.dns, started));
}

fn add(slot: &Mutex<Option<Duration>>, started: Instant) {
    *slot.lock().get_or_insert_default() += started.elapsed();
}

/// Measures the connector of the HTTP client.
#[derive(Clone)]
pub(crate) struct Measured;

/// A connector that is measured.
#[derive(Clone)]
pub(crate) struct MeasuredConnector<S>(S);

impl<S> Layer<S> for Measured {
    type Service = MeasuredConnector<S>;

    fn layer(&self, connector: S) -> Self::Service {
        MeasuredConnector(connector)
    }
}

impl<S, T> Service<T> for MeasuredConnector<S>
where
    S: Service<T>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, target: T) -> Self::Future {
        let connecting = self.0.call(target);
        Box::pin(async move {
            let started = Instant::now();
            let connection = connecting.await;
            let _ = PROBE.try_with(|probe| add(&probe.connector, started));
            connection
        })
    }
}
