//! Addresses of proxies that callers bring: read once, by the rules of page URLs where they hold.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{AddressPolicy, PageUrl, UrlError, address::NotAllowed};

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyKind {
    /// HTTP: CONNECT (RFC 9110, 9.3.6), and whole requests for plain http.
    Http,
    /// The same over TLS.
    Https,
    /// SOCKS version 4; it takes IPv4 addresses, so names are resolved here.
    Socks4,
    /// The same, but names are resolved by the proxy.
    Socks4a,
    /// SOCKS version 5 (RFC 1928); names are resolved by the proxy.
    Socks5,
}

impl ProxyKind {
    const ALL: [Self; 5] = [Self::Http, Self::Https, Self::Socks4, Self::Socks4a, Self::Socks5];

    /// Its scheme.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks4 => "socks4",
            Self::Socks4a => "socks4a",
            Self::Socks5 => "socks5",
        }
    }

    /// Whether it is an HTTP proxy, over TLS or not.
    #[must_use]
    pub const fn http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// Whether it takes a password beside a user name.
    #[must_use]
    pub const fn takes_password(self) -> bool {
        !matches!(self, Self::Socks4 | Self::Socks4a)
    }
}

/// Why a text is not the address of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Empty or white space.
    #[error("is required")]
    Required,
    /// Another scheme, or none.
    #[error("must begin with http://, https://, socks4://, socks4a://, socks5:// or socks5h://")]
    Scheme,
    /// `http://user:password@host:port`.
    #[error("carries a user name or password: they have fields of their own")]
    Credentials,
    /// No port, or one that no proxy listens at.
    #[error("needs a port that is allowed, as in http://proxy.example:3128")]
    Port,
    /// Anything else.
    #[error("is not the address of a proxy, as in http://proxy.example:3128")]
    Invalid,
}

impl ProxyError {
    /// The reason that a client branches on (docs/errors.md).
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Required => "REQUIRED",
            Self::Scheme => "UNSUPPORTED_SCHEME",
            Self::Credentials => "URL_CREDENTIALS",
            Self::Port => "PORT_NOT_ALLOWED",
            Self::Invalid => "INVALID_URL",
        }
    }
}

/// Where a proxy is: `http://host:port`, `socks5://host:port` and the like.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProxyServer {
    kind: ProxyKind,
    /// Scheme `http` whatever the proxy speaks: hosts are then read as those of pages are.
    url: PageUrl,
    port: u16,
}

impl ProxyServer {
    /// Reads an address. `socks5h` is the same as `socks5`.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ProxyError::Required);
        }
        let (scheme, rest) = text.split_once("://").ok_or(ProxyError::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase() {
            same if same == "socks5h" => "socks5".to_owned(),
            scheme => scheme,
        };
        let kind = ProxyKind::ALL.into_iter().find(|kind| kind.as_str() == scheme);
        let kind = kind.ok_or(ProxyError::Scheme)?;
        if rest.contains('@') {
            return Err(ProxyError::Credentials);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(ProxyError::Invalid);
        }
        let (_, port) = authority.rsplit_once(':').ok_or(ProxyError::Port)?;
        let port = port.parse().map_err(|_| ProxyError::Port)?;
        let url = PageUrl::parse(&format!("http://{authority}/")).map_err(|error| match error {
            UrlError::Port => ProxyError::Port,
            UrlError::Credentials => ProxyError::Credentials,
            _ => ProxyError::Invalid,
        })?;
        Ok(Self { kind, url, port })
    }

    /// What it speaks.
    #[must_use]
    pub const fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// Its host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host()
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Refuses a proxy whose host is already known to be forbidden; see [`AddressPolicy::check_url`].
    pub fn check(&self, policy: &AddressPolicy) -> Result<(), NotAllowed> {
        policy.check_url(self.as_url())
    }

    /// Its host and port as a URL, for the address policy.
    fn as_url(&self) -> &Url {
        self.url.as_url()
    }
}

/// Takes a proxy as people write it, `scheme://user:password@host:port`, apart: its address, and the user name and password with
/// their percent-encoding undone. Nothing is checked.
#[must_use]
pub fn split(text: &str) -> (String, Option<(String, String)>) {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let Some((user, host)) = rest.rsplit_once('@') else { return (format!("{scheme}://{rest}"), None) };
    let (username, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (format!("{scheme}://{host}"), Some((decoded(username), decoded(password))))
}

impl fmt::Display for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.kind.as_str(), self.host(), self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port() {
        for (text, expected) in [
            ("http://Proxy.Example:3128", Ok("http://proxy.example:3128")),
            (" socks5://proxy.example:1080/ ", Ok("socks5://proxy.example:1080")),
            ("SOCKS5H://proxy.example:80", Ok("socks5://proxy.example:80")),
            ("http://2130706433:3128", Ok("http://127.0.0.1:3128")),
            ("socks5://[::1]:1080", Ok("socks5://[::1]:1080")),
            ("", Err(ProxyError::Required)),
            ("proxy.example:3128", Err(ProxyError::Scheme)),
            ("https://proxy.example:443", Ok("https://proxy.example:443")),
            ("socks4://proxy.example:1080", Ok("socks4://proxy.example:1080")),
            ("Socks4A://proxy.example:1080", Ok("socks4a://proxy.example:1080")),
            ("socks6://proxy.example:1080", Err(ProxyError::Scheme)),
            ("http://user:word@proxy.example:3128", Err(ProxyError::Credentials)),
            ("http://proxy.example", Err(ProxyError::Port)),
            ("http://proxy.example:0", Err(ProxyError::Port)),
            ("http://proxy.example:25", Err(ProxyError::Port)),
            ("http://proxy.example:99999", Err(ProxyError::Port)),
            ("http://proxy.example/path:1", Err(ProxyError::Invalid)),
            ("http://proxy.example?x:1", Err(ProxyError::Invalid)),
            ("http://:3128", Err(ProxyError::Invalid)),
            ("http://a b:3128", Err(ProxyError::Invalid)),
        ] {
            let read = ProxyServer::parse(text).map(|server| server.to_string());
            assert_eq!(read.as_deref().map_err(|error| *error), expected, "{text}");
        }
    }

    #[test]
    fn who_asks_is_told_from_where() {
        let some = |username: &str, password: &str| Some((username.to_owned(), password.to_owned()));
        for (text, address, who) in [
            ("http://p.example:3128", "http://p.example:3128", None),
            ("p.example:3128", "http://p.example:3128", None),
            ("socks5://u:w@p.example:1080", "socks5://p.example:1080", some("u", "w")),
            ("http://u%40x:a%3Ab@p.example:3128", "http://p.example:3128", some("u@x", "a:b")),
            ("http://u@p.example:3128", "http://p.example:3128", some("u", "")),
        ] {
            assert_eq!(split(text), (address.to_owned(), who), "{text}");
        }
    }

    #[test]
    fn a_private_address_is_refused_unless_it_is_allowed() {
        let here = AddressPolicy::new(vec!["127.0.0.0/8".parse().expect("because it is a network")]);
        for (text, public, private) in [
            ("http://203.0.114.1:3128", true, true),
            ("http://127.0.0.1:3128", false, true),
            ("socks5://[::ffff:7f00:1]:1080", false, true),
            ("http://proxy.internal:3128", false, false),
        ] {
            let server = ProxyServer::parse(text).expect("because it is an address");
            assert_eq!(server.check(&AddressPolicy::default()).is_ok(), public, "{text}");
            assert_eq!(server.check(&here).is_ok(), private, "{text}");
        }
    }
}
