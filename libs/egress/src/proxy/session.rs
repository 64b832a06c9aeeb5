//! One connection of the browser: its requests, or the tunnel that it becomes.
//!
//! Promises: ends when it has been silent for `idle_timeout`, and takes its connections to the Internet with it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use domain::{PageUrl, UrlError};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::forward::Upstream;
use super::meter::Metered;
use super::{Shared, Target};
use crate::relay::Wire;
use crate::{FetchError, Relay};

/// A response: from the Internet, or a few words of ours.
pub(super) type Reply = Response<Either<Incoming, Full<Bytes>>>;

/// The state of one connection of the browser.
pub(crate) struct Session {
    pub(super) shared: Arc<Shared>,
    /// Ends what was spawned for this connection.
    pub(super) stop: CancellationToken,
    /// The connection of the last plain request, for the next one to the same target.
    pub(super) upstream: tokio::sync::Mutex<Option<Upstream>>,
    tunnel: Mutex<Option<Tunnel>>,
    started: Instant,
    /// When there last was traffic, in milliseconds since `started`.
    last_traffic: AtomicU64,
}

/// What a connection turns into after CONNECT or an upgrade.
pub(super) struct Tunnel {
    pub(super) browser: OnUpgrade,
    pub(super) far: Far,
}

/// The other end of a tunnel.
pub(super) enum Far {
    /// After CONNECT.
    Direct(Metered),
    /// After an upgrade of a plain request.
    Upgraded(OnUpgrade),
}

/// A request that the proxy does not serve, with what it answers.
pub(super) enum Refusal {
    /// Not a request that a proxy gets.
    Malformed,
    /// The target was not reached.
    Failed(FetchError),
}

impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        Self::Failed(error)
    }
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let stop = shared.stop.child_token();
        Self {
            shared,
            stop,
            upstream: tokio::sync::Mutex::default(),
            tunnel: Mutex::default(),
            started: Instant::now(),
            last_traffic: AtomicU64::new(0),
        }
    }

    /// Notes that the connection is alive.
    pub(super) fn touch(&self) {
        let now = self.started.elapsed().as_millis();
        self.last_traffic.store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Makes the connection a tunnel once the response to the current request is out.
    pub(super) fn become_tunnel(&self, tunnel: Tunnel) {
        *self.tunnel.lock() = Some(tunnel);
    }

    /// Connects to a target that the guard allows, or through the relay to it.
    pub(super) async fn dial(self: &Arc<Self>, target: &Target) -> Result<Metered, FetchError> {
        let Shared { guard, relay, config, .. } = &*self.shared;
        let (host, port, limit) = (&target.host, target.port, config.connect_timeout);
        let dialled = match relay {
            Some(relay) => relay.tunnel(guard, host, port, limit).await,
            None => guard.connect(host, port, limit).await.map(Wire::Left),
        };
        self.dialled(target, dialled)
    }

    /// Connects for plain requests to a target: to the relay itself, if it takes them whole.
    pub(super) async fn dial_plainly(self: &Arc<Self>, target: &Target) -> Result<Metered, FetchError> {
        let Some(relay) = self.forwarder() else { return self.dial(target).await };
        let limit = self.shared.config.connect_timeout;
        let dialled = relay.reach(&self.shared.guard, &target.host, target.port, limit).await;
        self.dialled(target, dialled)
    }

    /// The relay, if it takes plain requests whole.
    pub(super) fn forwarder(&self) -> Option<&Relay> {
        self.shared.relay.as_ref().filter(|relay| relay.forwards())
    }

    fn dialled(
        self: &Arc<Self>,
        target: &Target,
        dialled: Result<Wire, FetchError>,
    ) -> Result<Metered, FetchError> {
        self.shared.remember(target, dialled.as_ref().map(|_| ()).map_err(|error| *error));
        let stream = dialled?;
        // A tunnel carries handshakes: waiting to fill a packet would only delay them. A relay's connection knows that already.
        if let Wire::Left(stream) = &stream {
            let _ = stream.set_nodelay(true);
        }
        Ok(Metered::new(stream, self.clone()))
    }

    /// The target in an authority such as `example.com:443`, read by the rules of pages.
    pub(super) fn target(&self, scheme: &str, authority: &str) -> Result<Target, Refusal> {
        let url = PageUrl::parse(&format!("{scheme}://{authority}/")).map_err(|error| match error {
            UrlError::Port => {
                self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                Refusal::Failed(FetchError::NotAllowed)
            }
            _ => Refusal::Malformed,
        })?;
        Target::of(&url).ok_or(Refusal::Malformed)
    }

    /// Returns when there has been no traffic for `idle_timeout`.
    async fn idle(&self) {
        let patience = self.shared.config.idle_timeout;
        loop {
            let last = Duration::from_millis(self.last_traffic.load(Ordering::Relaxed));
            let until = self.started + last + patience;
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Reply, Infallible> {
        self.shared.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.touch();
        let answered = if request.method() == Method::CONNECT {
            self.connect(request).await
        } else {
            self.forward(request).await
        };
        Ok(answered.unwrap_or_else(|refusal| refusal.reply()))
    }

    async fn connect(self: &Arc<Self>, request: Request<Incoming>) -> Result<Reply, Refusal> {
        let authority = request.uri().authority().ok_or(Refusal::Malformed)?;
        authority.port_u16().ok_or(Refusal::Malformed)?;
        let target = self.target("https", authority.as_str())?;
        let far = Far::Direct(self.dial(&target).await?);
        self.become_tunnel(Tunnel { browser: hyper::upgrade::on(request), far });
        Ok(reply(StatusCode::OK, ""))
    }
}

impl Tunnel {
    /// Carries bytes both ways until both ends are done.
    async fn run(self) {
        let Ok(browser) = self.browser.await else {
            return;
        };
        let mut browser = TokioIo::new(browser);
        // How a tunnel ends is of no interest: either side may hang up as it likes.
        let _ = match self.far {
            Far::Direct(mut far) => tokio::io::copy_bidirectional(&mut browser, &mut far).await,
            Far::Upgraded(far) => match far.await {
                Ok(far) => tokio::io::copy_bidirectional(&mut browser, &mut TokioIo::new(far)).await,
                Err(_) => return,
            },
        };
    }
}

impl Refusal {
    fn reply(self) -> Reply {
        let (status, words) = match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "not a request to a proxy"),
            Self::Failed(error @ FetchError::NotAllowed) => (StatusCode::FORBIDDEN, error.detail()),
            Self::Failed(FetchError::Timeout { .. }) => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
            Self::Failed(error) => (StatusCode::BAD_GATEWAY, error.detail()),
        };
        reply(status, words)
    }
}

/// Serves one connection of the browser to its end.
pub(super) async fn serve(stream: TcpStream, session: Arc<Session>) {
    let _stop = session.stop.clone().drop_guard();
    let _ = stream.set_nodelay(true);
    let limits = &session.shared.config;
    let service = service_fn(|request| session.clone().answer(request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_buf_size(limits.max_header_bytes.as_u64() as usize)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let work = async {
        // A browser that hangs up in the middle is none of our business.
        let _ = connection.await;
        let tunnel = session.tunnel.lock().take();
        if let Some(tunnel) = tunnel {
            tunnel.run().await;
        }
    };
    tokio::select! {
        () = work => {}
        () = session.idle() => {}
    }
}

/// A response of ours.
pub(super) fn reply(status: StatusCode, words: &'static str) -> Reply {
    let mut reply = Response::new(Either::Right(Full::new(Bytes::from_static(words.as_bytes()))));
    *reply.status_mut() = status;
    reply
}
