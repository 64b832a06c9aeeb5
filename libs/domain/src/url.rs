//! URLs of pages: parsed once by the WHATWG rules (so that a check and its use see the same URL), and canonical.

use std::fmt;

use url::Url;

/// Longest URL accepted, in bytes.
pub const MAX_URL_BYTES: usize = 8192;

/// Ports that are never web servers; a subset of the Fetch standard's "bad ports" plus common databases and caches.
const DENIED_PORTS: &[u16] = &[
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
    109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
    526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
    3306, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697,
    9200, 10080, 11211, 27017,
];

/// Why a text is not the URL of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Empty or white space.
    #[error("is required")]
    Required,
    /// Longer than [`MAX_URL_BYTES`].
    #[error("is longer than 8192 bytes")]
    TooLong,
    /// Not a URL.
    #[error("is not an absolute URL")]
    Invalid,
    /// Neither http nor https.
    #[error("has a scheme other than http and https")]
    Scheme,
    /// `http://user:password@host/`.
    #[error("carries a user name or password")]
    Credentials,
    /// No host, or a host longer than DNS allows.
    #[error("has no valid host")]
    Host,
    /// Port 0, or a port that is no web server's.
    #[error("names a port that is not allowed")]
    Port,
}

impl UrlError {
    /// The reason that a client branches on (docs/errors.md).
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Required => "REQUIRED",
            Self::TooLong => "URL_TOO_LONG",
            Self::Invalid | Self::Host => "INVALID_URL",
            Self::Scheme => "UNSUPPORTED_SCHEME",
            Self::Credentials => "URL_CREDENTIALS",
            Self::Port => "PORT_NOT_ALLOWED",
        }
    }
}

/// The URL of a page: absolute, http or https, without credentials, within the limits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageUrl(Url);

impl PageUrl {
    /// Reads a URL as a browser's address bar would (WHATWG URL): `http://2130706433/` is `http://127.0.0.1/`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.trim().is_empty() {
            return Err(UrlError::Required);
        }
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        // The parser would drop these silently; a caller who sends them has a bug worth hearing of.
        if text.trim().chars().any(|c| c.is_control()) {
            return Err(UrlError::Invalid);
        }
        let url = Url::parse(text.trim()).map_err(|error| match error {
            url::ParseError::InvalidPort => UrlError::Port,
            url::ParseError::EmptyHost => UrlError::Host,
            _ => UrlError::Invalid,
        })?;
        Self::try_from(url)
    }

    /// The URL.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Host in lower case, as politeness counts it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// What politeness counts as one server: the host, with the port unless it is 80 or 443. `http` and `https` of a site are
    /// one server, a test server at another port is another. At most 260 bytes.
    #[must_use]
    pub fn host_key(&self) -> String {
        let host = self.host().trim_end_matches('.');
        match self.0.port_or_known_default() {
            None | Some(80 | 443) => host.to_owned(),
            Some(port) => format!("{host}:{port}"),
        }
    }

    /// The form that decides whether two URLs are the same page: no fragment, no default port, host in lower case.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut url = self.0.clone();
        url.set_fragment(None);
        url.into()
    }

    /// A short key of the canonical form: the first 16 bytes of its BLAKE3 hash.
    #[must_use]
    pub fn key(&self) -> [u8; 16] {
        let hash = blake3::hash(self.canonical().as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hash.as_bytes()[..16]);
        key
    }
}

impl TryFrom<Url> for PageUrl {
    type Error = UrlError;

    fn try_from(url: Url) -> Result<Self, UrlError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme);
        }
        // Written as a URL, a text may be nine times as long as it came.
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        match url.host_str() {
            Some(host) if !host.is_empty() && host.len() <= 253 => {}
            _ => return Err(UrlError::Host),
        }
        if let Some(port) = url.port()
            && (port == 0 || DENIED_PORTS.contains(&port))
        {
            return Err(UrlError::Port);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for PageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_urls_are_refused_with_a_reason() {
        for (text, error) in [
            ("", UrlError::Required),
            ("  ", UrlError::Required),
            ("example.com", UrlError::Invalid),
            ("http://a\nb/", UrlError::Invalid),
            ("file:///etc/passwd", UrlError::Scheme),
            ("javascript:alert(1)", UrlError::Scheme),
            ("view-source:http://example.com/", UrlError::Scheme),
            ("http://user:pass@example.com/", UrlError::Credentials),
            ("http://", UrlError::Host),
            ("http://example.com:0/", UrlError::Port),
            ("http://example.com:65536/", UrlError::Port),
            ("http://example.com:22/", UrlError::Port),
        ] {
            assert_eq!(PageUrl::parse(text), Err(error), "{text}");
        }
        // The second is short as a text, and three times as long as a URL.
        for path in ["a".repeat(9_000), "é".repeat(2_000)] {
            let text = format!("http://example.com/{path}");
            assert_eq!(PageUrl::parse(&text), Err(UrlError::TooLong));
        }
    }

    #[test]
    fn one_page_has_one_key() {
        let key = |text: &str| PageUrl::parse(text).map(|url| url.key());
        assert_eq!(key("http://Example.com:80/a#x"), key("http://example.com/a"));
        assert_ne!(key("http://example.com/a"), key("http://example.com/b"));
    }
}
