//! Bodies: those that we send, and those that we read, with a limit on size and time.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tonic::Code;

use crate::problem::Problem;

/// How long a body that is refused is read on.
const DRAIN: Duration = Duration::from_secs(2);

/// The body of every answer.
pub(crate) type Body = axum::body::Body;

/// An answer with a content type.
pub(crate) fn response(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// An answer in JSON.
pub(crate) fn json(value: &serde_json::Value) -> Response<Body> {
    response("application/json", value.to_string())
}

/// How much is read of a request, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Bytes.
    pub(crate) bytes: usize,
    /// From the head of the request to the end of its body.
    pub(crate) time: Duration,
}

impl BodyLimits {
    /// Reads a body. Too large: 413 `BODY_TOO_LARGE`; too slow: 408 `BODY_TIMEOUT`.
    pub(crate) async fn read<B>(self, headers: &HeaderMap, body: B) -> Result<Bytes, Problem>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > self.bytes as u64) {
            self.drain(body).await;
            return Err(self.too_large());
        }
        let reading = tokio::time::timeout(self.time, Limited::new(body, self.bytes).collect());
        match reading.await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(self.too_large()),
            Ok(Err(_)) => Err(Problem::http(
                StatusCode::BAD_REQUEST,
                Code::InvalidArgument,
                "BODY_INCOMPLETE",
                "the body ended before its end",
            )),
            Err(_) => Err(Problem::http(
                StatusCode::REQUEST_TIMEOUT,
                Code::DeadlineExceeded,
                "BODY_TIMEOUT",
                format!("the body did not arrive within {:?}", self.time),
            )),
        }
    }

    /// Reads on for a while before a refusal: a connection that is closed with unread bytes may take the answer with it (RFC
    /// 9112, section 9.6).
    async fn drain<B>(self, body: B)
    where
        B: http_body::Body<Data = Bytes>,
    {
        let mut body = std::pin::pin!(body);
        let mut left = self.bytes.saturating_mul(2);
        let reading = async {
            while let Some(Ok(frame)) = body.frame().await {
                let size = frame.data_ref().map_or(0, Bytes::len);
                if size > left {
                    break;
                }
                left -= size;
            }
        };
        // Whoever sends more, or slowly, is cut off.
        let _ = tokio::time::timeout(self.time.min(DRAIN), reading).await;
    }

    fn too_large(self) -> Problem {
        let message = format!("the body is larger than {} bytes", self.bytes);
        Problem::http(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, "BODY_TOO_LARGE", message)
    }
}

/// Refuses a body that is not JSON, or that is compressed: 415 `UNSUPPORTED_MEDIA_TYPE`. A request without a body needs
/// no content type.
pub(crate) fn require_json(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    if body.is_empty() {
        return Ok(());
    }
    require_plain(headers)?;
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = media.split(';').map(str::trim);
    let json = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.filter_map(|part| part.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset")
            || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if json && utf8 { Ok(()) } else { Err(unsupported("the body must be application/json in UTF-8")) }
}

/// Refuses a body that is compressed: 415 `UNSUPPORTED_MEDIA_TYPE`.
pub(crate) fn require_plain(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err(unsupported("the body must not be compressed"));
    }
    Ok(())
}

/// The content type of a request, without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next().map(str::trim)
}

fn unsupported(message: &str) -> Problem {
    Problem::http(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidArgument,
        "UNSUPPORTED_MEDIA_TYPE",
        message,
    )
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[test]
    fn only_json_is_read() {
        for (content_type, body, good) in [
            (Some("application/json"), "{}", true),
            (Some("Application/JSON; charset=UTF-8"), "{}", true),
            (Some("application/json; charset=latin1"), "{}", false),
            (Some("text/plain"), "{}", false),
            (Some("text/plain"), "", true),
            (Some("application/json-patch+json"), "{}", false),
            (None, "{}", false),
            (None, "", true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = content_type {
                headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            }
            assert_eq!(require_json(&headers, body.as_bytes()).is_ok(), good, "{content_type:?} {body:?}");
            headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
            let compressed = require_json(&headers, b"{}").unwrap_err();
            assert_eq!(compressed.http_status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
    }

    #[tokio::test]
    async fn a_body_has_a_limit_whether_announced_or_not() {
        let limits = BodyLimits { bytes: 4, time: Duration::from_secs(5) };
        let read = |headers: HeaderMap, body: &'static str| async move {
            limits.read(&headers, Full::new(Bytes::from_static(body.as_bytes()))).await
        };
        assert_eq!(read(HeaderMap::new(), "1234").await.unwrap(), "1234");
        let problem = read(HeaderMap::new(), "12345").await.unwrap_err();
        assert_eq!(problem.http_status(), StatusCode::PAYLOAD_TOO_LARGE);
        let mut lying = HeaderMap::new();
        lying.insert(header::CONTENT_LENGTH, "99999999999".parse().unwrap());
        assert_eq!(read(lying, "1").await.unwrap_err().http_status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_slow_body_is_given_up() {
        let limits = BodyLimits { bytes: 4, time: Duration::from_millis(10) };
        let never = http_body_util::StreamBody::new(futures::stream::pending::<
            Result<http_body::Frame<Bytes>, std::io::Error>,
        >());
        let problem = limits.read(&HeaderMap::new(), never).await.unwrap_err();
        assert_eq!(problem.http_status(), StatusCode::REQUEST_TIMEOUT);
    }
}
