//! The way out: every error gets a reason and the id of its request, wherever it was made, and the end of every call is
//! noted once, even if nobody waits for it any more.

use std::{
    future::Future,
    pin::Pin,
    task::{self, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt};
use tracing::Span;

use super::pipeline::finished;
use crate::{context::Context, error::refuse_with};

/// What is known about a call until its end.
pub(super) struct Observation {
    pub(super) service: &'static str,
    pub(super) method: &'static str,
    pub(super) arrival: Instant,
    pub(super) span: Span,
    /// For what a stream does while it is read.
    pub(super) context: Context,
}

impl Observation {
    /// Tidies up the status of `response`, now or when its body ends. With a deadline, the body ends by then.
    pub(super) fn observe(self, response: Response<Body>, deadline: Option<Instant>) -> Response<Body> {
        let (mut head, body) = response.into_parts();
        if body.is_end_stream() {
            let code = tidy(&mut head.headers).unwrap_or(Code::Ok);
            finished(&self, code);
            return Response::from_parts(head, body);
        }
        let due = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        let body = Observed { inner: body, due, observation: Some(self) };
        Response::from_parts(head, Body::new(body))
    }
}

struct Observed {
    inner: Body,
    due: Option<Pin<Box<Sleep>>>,
    /// Taken at the end.
    observation: Option<Observation>,
}

impl Observed {
    fn finish(&mut self, code: Code) {
        if let Some(observation) = self.observation.take() {
            finished(&observation, code);
        }
    }
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(Observation { span, context, .. }) = &this.observation else { return Poll::Ready(None) };
        let (span, inner) = (span.clone(), &mut this.inner);
        let polled = context.enter(|| {
            let _span = span.enter();
            match Pin::new(inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(tidy_frame(frame)))),
                other => other.map(|frame| frame.map(|result| result.map(|frame| (frame, None)))),
            }
        });
        match polled {
            Poll::Ready(Some(Ok((frame, code)))) => {
                if let Some(code) = code {
                    this.finish(code);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(status))) => {
                this.finish(status.code());
                Poll::Ready(Some(Err(status)))
            }
            Poll::Ready(None) => {
                this.finish(Code::Unknown);
                Poll::Ready(None)
            }
            // The stream is reset, which is all that can be told once an answer has begun.
            Poll::Pending if this.due.as_mut().is_some_and(|due| due.as_mut().poll(cx).is_ready()) => {
                this.finish(Code::DeadlineExceeded);
                Poll::Ready(Some(Err(Status::cancelled("the call was not answered in time"))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.observation.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        // Trailers not sent: the client went away.
        self.finish(Code::Cancelled);
    }
}

fn tidy_frame(frame: Frame<Bytes>) -> (Frame<Bytes>, Option<Code>) {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            let code = tidy(&mut trailers);
            (Frame::trailers(trailers), Some(code.unwrap_or(Code::Ok)))
        }
        Err(frame) => (frame, None),
    }
}

/// Tidies up the status in `headers`, if there is one, and returns its code.
fn tidy(headers: &mut HeaderMap) -> Option<Code> {
    let status = Status::from_header_map(headers)?;
    if status.code() == Code::Ok {
        return Some(Code::Ok);
    }
    let status = complete(translate(status));
    for name in [Status::GRPC_STATUS, Status::GRPC_MESSAGE, Status::GRPC_STATUS_DETAILS] {
        headers.remove(name);
    }
    // The metadata of the status are the headers themselves.
    let own = Status::with_details(status.code(), status.message(), status.details().to_vec().into());
    if own.add_header(headers).is_err() {
        headers.insert(Status::GRPC_STATUS, http::HeaderValue::from(status.code() as u16));
    }
    Some(status.code())
}

/// Statuses that tonic makes itself say what happened, but not in our words.
fn translate(status: Status) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    let message = status.message();
    let starts = |text: &str| message.starts_with(text);
    match status.code() {
        Code::Internal if MALFORMED.iter().any(|text| starts(text)) => refuse_with(
            Code::InvalidArgument,
            "MALFORMED_MESSAGE",
            "the request is not a message of its type",
            &[],
        ),
        Code::OutOfRange | Code::ResourceExhausted
            if message.contains("decoded message length too large") =>
        {
            refuse_with(
                Code::ResourceExhausted,
                "BODY_TOO_LARGE",
                "the request is larger than the service takes",
                &[],
            )
        }
        Code::OutOfRange if message.contains("encoded message length too large") => {
            tracing::error!(reason = "ANSWER_TOO_LARGE", "call failed");
            refuse_with(
                Code::Internal,
                "ANSWER_TOO_LARGE",
                "the answer is larger than the service sends",
                &[],
            )
        }
        Code::Cancelled if starts("Timeout expired") => {
            refuse_with(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "the call was not answered in time", &[])
        }
        Code::Unimplemented => {
            refuse_with(Code::Unimplemented, "METHOD_NOT_FOUND", "the service has no such method", &[])
        }
        _ => status,
    }
}

/// How tonic and prost begin what they say about requests that they cannot read.
const MALFORMED: &[&str] = &[
    "failed to decode Protobuf message",
    "Missing request message",
    "Unexpected EOF decoding stream",
    "protocol error: received message",
    "Error decompressing",
];

/// Adds what every error has.
fn complete(status: Status) -> Status {
    let mut details = status.get_error_details();
    let before = (details.error_info().is_some(), details.request_info().is_some());
    if !before.0 {
        let info = refuse_with(status.code(), "UNSPECIFIED", "", &[]);
        if let Some(info) = info.get_details_error_info() {
            details.set_error_info(info.reason, info.domain, info.metadata);
        }
    }
    if !before.1
        && let Some(context) = crate::context::current()
    {
        details.set_request_info(context.request_id, "");
    }
    if before == (true, true) {
        return status;
    }
    with(status, details)
}

fn with(status: Status, details: ErrorDetails) -> Status {
    Status::with_error_details(status.code(), status.message(), details)
}
