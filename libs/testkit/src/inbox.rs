//! A receiver of webhooks that keeps what it gets and can be told to misbehave.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinHandle};

/// One request that came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What it was answered.
    pub status: StatusCode,
}

impl Received {
    /// A header's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<StatusCode>>,
    received: Mutex<Vec<Received>>,
}

/// A running receiver.
pub struct Inbox {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Inbox {
    /// Starts a receiver on a free port of 127.0.0.1. It answers 204.
    #[expect(clippy::disallowed_methods, reason = "a test's own server needs no span")]
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("because loopback can be bound");
        let addr = listener.local_addr().expect("because it is bound");
        let router = Router::new().fallback(receive).with_state(shared.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { addr, shared, server }
    }

    /// Where to send webhooks.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// The next answers, one a request; then 204 again.
    pub fn answer_next(&self, statuses: impl IntoIterator<Item = u16>) {
        let statuses = statuses.into_iter().filter_map(|status| StatusCode::from_u16(status).ok());
        self.shared.script.lock().extend(statuses);
    }

    /// What came in so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let status = shared.script.lock().pop_front().unwrap_or(StatusCode::NO_CONTENT);
    shared.received.lock().push(Received { headers, body, status });
    status
}
