//! Chromium's network errors in the words of libs/egress. Pure.

use domain::Verdict;
use egress::{FetchError, Part, Stage};

use crate::fetch::Failure;

/// What `net::ERR_…` of the main request means. `proxy` is what the filter proxy knows about the same host: Chromium only
/// says that its tunnel failed.
pub(super) fn failure(error: &str, proxy: Option<FetchError>) -> Failure {
    let name = error.strip_prefix("net::").unwrap_or(error);
    let through_proxy = ["ERR_TUNNEL_CONNECTION_FAILED", "ERR_PROXY_CONNECTION_FAILED", "ERR_EMPTY_RESPONSE"];
    if let (true, Some(error)) = (through_proxy.contains(&name), proxy) {
        return Failure::Fetch(error);
    }
    let tls = |why| Failure::Fetch(FetchError::Tls { why });
    match name {
        "ERR_CERT_DATE_INVALID" => tls("certificate expired or not yet valid"),
        "ERR_CERT_AUTHORITY_INVALID" => tls("certificate of an unknown authority"),
        "ERR_CERT_COMMON_NAME_INVALID" => tls("certificate of another host"),
        _ if name.starts_with("ERR_CERT_") => tls("bad certificate"),
        _ if name.starts_with("ERR_SSL_") || name.starts_with("ERR_BAD_SSL_") => tls("TLS handshake failed"),
        "ERR_TIMED_OUT" | "ERR_CONNECTION_TIMED_OUT" => {
            Failure::Fetch(FetchError::Timeout { stage: Stage::Connect })
        }
        "ERR_TOO_MANY_REDIRECTS" => Failure::Fetch(FetchError::TooManyRedirects),
        "ERR_UNSAFE_REDIRECT" | "ERR_INVALID_REDIRECT" => Failure::Fetch(FetchError::BadRedirect),
        "ERR_UNSAFE_PORT"
        | "ERR_UNKNOWN_URL_SCHEME"
        | "ERR_DISALLOWED_URL_SCHEME"
        | "ERR_BLOCKED_BY_ADMINISTRATOR" => Failure::Fetch(FetchError::NotAllowed),
        "ERR_RESPONSE_HEADERS_TOO_BIG" => Failure::Fetch(FetchError::TooLarge { what: Part::Headers }),
        "ERR_CONTENT_DECODING_FAILED" | "ERR_INVALID_HTTP_RESPONSE" | "ERR_INVALID_CHUNKED_ENCODING" => {
            Failure::Fetch(FetchError::Protocol)
        }
        "ERR_ABORTED" => Failure::Page(Verdict::UnsupportedType, "a download"),
        _ => Failure::Fetch(FetchError::Connect),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_verdicts() {
        for (error, proxy, verdict) in [
            ("net::ERR_TUNNEL_CONNECTION_FAILED", Some(FetchError::NotAllowed), Verdict::NotAllowed),
            ("net::ERR_TUNNEL_CONNECTION_FAILED", Some(FetchError::Dns { transient: false }), Verdict::Dns),
            ("net::ERR_TUNNEL_CONNECTION_FAILED", None, Verdict::Connect),
            ("net::ERR_CERT_DATE_INVALID", None, Verdict::Tls),
            ("net::ERR_CERT_REVOKED", None, Verdict::Tls),
            ("net::ERR_SSL_PROTOCOL_ERROR", Some(FetchError::Connect), Verdict::Tls),
            ("net::ERR_TIMED_OUT", None, Verdict::Timeout),
            ("net::ERR_TOO_MANY_REDIRECTS", None, Verdict::HttpError),
            ("net::ERR_UNSAFE_PORT", None, Verdict::NotAllowed),
            ("net::ERR_ABORTED", None, Verdict::UnsupportedType),
            ("net::ERR_CONNECTION_RESET", None, Verdict::Connect),
        ] {
            assert_eq!(failure(error, proxy).judgement().verdict, Some(verdict), "{error}");
        }
    }
}
