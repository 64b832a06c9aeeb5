//! The cookies of one job, as RFC 6265 has them: kept from its answers, sent with its later requests.
//!
//! Promises: a site sets cookies for itself and its parents only, never for a public suffix; what is kept and what is
//! sent has a bound; values are in no debug output.

use std::sync::atomic::{AtomicU64, Ordering};

use cookie_store::{Cookie, CookieDomain, CookieExpiration, CookieStore, RawCookie};
use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use parking_lot::Mutex;
use time::OffsetDateTime;
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
    version: AtomicU64,
}

/// A cookie as it goes from a jar to a browser, or back.
#[derive(Clone, PartialEq, Eq)]
pub struct Crumb {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host it is for.
    pub host: String,
    /// Whether it is for the hosts below that, too.
    pub below: bool,
    /// The path it is for.
    pub path: String,
    /// Whether it is sent over TLS only.
    pub secure: bool,
    /// Whether scripts do not see it.
    pub http_only: bool,
    /// When it ends, in seconds since 1970. `None`: with the job.
    pub expires: Option<i64>,
    /// `Strict`, `Lax` or `None`; `None`: the site did not say.
    pub same_site: Option<String>,
}

impl Jar {
    /// An empty jar that holds `most` cookies; it takes no more until some of them are replaced.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { store: Mutex::default(), most, version: AtomicU64::new(0) }
    }

    /// Another number after each answer that set cookies; 0 before the first.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The cookies that have not expired.
    #[must_use]
    pub fn crumbs(&self) -> Vec<Crumb> {
        self.store.lock().iter_unexpired().filter_map(crumb).collect()
    }

    /// Keeps a cookie that a browser has, by the same rules as if an answer of its host had set it. The version stays: the
    /// browser knows.
    pub fn put(&self, crumb: &Crumb) {
        let Ok(url) = Url::parse(&format!("https://{}/", crumb.host)) else { return };
        let mut cookie = RawCookie::new(crumb.name.clone(), crumb.value.clone());
        cookie.set_path(crumb.path.clone());
        cookie.set_secure(crumb.secure);
        cookie.set_http_only(crumb.http_only);
        if crumb.below {
            cookie.set_domain(crumb.host.clone());
        }
        if let Some(end) = crumb.expires.and_then(|end| OffsetDateTime::from_unix_timestamp(end).ok()) {
            cookie.set_expires(end);
        }
        let mut text = cookie.to_string();
        if let Some(word) = &crumb.same_site {
            text.push_str("; SameSite=");
            text.push_str(word);
        }
        if let Some(cookie) = acceptable(&text, &url) {
            insert(&mut self.store.lock(), self.most, &cookie, &url);
        }
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
            insert(&mut store, self.most, &cookie, url);
        }
        self.version.fetch_add(1, Ordering::Release);
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

impl std::fmt::Debug for Crumb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crumb").field("name", &self.name).field("host", &self.host).finish_non_exhaustive()
    }
}

fn insert(store: &mut CookieStore, most: usize, cookie: &RawCookie<'static>, url: &Url) {
    // A cookie that is not for this host is refused, and nobody needs to know.
    let Ok(cookie) = Cookie::try_from_raw_cookie(cookie, url) else { return };
    let domain = cookie.domain.as_cow().unwrap_or_default().into_owned();
    let known = store.contains_any(&domain, &cookie.path, cookie.name());
    if known || store.iter_any().count() < most {
        let _ = store.insert(cookie, url);
    }
}

fn crumb(cookie: &Cookie<'static>) -> Option<Crumb> {
    let (host, below) = match &cookie.domain {
        CookieDomain::HostOnly(host) => (host.clone(), false),
        CookieDomain::Suffix(host) => (host.clone(), true),
        CookieDomain::NotPresent | CookieDomain::Empty => return None,
    };
    let expires = match cookie.expires {
        CookieExpiration::AtUtc(end) => Some(end.unix_timestamp()),
        CookieExpiration::SessionEnd => None,
    };
    Some(Crumb {
        name: cookie.name().to_owned(),
        value: cookie.value().to_owned(),
        host,
        below,
        path: String::from(&cookie.path),
        secure: cookie.secure().unwrap_or_default(),
        http_only: cookie.http_only().unwrap_or_default(),
        expires,
        same_site: cookie.same_site().map(|word| word.to_string()),
    })
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
