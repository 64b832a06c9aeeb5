//! HTTP/2 over TLS: the same promises as for HTTP/1.1.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use egress::{Client, FetchError, Part};
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::site::{get, url};
use crate::tls::{Authority, client, server_config};

/// Answers `/N` with a header of N bytes, over HTTP/2 only; returns a client that trusts it, and its port.
pub(crate) async fn start() -> (Client, u16) {
    let authority = Authority::new("ours");
    let (certificate, key) = authority.issue("site.test", 2120);
    let mut config = server_config(certificate, key);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("because loopback has free ports");
    let port = listener.local_addr().expect("because it listens").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let server = http2::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
                }
            });
        }
    });
    let client = client(&format!("[{:?}]", authority.file.path())).expect("because the root can be read");
    (client, port)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.version(), Version::HTTP_2);
    let bytes = request.uri().path()[1..].parse().expect("because the test says so");
    let response = Response::builder().header("x-long", "x".repeat(bytes)).body(Full::from("over http/2"));
    Ok(response.expect("because the header is valid"))
}

#[tokio::test]
async fn a_page_is_fetched_and_its_connection_used_again() {
    let (client, port) = start().await;
    for connects in [true, false] {
        let fetched =
            get(&client, url(&format!("https://site.test:{port}/9"))).await.expect("because it is valid");
        assert_eq!((fetched.body, fetched.wire_bytes), (Bytes::from_static(b"over http/2"), 11));
        assert_eq!(fetched.timings.connect.is_some(), connects);
    }
}

#[tokio::test]
async fn headers_are_bounded() {
    let (client, port) = start().await;
    for (bytes, expected) in [
        (60_000, None),
        (70_000, Some(FetchError::TooLarge { what: Part::Headers })),
        // Past the room that the connection has for them, the stream breaks.
        (1 << 20, Some(FetchError::Connect)),
    ] {
        let found = get(&client, url(&format!("https://site.test:{port}/{bytes}"))).await;
        assert_eq!(found.err(), expected, "{bytes}");
    }
}
