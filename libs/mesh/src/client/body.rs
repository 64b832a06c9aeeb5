//! The body of an answer: unary ones end by the deadline, and a connection that breaks in the middle is `UNAVAILABLE`.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use domain::Service;
use http::Response;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Status, body::Body};
use tracing::Span;

use super::{too_late, unreachable};

struct Watched {
    inner: Body,
    to: Service,
    due: Option<Pin<Box<Sleep>>>,
    /// Open for as long as the answer takes.
    span: Span,
}

/// Watches the body of `response`. Without a deadline it may take for ever: a stream.
pub(super) fn watch(response: Response<Body>, to: Service, deadline: Option<Instant>) -> Response<Body> {
    // A status without a body has come in full.
    if http_body::Body::is_end_stream(response.body()) {
        return response;
    }
    let due = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
    response.map(|inner| Body::new(Watched { inner, to, due, span: Span::current() }))
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let _span = this.span.enter();
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Err(status))) => {
                tracing::debug!(peer = %this.to, code = ?status.code(), "answer broke off");
                Poll::Ready(Some(Err(unreachable(this.to))))
            }
            Poll::Pending if this.due.as_mut().is_some_and(|due| due.as_mut().poll(cx).is_ready()) => {
                Poll::Ready(Some(Err(too_late(this.to))))
            }
            ready => ready,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
