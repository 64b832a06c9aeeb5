//! How a fetch fails, and what that means for the ledger.
//!
//! An HTTP status is never an error here: a 404 is an answer. No text of this module holds an IP address, a URL or
//! anything else that came from the network.

use std::fmt;
use std::path::PathBuf;

use domain::Verdict;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchError {
    /// The address policy forbids the target, or a port of it.
    NotAllowed,
    /// A header of the request is one that only the client may set, or is malformed. See [`crate::header_allowed`].
    BadHeader,
    /// The name did not resolve.
    Dns {
        /// The name server failed or was silent; it did not say that the name does not exist.
        transient: bool,
    },
    /// No connection, or it broke.
    Connect,
    /// The TLS handshake or the certificate is bad.
    Tls {
        /// What is wrong, e.g. "certificate expired".
        why: &'static str,
    },
    /// Out of time.
    Timeout {
        /// What was being waited for.
        stage: Stage,
    },
    /// A limit on size was reached.
    TooLarge {
        /// What was too large.
        what: Part,
    },
    /// More redirects than are followed.
    TooManyRedirects,
    /// A redirect to something that is not the URL of a page.
    BadRedirect,
    /// Not HTTP as it should be: a malformed head, invalid chunking, a body that cannot be decompressed.
    Protocol,
    /// The proxy that the caller brought did not do its part. See [`crate::Relay`].
    Relay(RelayFault),
}

/// What is wrong with a proxy that the caller brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayFault {
    /// The address policy forbids it.
    NotAllowed,
    /// Its name does not exist.
    Unknown,
    /// No connection to it.
    Unreachable,
    /// It did not answer in time.
    Silent,
    /// It wants credentials, or others: HTTP 407, or what SOCKS5 has for it.
    Credentials,
    /// It has too much to do: HTTP 429.
    Busy,
    /// It does not want to connect to the target.
    Refused,
    /// It cannot connect to the target.
    NoTarget,
    /// Its certificate is not valid, or it speaks no TLS.
    Tls,
    /// It speaks something else, or hung up.
    Broken,
}

/// What a fetch was waiting for when its time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Name, TCP and TLS.
    Connect,
    /// The status line and the headers.
    Head,
    /// The body.
    Body,
}

/// What was too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All headers together.
    Headers,
    /// The body on the wire.
    Body,
    /// The body after decompression.
    Decompressed,
    /// The decompressed body in proportion to the compressed one.
    Ratio,
}

/// Why the client or the guard cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file of `extra_roots` cannot be read, or holds no certificate.
    #[error("read the root certificates of {0}")]
    Roots(PathBuf),
    /// The TLS library refuses its settings.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// The resolver configuration of the system cannot be used.
    #[error("set up name resolution")]
    Resolver(#[from] hickory_resolver::net::NetError),
    /// The HTTP client refuses its settings.
    #[error("set up the HTTP client")]
    Client(#[from] reqwest::Error),
}

impl FetchError {
    /// The verdict of a page that failed so.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::NotAllowed | Self::BadHeader | Self::Relay(RelayFault::NotAllowed) => Verdict::NotAllowed,
            Self::Dns { .. } => Verdict::Dns,
            Self::Connect | Self::Protocol | Self::Relay(_) => Verdict::Connect,
            Self::Tls { .. } => Verdict::Tls,
            Self::Timeout { .. } => Verdict::Timeout,
            Self::TooLarge { .. } => Verdict::TooLarge,
            Self::TooManyRedirects | Self::BadRedirect => Verdict::HttpError,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn retryable(self) -> bool {
        match self {
            Self::Dns { transient } => transient,
            Self::Connect | Self::Timeout { .. } => true,
            Self::Relay(fault) => fault.retryable(),
            Self::NotAllowed
            | Self::BadHeader
            | Self::Tls { .. }
            | Self::TooLarge { .. }
            | Self::TooManyRedirects
            | Self::BadRedirect
            | Self::Protocol => false,
        }
    }

    /// A few words for the ledger, from a closed set.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::NotAllowed => "target not allowed",
            Self::BadHeader => "request header not allowed",
            Self::Dns { transient: true } => "name resolution failed",
            Self::Dns { transient: false } => "name does not exist",
            Self::Connect => "no connection, or it broke",
            Self::Tls { why } => why,
            Self::Timeout { stage } => stage.as_str(),
            Self::TooLarge { what } => what.as_str(),
            Self::TooManyRedirects => "too many redirects",
            Self::BadRedirect => "redirect to an invalid URL",
            Self::Protocol => "malformed response",
            Self::Relay(fault) => fault.as_str(),
        }
    }
}

impl RelayFault {
    const fn retryable(self) -> bool {
        match self {
            Self::Unreachable | Self::Silent | Self::Busy | Self::NoTarget | Self::Broken => true,
            Self::NotAllowed | Self::Unknown | Self::Credentials | Self::Tls | Self::Refused => false,
        }
    }

    /// The words of the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowed => "proxy: its address is not allowed",
            Self::Unknown => "proxy: its name does not exist",
            Self::Unreachable => "proxy: no connection to it",
            Self::Silent => "proxy: it does not answer in time",
            Self::Credentials => "proxy: it wants other credentials",
            Self::Tls => "proxy: its certificate is not valid, or it speaks no TLS",
            Self::Busy => "proxy: it has too much to do",
            Self::Refused => "proxy: it refuses the target",
            Self::NoTarget => "proxy: it cannot reach the target",
            Self::Broken => "proxy: it hung up, or is no proxy of this kind",
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { stage } => write!(f, "timeout: {}", stage.as_str()),
            Self::TooLarge { what } => write!(f, "too large: {}", what.as_str()),
            Self::Tls { why } => write!(f, "tls: {why}"),
            other => f.write_str(other.detail()),
        }
    }
}

impl std::error::Error for FetchError {}

impl Stage {
    /// The word of the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Head => "head",
            Self::Body => "body",
        }
    }
}

impl Part {
    /// The words of the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::Body => "body",
            Self::Decompressed => "decompressed body",
            Self::Ratio => "compression ratio",
        }
    }
}
