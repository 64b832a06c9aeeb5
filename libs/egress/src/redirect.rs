//! The rules of redirects (RFC 9110, section 15.4, as the Fetch standard reads it). No I/O.
//!
//! Promises: every next URL went through the same checks as a first one, and nothing that may authenticate the caller
//! goes to another origin: of the caller's headers, only those that say what is understood.

use bytes::Bytes;
use domain::{PageUrl, UrlError};
use http::header::{HeaderMap, HeaderName, LOCATION};
use http::{Method, StatusCode};

use crate::FetchError;

/// The caller's headers that go on to another origin: they authenticate nobody.
const CARRIED: &[&str] = &["accept", "accept-language", "content-type", "user-agent"];
/// A header whose name holds one of these may be a credential.
const CREDENTIAL_WORDS: &[&str] = &["auth", "cookie", "token", "secret", "key", "session", "signature"];

/// One request of a fetch.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub(crate) method: Method,
    pub(crate) url: PageUrl,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

/// The request that a response asks for. `None` if it is not a redirect.
pub(crate) fn next(hop: &Hop, status: StatusCode, headers: &HeaderMap) -> Result<Option<Hop>, FetchError> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get(LOCATION) else {
        return Ok(None);
    };
    let location = std::str::from_utf8(location.as_bytes()).map_err(|_| FetchError::BadRedirect)?;
    let url = hop.url.as_url().join(location.trim()).map_err(|_| FetchError::BadRedirect)?;
    if url.as_str().len() > domain::url::MAX_URL_BYTES {
        return Err(FetchError::BadRedirect);
    }
    let url = PageUrl::try_from(url).map_err(|error| match error {
        UrlError::Port => FetchError::NotAllowed,
        _ => FetchError::BadRedirect,
    })?;

    let mut next = Hop { url, ..hop.clone() };
    let becomes_get = match status.as_u16() {
        303 => hop.method != Method::HEAD,
        301 | 302 => hop.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        next.method = Method::GET;
        next.body = None;
        drop_headers(&mut next.headers, |name| name.as_str().starts_with("content-"));
    }
    if hop.url.as_url().origin() != next.url.as_url().origin() {
        drop_headers(&mut next.headers, |name| !CARRIED.contains(&name.as_str()));
    }
    Ok(Some(next))
}

/// Whether a request header of this name may authenticate the caller.
pub(crate) fn is_credential(name: &HeaderName) -> bool {
    CREDENTIAL_WORDS.iter().any(|word| name.as_str().contains(word))
}

fn drop_headers(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let names: Vec<_> = headers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn hop(method: Method, url: &str) -> Hop {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "x-api-key", "x-of-mine", "accept", "content-type"] {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        let url = PageUrl::parse(url).expect("because the table holds URLs");
        Hop { method, url, headers, body: Some(Bytes::from_static(b"x")) }
    }

    fn follow(hop: &Hop, status: u16, location: &str) -> Result<Option<Hop>, FetchError> {
        let mut headers = HeaderMap::new();
        headers
            .insert(LOCATION, HeaderValue::from_bytes(location.as_bytes()).expect("because it is a value"));
        next(hop, StatusCode::from_u16(status).expect("because it is a status"), &headers)
    }

    #[test]
    fn locations_are_checked_like_first_urls() {
        let from = hop(Method::GET, "https://a.example/x/y?q");
        for (location, expected) in [
            ("/z", Ok("https://a.example/z")),
            ("z", Ok("https://a.example/x/z")),
            ("//b.example", Ok("https://b.example/")),
            ("http://2130706433/", Ok("http://127.0.0.1/")),
            ("/ü", Ok("https://a.example/%C3%BC")),
            ("file:///etc/passwd", Err(FetchError::BadRedirect)),
            ("javascript:alert(1)", Err(FetchError::BadRedirect)),
            ("http://", Err(FetchError::BadRedirect)),
            ("http://u:p@b.example/", Err(FetchError::BadRedirect)),
            ("http://b.example:22/", Err(FetchError::NotAllowed)),
        ] {
            let found = follow(&from, 302, location).map(|hop| hop.map(|hop| hop.url.to_string()));
            assert_eq!(found, expected.map(|url| Some(url.to_owned())), "{location}");
        }
        assert_eq!(follow(&from, 302, &"a".repeat(9000)).map(|_| ()), Err(FetchError::BadRedirect));
    }

    #[test]
    fn only_redirects_are_followed() {
        let from = hop(Method::GET, "https://a.example/");
        for (status, followed) in
            [(200, false), (201, false), (300, false), (304, false), (307, true), (308, true)]
        {
            assert_eq!(
                follow(&from, status, "/z").expect("because it is valid").is_some(),
                followed,
                "{status}"
            );
        }
        assert!(
            next(&from, StatusCode::FOUND, &HeaderMap::new()).expect("because it is no redirect").is_none()
        );
    }

    #[test]
    fn methods_change_as_in_a_browser() {
        for (method, status, expected) in [
            (Method::POST, 301, Method::GET),
            (Method::POST, 302, Method::GET),
            (Method::POST, 303, Method::GET),
            (Method::PUT, 303, Method::GET),
            (Method::PUT, 302, Method::PUT),
            (Method::HEAD, 303, Method::HEAD),
            (Method::POST, 307, Method::POST),
            (Method::POST, 308, Method::POST),
        ] {
            let next = follow(&hop(method.clone(), "https://a.example/"), status, "/z");
            let next = next.expect("because it is valid").expect("because it is a redirect");
            assert_eq!(next.method, expected, "{method} {status}");
            assert_eq!(next.body.is_some(), next.headers.contains_key("content-type"));
            assert_eq!(next.body.is_some(), method != Method::GET && next.method == method);
        }
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let from = hop(Method::GET, "https://a.example/");
        for (location, kept) in [
            ("/z", true),
            ("https://a.example:443/z", true),
            ("https://a.example:8443/z", false),
            ("http://a.example/z", false),
            ("https://b.a.example/z", false),
        ] {
            let next =
                follow(&from, 307, location).expect("because it is valid").expect("because it redirects");
            for name in ["authorization", "cookie", "x-api-key", "x-of-mine"] {
                assert_eq!(next.headers.contains_key(name), kept, "{name} to {location}");
            }
            assert!(next.headers.contains_key("accept"));
        }
    }
}
