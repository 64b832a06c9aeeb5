//! Plain requests through the proxy: `GET http://host/path`, and upgrades of them (WebSocket).
//!
//! Promises: bodies are streamed; headers between two neighbours stay between them (RFC 9110, section 7.6.1); the
//! `Host` that is sent is the one that was checked.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, UPGRADE};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, StatusCode, Version};
use http_body_util::{Either, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::Target;
use super::session::{Far, Refusal, Reply, Session, Tunnel};
use crate::{FetchError, Relay, RelayFault};

/// Headers that are meant for the next neighbour only.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request body: the browser's, or none when a request is sent again.
type Outgoing = Either<Incoming, Empty<Bytes>>;

/// An open connection for plain requests.
pub(super) struct Upstream {
    target: Target,
    sender: SendRequest<Outgoing>,
}

impl Session {
    /// Passes a request on, and its response back.
    pub(super) async fn forward(self: &Arc<Self>, mut request: Request<Incoming>) -> Result<Reply, Refusal> {
        if request.uri().scheme_str() != Some("http") {
            return Err(Refusal::Malformed);
        }
        let authority = request.uri().authority().ok_or(Refusal::Malformed)?;
        let target = self.target("http", authority.as_str())?;
        let browser = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
        prepare(&mut request, &target, self.forwarder())?;

        let mut response = self.send(&target, request).await?;
        self.understand(&target, response.status())?;
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if upgraded {
            let browser = browser.ok_or(FetchError::Protocol)?;
            let far = Far::Upgraded(hyper::upgrade::on(&mut response));
            self.become_tunnel(Tunnel { browser, far });
        }
        strip(response.headers_mut(), upgraded);
        *response.version_mut() = Version::HTTP_11;
        Ok(response.map(Either::Left))
    }

    /// Tells an answer of the relay to us from one of the target to the browser.
    fn understand(&self, target: &Target, status: StatusCode) -> Result<(), FetchError> {
        if self.forwarder().is_none() || status != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Ok(());
        }
        let error = FetchError::Relay(RelayFault::Credentials);
        self.shared.remember(target, Err(error));
        Err(error)
    }

    /// Sends over the connection of the last request if it leads to the same target, else over a new one.
    async fn send(
        self: &Arc<Self>,
        target: &Target,
        request: Request<Incoming>,
    ) -> Result<http::Response<Incoming>, FetchError> {
        let mut slot = self.upstream.lock().await;
        let spare = copy(&request);
        let mut request = request.map(Either::Left);
        if let Some(mut upstream) = slot.take()
            && upstream.target == *target
            && upstream.sender.ready().await.is_ok()
        {
            match upstream.sender.try_send_request(request).await {
                Ok(response) => {
                    *slot = Some(upstream);
                    return Ok(response);
                }
                // The server closed the idle connection, perhaps while the request was on its way.
                Err(mut error) => request = error.take_message().or(spare).ok_or(FetchError::Connect)?,
            }
        }
        let mut sender = self.open(target).await?;
        let response = sender.send_request(request).await.map_err(|_| FetchError::Connect)?;
        *slot = Some(Upstream { target: target.clone(), sender });
        Ok(response)
    }

    async fn open(self: &Arc<Self>, target: &Target) -> Result<SendRequest<Outgoing>, FetchError> {
        let stream = self.dial_plainly(target).await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.shared.config.max_header_bytes.as_u64() as usize)
            .ignore_invalid_headers_in_responses(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| FetchError::Connect)?;
        self.shared.spawn(self.stop.clone(), async move {
            // Its failure reaches the request that waits for it.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }
}

/// The same request once more, if sending it twice does no harm (RFC 9110, section 9.2.1) and it has no body.
fn copy(request: &Request<Incoming>) -> Option<Request<Outgoing>> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !safe || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Either::Right(Empty::new()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Makes a request to a proxy one to its target, or to the relay that takes it whole.
fn prepare(request: &mut Request<Incoming>, target: &Target, relay: Option<&Relay>) -> Result<(), Refusal> {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let host = if target.port == 80 { target.host.clone() } else { target.key() };
    *request.uri_mut() = match relay {
        None => Uri::from(path),
        Some(_) => format!("http://{host}{path}").parse().map_err(|_| Refusal::Malformed)?,
    };
    *request.version_mut() = Version::HTTP_11;
    let host = HeaderValue::from_str(&host).map_err(|_| Refusal::Malformed)?;
    let upgrade = request.headers().contains_key(UPGRADE);
    strip(request.headers_mut(), upgrade);
    request.headers_mut().insert(HOST, host);
    if let Some(authorization) = relay.and_then(Relay::authorization) {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
    }
    Ok(())
}

/// Removes the headers that are not passed on, but for those of an upgrade.
fn strip(headers: &mut HeaderMap, upgrade: bool) {
    let kept = headers.get(UPGRADE).filter(|_| upgrade).cloned();
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
    if let Some(protocol) = kept {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}
