//! What is asked for, and what came back.
//!
//! A request says nothing about the limits of its client but where it narrows or widens them; an answer with an
//! HTTP error status is an answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::PageUrl;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use crate::{FetchError, Jar, Relay, redirect};

/// Headers that describe the connection or the framing: only the client may set them.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// One fetch.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, HEAD, POST ...
    pub method: Method,
    /// Where to.
    pub url: PageUrl,
    /// Headers beside our own. Those that [`header_allowed`] refuses fail the fetch.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Bytes>,
    /// Whether redirects are followed; if not, the redirect is the answer.
    pub follow_redirects: bool,
    /// Most bytes of the response body on the wire, in place of the configured number.
    pub max_body: Option<u64>,
    /// Most bytes of the response body after decompression, in place of the configured number.
    pub max_decompressed: Option<u64>,
    /// Longest fetch, in place of the configured time; an hour at most.
    pub total_timeout: Option<Duration>,
    /// Takes what there is of a body that is too large, too slow or breaks off, and sets [`Fetched::truncated`].
    pub truncate_body: bool,
    /// Cookies that are sent along, and that the answers set. `None`: none are kept.
    pub cookies: Option<Arc<Jar>>,
    /// The proxy that the request and its redirects go through. `None`: none.
    pub relay: Option<Relay>,
    /// The `ETag` of the copy we have: the answer may be 304.
    pub etag: Option<String>,
    /// The `Last-Modified` of the copy we have: the answer may be 304.
    pub last_modified: Option<String>,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone)]
pub struct Fetched {
    /// HTTP status.
    pub status: u16,
    /// Where the answer came from, after redirects.
    pub final_url: PageUrl,
    /// The URLs that answered with a redirect, in order; the first is the one requested.
    pub redirects: Vec<String>,
    /// Response headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// `Content-Type` as sent.
    pub content_type: Option<String>,
    /// The body after decompression.
    pub body: Bytes,
    /// Whether some of the body is missing; only if `truncate_body` asked for it.
    pub truncated: bool,
    /// Bytes of the body as it came over the wire.
    pub wire_bytes: u64,
    /// How long it took.
    pub timings: Timings,
}

/// How long the parts of a fetch took, over all its redirects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// Name resolution. `None` if no name was looked up.
    pub dns: Option<Duration>,
    /// TCP and TLS. `None` if an open connection was used.
    pub connect: Option<Duration>,
    /// From the start to the end of the last response head.
    pub head: Duration,
    /// From the start to the end of the body.
    pub total: Duration,
}

impl Request {
    /// A GET that follows redirects.
    #[must_use]
    pub fn get(url: PageUrl) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: None,
            follow_redirects: true,
            max_body: None,
            max_decompressed: None,
            total_timeout: None,
            truncate_body: false,
            cookies: None,
            relay: None,
            etag: None,
            last_modified: None,
        }
    }

    /// A POST as webhooks need it: no redirects, and of the response body no more than `max_body` bytes, cut there.
    #[must_use]
    pub fn post(url: PageUrl, body: Bytes, max_body: u64) -> Self {
        Self {
            method: Method::POST,
            body: Some(body),
            follow_redirects: false,
            max_body: Some(max_body),
            max_decompressed: Some(max_body),
            truncate_body: true,
            ..Self::get(url)
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// All headers of the request. Fails at the first one that is not allowed.
    pub(crate) fn header_map(&self) -> Result<HeaderMap, FetchError> {
        let mut map = HeaderMap::new();
        let conditions = [("if-none-match", &self.etag), ("if-modified-since", &self.last_modified)];
        let conditions = conditions.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(conditions) {
            let (name, value) = parse_header(name, value).ok_or(FetchError::BadHeader)?;
            map.try_append(name, value).map_err(|_| FetchError::BadHeader)?;
        }
        Ok(map)
    }
}

impl Fetched {
    /// The first header of that name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Whether a request may carry this header: well-formed, and not one of the connection's own (`Host`, `Proxy-*` ...).
#[must_use]
pub fn header_allowed(name: &str, value: &str) -> bool {
    parse_header(name, value).is_some()
}

fn parse_header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
        return None;
    }
    let mut value = HeaderValue::from_str(value).ok()?;
    // Keeps it out of debug output, and out of the compression tables of HTTP/2.
    value.set_sensitive(redirect::is_credential(&name));
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_are_the_clients() {
        for (name, value, allowed) in [
            ("Accept-Language", "de", true),
            ("Cookie", "a=b", true),
            ("X-Thing", "", true),
            ("Host", "internal", false),
            ("Content-Length", "0", false),
            ("transfer-encoding", "chunked", false),
            ("Connection", "upgrade", false),
            ("Proxy-Authorization", "x", false),
            ("a b", "x", false),
            ("", "x", false),
            ("X-Thing", "a\r\nHost: internal", false),
            ("X-Thing", "a\0", false),
        ] {
            assert_eq!(header_allowed(name, value), allowed, "{name:?}: {value:?}");
        }
    }
}
