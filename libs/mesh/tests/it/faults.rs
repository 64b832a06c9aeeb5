//! What goes wrong costs the one call, is said in words that a program can branch on, and stops nothing else.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use mesh::{Ca, client::Channel, error_reason};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt;
use tower::Service;

use crate::{Handler, answer, gateway, start, start_with, text, within};

const METHOD: &str = "/crawlmesh.crawler.v1.CrawlerService/ListWorkers";

/// A gRPC frame that claims to hold `length` bytes.
pub(crate) fn frame(length: u32, content: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(length);
    frame.put_slice(content);
    frame.freeze()
}

/// Calls with any path and any bytes, as generated clients do not. The status that came, or why none did.
pub(crate) async fn try_raw(mut channel: Channel, path: &str, body: Bytes) -> Result<Status, Status> {
    let request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(body)))
        .unwrap();
    let response = channel.call(request).await?;
    if let Some(status) = Status::from_header_map(response.headers()) {
        return Ok(status);
    }
    let body = response.into_body().collect().await?;
    Ok(Status::from_header_map(body.trailers().unwrap()).unwrap())
}

pub(crate) async fn raw(channel: Channel, path: &str, body: Bytes) -> Status {
    try_raw(channel, path, body).await.unwrap()
}

#[tokio::test]
async fn a_panic_is_internal_and_the_server_goes_on() {
    let ca = Ca::generate().unwrap();
    let handler = Handler::new(|request| async move {
        assert!(!request.metadata().contains_key("x-panic"), "on purpose");
        answer("hello")
    });
    let member = start(&ca, handler).await;
    let mut client = member.client(&gateway(&ca));
    let mut request = within(5_000);
    request.metadata_mut().insert("x-panic", "yes".parse().unwrap());
    let status = client.list_workers(request).await.unwrap_err();
    assert_eq!((status.code(), error_reason(&status).as_deref()), (Code::Internal, Some("PANIC")));
    assert!(!status.message().contains("purpose"), "what panicked stays inside");
    assert_eq!(text(client.list_workers(within(5_000)).await.unwrap()), "hello", "on the same connection");
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_the_callers_fault() {
    let ca = Ca::generate().unwrap();
    let member = start(&ca, Handler::saying("hello")).await;
    let channel = member.channel(&gateway(&ca));
    let huge = 5 << 20;
    for (what, body, code, reason) in [
        ("no message", Bytes::new(), Code::InvalidArgument, "MALFORMED_MESSAGE"),
        ("half a frame", frame(10, b"abc"), Code::InvalidArgument, "MALFORMED_MESSAGE"),
        ("no protobuf", frame(3, &[0xff; 3]), Code::InvalidArgument, "MALFORMED_MESSAGE"),
        ("compressed", Bytes::from_static(&[1, 0, 0, 0, 0]), Code::InvalidArgument, "MALFORMED_MESSAGE"),
        ("too large", frame(huge, &[0; 100]), Code::ResourceExhausted, "BODY_TOO_LARGE"),
    ] {
        let status = raw(channel.clone(), METHOD, body).await;
        assert_eq!(
            (status.code(), error_reason(&status).as_deref()),
            (code, Some(reason)),
            "{what}: {status:?}"
        );
        assert!(status.get_details_request_info().is_some(), "{what}");
    }
    assert_eq!(raw(channel, METHOD, frame(0, &[])).await.code(), Code::Ok);
}

#[tokio::test]
async fn methods_that_do_not_exist_are_refused() {
    let ca = Ca::generate().unwrap();
    let member = start_with(&ca, Handler::saying("hello"), "reflection = false").await;
    let channel = member.channel(&gateway(&ca));
    for (path, code, reason) in [
        ("/crawlmesh.crawler.v1.CrawlerService/Nothing", Code::PermissionDenied, "SERVICE_NOT_ALLOWED"),
        ("/nothing.v1.Nothing/Nothing", Code::PermissionDenied, "SERVICE_NOT_ALLOWED"),
        // Of the protocol, but of another service.
        ("/crawlmesh.job.v1.JobService/GetJob", Code::Unimplemented, "METHOD_NOT_FOUND"),
        (
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            Code::Unimplemented,
            "METHOD_NOT_FOUND",
        ),
    ] {
        let status = raw(channel.clone(), path, frame(0, &[])).await;
        assert_eq!((status.code(), error_reason(&status).as_deref()), (code, Some(reason)), "{path}");
    }
}

#[tokio::test]
async fn an_error_of_a_handler_leaves_with_a_reason_and_the_request_id() {
    let ca = Ca::generate().unwrap();
    let handler = Handler::new(|request| async move {
        match request.metadata().get("x-case").and_then(|case| case.to_str().ok()) {
            Some("bare") => Err(Status::not_found("nothing here")),
            Some("own") => {
                Err(mesh::refuse_with(Code::NotFound, "JOB_NOT_FOUND", "job x does not exist", &[]))
            }
            _ => Err(mesh::fail(Code::Unavailable, "STORE_UNREACHABLE", &std::io::Error::other("secret"))),
        }
    });
    let member = start(&ca, handler).await;
    let mut client = member.client(&gateway(&ca));
    for (case, code, reason) in [
        ("bare", Code::NotFound, "UNSPECIFIED"),
        ("own", Code::NotFound, "JOB_NOT_FOUND"),
        ("failed", Code::Unavailable, "STORE_UNREACHABLE"),
    ] {
        let mut request = within(5_000);
        request.metadata_mut().insert("x-case", case.parse().unwrap());
        request.metadata_mut().insert("x-request-id", "r-42".parse().unwrap());
        let status = client.list_workers(request).await.unwrap_err();
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (code, reason));
        assert_eq!(info.domain, "crawler.crawlmesh");
        assert_eq!(status.get_details_request_info().unwrap().request_id, "r-42");
        assert_eq!(status.get_details_retry_info().is_some(), code == Code::Unavailable);
        assert!(!status.message().contains("secret"));
    }
}

