//! Answers that take long: only their beginning is bound to the deadline, and an error at their end has a reason too.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use mesh::{Ca, error_reason};
use tonic::{Code, Status, body::Body, server::NamedService};
use tonic_types::StatusExt;

use crate::{
    faults::{frame, raw, try_raw},
    gateway, start_service,
};

/// Begins at once, sends a message after 300 ms and ends with an error that it makes while it is read.
#[derive(Clone)]
struct Slow;

impl NamedService for Slow {
    const NAME: &'static str = "crawlmesh.result.v1.ResultService";
}

impl tower::Service<Request<Body>> for Slow {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let frames = stream::unfold(0, |step| async move {
            let frame: Frame<Bytes> = match step {
                0 => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Frame::data(frame(0, &[]))
                }
                1 => {
                    let mut trailers = HeaderMap::new();
                    let status = mesh::refuse_with(Code::Aborted, "CUT", "cut", &[]);
                    status.add_header(&mut trailers).unwrap();
                    Frame::trailers(trailers)
                }
                _ => return None,
            };
            Some((Ok::<_, Status>(frame), step + 1))
        });
        let response = Response::builder().header("content-type", "application/grpc");
        ready(Ok(response.body(Body::new(StreamBody::new(Box::pin(frames)))).unwrap()))
    }
}

#[tokio::test]
async fn a_stream_outlives_the_deadline_of_its_beginning() {
    let ca = Ca::generate().unwrap();
    let member = start_service(&ca, Slow, "default_deadline = \"100ms\"\nmax_deadline = \"100ms\"").await;
    let path = "/crawlmesh.result.v1.ResultService/GetArtifact";
    let status = raw(member.channel(&gateway(&ca)), path, frame(0, &[])).await;
    assert_eq!((status.code(), error_reason(&status).as_deref()), (Code::Aborted, Some("CUT")));
    assert_eq!(
        status.get_details_error_info().unwrap().domain,
        "crawler.crawlmesh",
        "made inside of the call"
    );
    assert!(status.get_details_request_info().is_some());
}

#[tokio::test]
async fn the_body_of_a_single_answer_does_not() {
    let ca = Ca::generate().unwrap();
    let member = start_service(&ca, Slow, "default_deadline = \"100ms\"\nmax_deadline = \"100ms\"").await;
    let path = "/crawlmesh.result.v1.ResultService/GetDocument";
    let status = try_raw(member.channel(&gateway(&ca)), path, frame(0, &[])).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable), "{status:?}");
}
