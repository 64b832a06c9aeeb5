//! The browser's filter proxy: an HTTP proxy on loopback that obeys the same guard as the fetch client.
//!
//! Promises: every connection of the browser (HTTP, HTTPS, WebSocket) is resolved, checked and connected here, so that
//! rebinding a name gains nothing; TLS stays end to end; no body is held; a refusal names no address. Dropping or
//! closing the proxy ends all its connections: one proxy for each job is its kill switch and its meter. One that stands
//! behind a relay has no connection but to that.

mod chromium;
mod forward;
mod meter;
mod session;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytesize::ByteSize;
use domain::PageUrl;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use chromium::chromium_flags;

use crate::{FetchError, Guard, Relay, RelayFault};
use session::Session;

/// The section with its defaults, for the `config.default.toml` of a service that drives browsers.
pub const DEFAULTS: &str = r#"[proxy]
# Connections of one browser at the same time; more of them wait.
max_connections = 256
# Name resolution and TCP together.
connect_timeout = "5s"
# A connection without traffic for this long is closed.
idle_timeout = "60s"
# The head of a request or of a response.
max_header_bytes = "256KiB"
"#;

/// Hosts whose last failure is remembered.
const MAX_FAILURES: usize = 256;
/// How long to wait when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The settings of a filter proxy. Every key is required: the defaults are in [`DEFAULTS`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Connections of the browser at the same time; more of them wait.
    pub max_connections: usize,
    /// Longest name resolution and TCP handshake together.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Longest silence of a connection.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Most bytes of the head of a request or of a response.
    pub max_header_bytes: ByteSize,
}

/// What a proxy has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes from the Internet, TLS and headers included.
    pub received: u64,
    /// Bytes to the Internet, TLS and headers included.
    pub sent: u64,
    /// Requests and tunnels asked for.
    pub requests: u64,
    /// Those of them that the guard refused.
    pub refused: u64,
}

/// A running filter proxy.
pub struct FilterProxy {
    /// Where it listens, on loopback.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

/// What all connections of a proxy share.
pub(crate) struct Shared {
    guard: Guard,
    /// What all connections go through. `None`: they go to the sites.
    relay: Option<Relay>,
    config: Config,
    counters: Counters,
    failures: Mutex<HashMap<String, FetchError>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
}

impl Config {
    /// Every problem of these settings, in words for the operator. Empty if they can be used.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, problem: &str| {
            if !holds {
                problems.push(format!("proxy.{problem}"));
            }
        };
        let connections = 1..=Semaphore::MAX_PERMITS;
        require(connections.contains(&self.max_connections), "max_connections must be at least 1");
        require(!self.connect_timeout.is_zero(), "connect_timeout must be longer than 0");
        require(!self.idle_timeout.is_zero(), "idle_timeout must be longer than 0");
        require(
            (ByteSize::kib(8)..=ByteSize::mib(1)).contains(&self.max_header_bytes),
            "max_header_bytes must be between 8KiB and 1MiB",
        );
        problems
    }
}

impl FilterProxy {
    /// Listens on a free port of loopback. The proxy runs until it is closed or dropped.
    pub async fn start(guard: Guard, config: &Config) -> io::Result<Self> {
        Self::start_behind(None, guard, config).await
    }

    /// The same, with all connections through `relay`.
    pub async fn start_behind(relay: Option<Relay>, guard: Guard, config: &Config) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            guard,
            relay,
            config: config.clone(),
            counters: Counters::default(),
            failures: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        shared.spawn(shared.stop.clone(), accept(listener, shared.clone()));
        Ok(Self { addr, shared })
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counters = &self.shared.counters;
        Counts {
            received: counters.received.load(Ordering::Relaxed),
            sent: counters.sent.load(Ordering::Relaxed),
            requests: counters.requests.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
        }
    }

    /// Why the last connection to the host and port of `url` failed. `None` if it did not, or long ago. A browser
    /// only says that its tunnel failed.
    #[must_use]
    pub fn failure(&self, url: &PageUrl) -> Option<FetchError> {
        let target = Target::of(url)?;
        self.shared.failures.lock().get(&target.key()).copied()
    }

    /// Ends all connections, and returns when they are gone.
    pub async fn close(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Drop for FilterProxy {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    /// Runs `task` until it ends or `stop` fires.
    fn spawn(&self, stop: CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Keeps the outcome of the last connection to `target`.
    fn remember(&self, target: &Target, outcome: Result<(), FetchError>) {
        let mut failures = self.failures.lock();
        let Err(error) = outcome else {
            failures.remove(&target.key());
            return;
        };
        if matches!(error, FetchError::NotAllowed | FetchError::Relay(RelayFault::NotAllowed)) {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        if failures.len() >= MAX_FAILURES {
            failures.clear();
        }
        failures.insert(target.key(), error);
    }
}

/// A host and port that the browser wants to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    host: String,
    port: u16,
}

impl Target {
    fn of(url: &PageUrl) -> Option<Self> {
        let port = url.as_url().port_or_known_default()?;
        Some(Self { host: url.host().to_owned(), port })
    }

    fn key(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(shared.config.max_connections));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let session = Arc::new(Session::new(shared.clone()));
                shared.spawn(shared.stop.clone(), async move {
                    session::serve(stream, session).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the filter proxy cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        proxy: Config,
    }

    #[test]
    fn the_defaults_are_complete_and_sound() {
        let file: File = toml::from_str(DEFAULTS).expect("because the section is complete");
        assert_eq!(file.proxy.check(), Vec::<String>::new());
        let broken = Config { max_connections: 0, idle_timeout: Duration::ZERO, ..file.proxy };
        assert_eq!(broken.check().len(), 2);
    }
}
