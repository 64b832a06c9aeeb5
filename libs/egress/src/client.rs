//! The fetch client: one request, its redirects, its body, within the limits of [`Config`].
//!
//! Promises: each hop is checked before anything is sent (scheme, credentials, port, literal address), connects only
//! to addresses that were checked, and is checked once more by the peer that answered. Cookies are kept in
//! the jar of a request and nowhere else, no proxy is used but the relay of a request, no referer is sent. Dropping the
//! future of a fetch ends it.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::Instant;

use crate::body::{self, Body, Limits};
use crate::config::LONGEST_FETCH;
use crate::redirect::{self, Hop};
use crate::timing::{self, Measured, Probe};
use crate::via::Via;
use crate::{
    Config, FetchError, Fetched, Guard, Jar, Part, Relay, Request, Stage, StartError, Timings, classify,
    decode, tls,
};

/// Fetches from the Internet. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    via: Via,
    guard: Guard,
    config: Config,
}

impl Client {
    /// A client that looks names up with the system's resolver. Needs a Tokio runtime.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        Self::with_guard(config, Guard::system(config.allow_targets.clone())?)
    }

    /// A client that obeys `guard`; `config.allow_targets` does not count.
    pub fn with_guard(config: &Config, guard: Guard) -> Result<Self, StartError> {
        let tls = tls::client_config(&config.extra_roots)?;
        let guard = guard.trusting(tls.clone());
        let http = http_client(config, guard.clone(), tls.clone())?;
        let via = Via::new(config, guard.clone(), tls);
        Ok(Self(Arc::new(Inner { http, via, guard, config: config.clone() })))
    }

    /// The guard, e.g. for the filter proxy of a browser.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.0.guard
    }

    /// Fetches. Any HTTP status is an answer; only what is listed in [`FetchError`] is an error.
    pub async fn fetch(&self, request: Request) -> Result<Fetched, FetchError> {
        let probe = Arc::new(Probe::default());
        let fetched = probe.scope(self.fetch_measured(request, &probe)).await;
        if let Err(error) = &fetched {
            tracing::debug!(%error, "fetch failed");
        }
        fetched
    }

    async fn fetch_measured(&self, request: Request, probe: &Probe) -> Result<Fetched, FetchError> {
        let started = Instant::now();
        let longest = request.total_timeout.unwrap_or(self.0.config.total_timeout).min(LONGEST_FETCH);
        let deadline = started + longest;
        let limits = Limits::of(&self.0.config, &request);
        let headers = request.header_map()?;
        let mut hop = Hop { method: request.method, url: request.url, headers, body: request.body };
        let (jar, relay) = (request.cookies.as_deref(), request.relay.as_ref());
        let mut redirects = Vec::new();
        let response = loop {
            let response = self.send(&hop, jar, relay, deadline).await?;
            if !request.follow_redirects {
                break response;
            }
            let Some(next) = redirect::next(&hop, response.status(), response.headers())? else {
                break response;
            };
            if redirects.len() == self.0.config.max_redirects {
                return Err(FetchError::TooManyRedirects);
            }
            redirects.push(hop.url.to_string());
            hop = next;
        };

        let head = started.elapsed();
        let status = response.status().as_u16();
        let headers = texts(response.headers());
        let content_type = response.headers().get(CONTENT_TYPE).map(text);
        let Body { bytes, wire_bytes, truncated } = body::read(response, limits, deadline).await?;
        let timings = Timings { dns: probe.dns(), connect: probe.connect(), head, total: started.elapsed() };
        Ok(Fetched {
            status,
            final_url: hop.url,
            redirects,
            headers,
            content_type,
            body: bytes,
            truncated,
            wire_bytes,
            timings,
        })
    }

    /// Sends one request and waits for the head of its response.
    async fn send(
        &self,
        hop: &Hop,
        jar: Option<&Jar>,
        relay: Option<&Relay>,
        deadline: Instant,
    ) -> Result<reqwest::Response, FetchError> {
        // The connector parses IP literals itself and asks no resolver about them.
        self.0.guard.check_url(&hop.url)?;
        let mut headers = hop.headers.clone();
        if let Some(jar) = jar {
            jar.add(hop.url.as_url(), &mut headers);
        }
        let until = deadline.min(Instant::now() + self.0.config.head_timeout.min(LONGEST_FETCH));
        let sent = async {
            match relay {
                Some(relay) => self.0.via.send(relay, hop, headers).await,
                None => self.send_directly(hop, headers).await,
            }
        };
        let sent = tokio::time::timeout_at(until, sent).await;
        let response = sent.map_err(|_| FetchError::Timeout { stage: Stage::Head })??;
        let size = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        if size.sum::<usize>() as u64 > self.0.config.max_header_bytes.as_u64() {
            return Err(FetchError::TooLarge { what: Part::Headers });
        }
        if let Some(jar) = jar {
            jar.keep(hop.url.as_url(), response.headers());
        }
        Ok(response)
    }

    async fn send_directly(&self, hop: &Hop, headers: HeaderMap) -> Result<reqwest::Response, FetchError> {
        let request = self.0.http.request(hop.method.clone(), hop.url.as_url().clone());
        let mut request = request.headers(headers);
        if let Some(body) = &hop.body {
            request = request.body(body.clone());
        }
        let response = request.send().await.map_err(|error| classify::request_error(&error, Stage::Head))?;
        let peer = response.remote_addr();
        if peer.is_some_and(|peer| self.0.guard.allows(peer.ip())) {
            Ok(response)
        } else {
            Err(FetchError::NotAllowed)
        }
    }
}

fn http_client(
    config: &Config,
    guard: Guard,
    tls: rustls::ClientConfig,
) -> Result<reqwest::Client, StartError> {
    // HTTP/2 refuses a longer list as a broken stream: the room above lets us say what is wrong with most of them.
    let header_list = config.max_header_bytes.as_u64().saturating_mul(4);
    let header_list = u32::try_from(header_list).unwrap_or(u32::MAX);
    let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(decode::ACCEPTED))]);
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(GuardedResolver(guard))
        .connector_layer(Measured)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // Bodies are decompressed here, where the bytes on the wire can be counted.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .user_agent(&config.user_agent)
        .default_headers(headers)
        .connect_timeout(config.connect_timeout)
        .pool_max_idle_per_host(config.pool_per_host)
        .pool_idle_timeout(config.pool_idle_timeout)
        .http2_max_header_list_size(header_list)
        // Browsers put up with these, and so do many sites.
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .build()?;
    Ok(client)
}

/// Hands checked addresses to the HTTP client, which connects to them and to no others.
struct GuardedResolver(Guard);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let started = Instant::now();
            let addresses = guard.resolve(name.as_str(), 0).await;
            timing::resolved(started);
            Ok(Box::new(addresses?.into_iter()) as Addrs)
        })
    }
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// Header values are ASCII by the standard, often UTF-8, and else Latin-1.
fn text(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    }
}
