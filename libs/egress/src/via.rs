//! The HTTP client for requests that go through a relay: connections of its own for each relay, kept like the others.
//!
//! Promises: no request of one relay goes over a connection of another, or over none; relays whose connections are kept
//! have a bound.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{ACCEPT, ACCEPT_ENCODING, PROXY_AUTHORIZATION, USER_AGENT};
use http::uri::{Scheme, Uri};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::Full;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use moka::future::Cache;
use tower::{Layer, Service};

use crate::error::RelayFault;
use crate::redirect::Hop;
use crate::relay::Wire;
use crate::timing::{Measured, MeasuredConnector};
use crate::{Config, FetchError, Guard, Relay, classify, decode};

/// How long the connections of a relay are kept after its last request.
const KEEP: Duration = Duration::from_secs(300);

type Connector = MeasuredConnector<HttpsConnector<Dialer>>;
type Http = legacy::Client<Connector, Full<Bytes>>;

/// Sends requests through relays.
pub(crate) struct Via {
    clients: Cache<Relay, Http>,
    guard: Guard,
    tls: Arc<rustls::ClientConfig>,
    settings: Config,
    headers: HeaderMap,
}

impl Via {
    pub(crate) fn new(config: &Config, guard: Guard, tls: rustls::ClientConfig) -> Self {
        let agent =
            HeaderValue::from_str(&config.user_agent).unwrap_or(HeaderValue::from_static("crawlmesh"));
        let headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("*/*")),
            (ACCEPT_ENCODING, HeaderValue::from_static(decode::ACCEPTED)),
            (USER_AGENT, agent),
        ]);
        Self {
            clients: Cache::builder().max_capacity(config.max_proxies).time_to_idle(KEEP).build(),
            guard,
            tls: Arc::new(tls),
            settings: config.clone(),
            headers,
        }
    }

    /// Sends one request, and returns the head of its response with a body that is still to be read.
    pub(crate) async fn send(
        &self,
        relay: &Relay,
        hop: &Hop,
        headers: HeaderMap,
    ) -> Result<reqwest::Response, FetchError> {
        let http = self.clients.get_with_by_ref(relay, async { self.client(relay) }).await;
        let mut request = http::Request::new(Full::new(hop.body.clone().unwrap_or_default()));
        *request.method_mut() = hop.method.clone();
        *request.uri_mut() = hop.url.as_str().parse().map_err(|_| FetchError::Protocol)?;
        let forwarded = relay.forwards() && request.uri().scheme() == Some(&Scheme::HTTP);
        let all = request.headers_mut();
        all.extend(self.headers.clone());
        for name in headers.keys() {
            all.remove(name);
        }
        for (name, value) in &headers {
            all.append(name, value.clone());
        }
        if let (true, Some(authorization)) = (forwarded, relay.authorization()) {
            all.insert(PROXY_AUTHORIZATION, authorization);
        }
        let response = http.request(request).await.map_err(|error| classify::error(&error))?;
        if forwarded && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(FetchError::Relay(RelayFault::Credentials));
        }
        Ok(response.map(reqwest::Body::wrap).into())
    }

    fn client(&self, relay: &Relay) -> Http {
        let config = &self.settings;
        let dialer =
            Dialer { relay: relay.clone(), guard: self.guard.clone(), limit: config.connect_timeout };
        let connector = Measured.layer(HttpsConnector::from((dialer, self.tls.clone())));
        let header_list = u32::try_from(config.max_header_bytes.as_u64().saturating_mul(4));
        legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.pool_idle_timeout)
            .pool_max_idle_per_host(config.pool_per_host)
            .http2_max_header_list_size(header_list.unwrap_or(u32::MAX))
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .build(connector)
    }
}

/// Connects to targets through a relay.
#[derive(Clone)]
struct Dialer {
    relay: Relay,
    guard: Guard,
    limit: Duration,
}

impl Service<Uri> for Dialer {
    type Response = Far;
    type Error = FetchError;
    type Future = BoxFuture<'static, Result<Far, FetchError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Self { relay, guard, limit } = self.clone();
        Box::pin(async move {
            let host = target.host().ok_or(FetchError::Protocol)?;
            let secure = target.scheme() == Some(&Scheme::HTTPS);
            let port = target.port_u16().unwrap_or(if secure { 443 } else { 80 });
            let forward = relay.forwards() && !secure;
            let stream = if forward {
                relay.reach(&guard, host, port, limit).await?
            } else {
                relay.tunnel(&guard, host, port, limit).await?
            };
            Ok(Far { stream: TokioIo::new(stream), forward })
        })
    }
}

/// A connection to a relay, or through it.
struct Far {
    stream: TokioIo<Wire>,
    /// Whether requests are given to the relay whole.
    forward: bool,
}

impl Connection for Far {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.forward)
    }
}

impl Read for Far {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Far {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
