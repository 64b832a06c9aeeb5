//! Errors of the HTTP client, sorted into ours.
//!
//! The causes are looked at one by one, since the client wraps them several times; their texts are never passed on.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use crate::{FetchError, Part, Stage};

/// Sorts an error that came while waiting for `stage`.
pub(crate) fn request_error(error: &reqwest::Error, stage: Stage) -> FetchError {
    if let Some(known) = cause(error) {
        return known;
    }
    if error.is_timeout() {
        let stage = if error.is_connect() { Stage::Connect } else { stage };
        return FetchError::Timeout { stage };
    }
    if error.is_builder() { FetchError::Protocol } else { FetchError::Connect }
}

/// Sorts an error of a client that knows no timeouts of its own.
pub(crate) fn error(error: &(dyn Error + 'static)) -> FetchError {
    cause(error).unwrap_or(FetchError::Connect)
}

/// The most telling cause of an error, if there is one.
fn cause(error: &(dyn Error + 'static)) -> Option<FetchError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(known) = error.downcast_ref::<FetchError>() {
            return Some(*known);
        }
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(FetchError::Tls { why: tls_problem(error) });
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_parse()
        {
            let too_large = FetchError::TooLarge { what: Part::Headers };
            return Some(if error.is_parse_too_large() { too_large } else { FetchError::Protocol });
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            // The source of a wrapping I/O error is the source of what it wraps: that itself would be skipped.
            if let Some(known) = error.get_ref().and_then(|inner| cause(inner)) {
                return Some(known);
            }
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) {
                return Some(FetchError::Protocol);
            }
        }
        next = error.source();
    }
    None
}

/// Sorts an error of reading a body: either one of ours, passed through, or one of the decompressor.
pub(crate) fn body_error(error: &io::Error) -> FetchError {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<FetchError>())
        .copied()
        .unwrap_or(FetchError::Protocol)
}

fn tls_problem(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(problem) => match problem {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "certificate not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "certificate of another host"
            }
            CertificateError::UnknownIssuer => "certificate of an unknown issuer",
            CertificateError::Revoked => "certificate revoked",
            _ => "invalid certificate",
        },
        rustls::Error::PeerIncompatible(_) => "no common TLS version or cipher",
        rustls::Error::AlertReceived(_) => "the server refused the handshake",
        _ => "TLS failed",
    }
}