#[tokio::test]
async fn overload_is_refused_and_passes() {
    let ca = Ca::generate().unwrap();
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let handler = {
        let (gate, begun) = (gate.clone(), begun.clone());
        Handler::new(move |_| {
            let (gate, begun) = (gate.clone(), begun.clone());
            async move {
                begun.add_permits(1);
                gate.acquire().await.unwrap().forget();
                answer("hello")
            }
        })
    };
    let member = start_with(&ca, handler, "max_concurrent_calls = 2").await;
    let client = member.client(&gateway(&ca));
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let mut client = client.clone();
            mesh::spawn("call", async move { client.list_workers(within(20_000)).await })
        })
        .collect();
    begun.acquire_many(2).await.unwrap().forget();
    let status = client.clone().list_workers(within(20_000)).await.unwrap_err();
    assert_eq!((status.code(), error_reason(&status).as_deref()), (Code::Unavailable, Some("OVERLOADED")));
    assert!(status.get_details_retry_info().is_some());
    gate.add_permits(100);
    for call in calls {
        assert_eq!(text(call.await.unwrap().unwrap()), "hello");
    }
    assert_eq!(text(client.clone().list_workers(within(5_000)).await.unwrap()), "hello");
}

#[tokio::test]
async fn noise_on_the_port_does_not_stop_the_server() {
    let ca = Ca::generate().unwrap();
    let member = start(&ca, Handler::saying("hello")).await;
    let mut silent = Vec::new();
    for noise in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0x16, 3, 1, 0xff, 0xff, 0], &[0xff; 4096]] {
        let mut socket = TcpStream::connect(member.addr).await.unwrap();
        // The server may have closed it already.
        let _ = socket.write_all(noise).await;
        silent.push(socket);
    }
    assert_eq!(text(member.client(&gateway(&ca)).list_workers(within(5_000)).await.unwrap()), "hello");
}
