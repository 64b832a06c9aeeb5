//! The cookies of one job, as RFC 6265 has them: kept from its answers, sent with its later requests.
//!
//! Promises: a site sets cookies for itself and its parents only, never for a public suffix; what is kept and what is
//! sent has a bound; values are in no debug output.

use cookie_store::{Cookie, CookieStore, RawCookie};
use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use parking_lot::Mutex;
use url::Url;

/// Longest cookie, name, value and attributes together (RFC 6265, section 6.1).
const MAX_COOKIE_BYTES: usize = 4096;
/// Longest header that is sent; cookies beyond are left out.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Most `Set-Cookie` headers looked at in one answer.
const MAX_SET_IN_ANSWER: usize = 100;

/// Cookies that answers have set. Shared by the requests of a job, and by nothing else.
pub struct Jar {
    store: Mutex<CookieStore>,
    most: usize,
}

impl Jar {
    /// An empty jar that holds `most` cookies; it takes no more until some of them are replaced.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { store: Mutex::default(), most }
    }

    /// Cookies in the jar, those that have expired among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.lock().iter_any().count()
    }

    /// Whether no cookie is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps what an answer from `url` sets.
    pub fn keep(&self, url: &Url, headers: &HeaderMap) {
        let mut set = headers.get_all(SET_COOKIE).iter().take(MAX_SET_IN_ANSWER).peekable();
        if set.peek().is_none() {
            return;
        }
        let mut store = self.store.lock();
        for value in set {
            let Some(cookie) =
                std::str::from_utf8(value.as_bytes()).ok().and_then(|text| acceptable(text, url))
            else {
                continue;
            };
            // A cookie that is not for this host is refused, and nobody needs to know.
            let Ok(cookie) = Cookie::try_from_raw_cookie(&cookie, url) else { continue };
            let domain = cookie.domain.as_cow().unwrap_or_default().into_owned();
            let known = store.contains_any(&domain, &cookie.path, cookie.name());
            if known || store.iter_any().count() < self.most {
                let _ = store.insert(cookie, url);
            }
        }
    }

    /// Adds the cookies for `url` to the headers of a request. A cookie that the headers have already wins.
    pub fn add(&self, url: &Url, headers: &mut HeaderMap) {
        let own = headers.get(COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let named = |name: &str| own.split("; ").any(|pair| pair.split('=').next() == Some(name));
        let mut line = own.clone();
        for (name, value) in self.store.lock().get_request_values(url) {
            let more = name.len() + value.len() + 3;
            if !named(name) && line.len() + more <= MAX_HEADER_BYTES {
                if !line.is_empty() {
                    line.push_str("; ");
                }
                line.push_str(&format!("{name}={value}"));
            }
        }
        if line.len() > own.len()
            && let Ok(mut value) = HeaderValue::from_bytes(line.as_bytes())
        {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }
}

impl std::fmt::Debug for Jar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jar").field("cookies", &self.len()).finish()
    }
}

/// A cookie that may be kept, as far as that does not depend on what else is in the jar.
fn acceptable(text: &str, url: &Url) -> Option<RawCookie<'static>> {
    if text.len() > MAX_COOKIE_BYTES || text.bytes().any(|byte| byte < 0x20 && byte != b'\t') {
        return None;
    }
    let mut cookie = RawCookie::parse(text.to_owned()).ok()?;
    if let Some(domain) = cookie.domain().map(|domain| domain.trim_start_matches('.').to_ascii_lowercase())
        && suffix(&domain)
    {
        // The host that is itself a public suffix may set cookies for itself (RFC 6265, section 5.3, step 5).
        if url.host_str() != Some(domain.as_str()) {
            return None;
        }
        cookie.unset_domain();
    }
    let host_only = cookie.domain().is_none() && cookie.path() == Some("/");
    let secure = cookie.secure() == Some(true) && url.scheme() == "https";
    let prefix = cookie.name().to_ascii_lowercase();
    let kept = (!prefix.starts_with("__secure-") || secure)
        && (!prefix.starts_with("__host-") || (secure && host_only));
    kept.then_some(cookie)
}

/// Whether a domain is one under which anybody may have a name: `com`, `co.uk`, `github.io`.
fn suffix(domain: &str) -> bool {
    psl::suffix_str(domain).is_none_or(|suffix| suffix == domain)
}
