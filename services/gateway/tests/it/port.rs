//! The public port against clients that do not play by the rules.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::stage::{Stage, send};

/// Sends bytes and reads until the server closes the connection.
async fn raw(stage: &Stage, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(stage.address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is reset is closed too.
    let reading = timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await;
    let _ = reading.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")).map(|line| &line[..3]).collect()
}

#[tokio::test]
async fn no_request_is_smuggled() {
    let stage = Stage::start().await;
    let hidden = "GET /live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for (name, head) in [
        ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n"),
        ("a length that is none", "content-length: +5\r\n"),
        ("a list of lengths", "content-length: 5, 6\r\n"),
        ("chunked not last", "transfer-encoding: chunked, identity\r\n"),
        ("an unknown encoding", "transfer-encoding: xchunked\r\n"),
        ("a folded header", "x-a: b\r\n c\r\n"),
        ("a blank before the colon", "x-a : b\r\n"),
        ("a bare carriage return", "x-a: b\rc\r\n"),
    ] {
        let bytes = format!("POST /v1/crawl-jobs HTTP/1.1\r\nhost: x\r\n{head}\r\n0\r\n\r\n{hidden}");
        let answer = raw(&stage, bytes.as_bytes()).await;
        assert_eq!(statuses(&answer), ["400"], "{name}: {answer}");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_count() {
    let stage = Stage::start().await;
    for order in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ] {
        let bytes = format!(
            "POST /token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{order}connection: close\r\n\r\n\
             2\r\n{{}}\r\n0\r\n\r\n"
        );
        let answer = raw(&stage, bytes.as_bytes()).await;
        // Either it is refused at once, or the chunks alone are the body: `{}` lacks the key.
        assert_eq!(statuses(&answer), ["400"], "{answer}");
    }
}

#[tokio::test]
async fn an_odd_path_reaches_no_route() {
    let stage = Stage::start().await;
    for (path, status) in [
        ("//live", "404"),
        ("/v1/../live", "404"),
        ("/./live", "404"),
        ("/live/", "404"),
        ("/live;x", "404"),
        ("/%6cive", "404"),
        ("/LIVE", "404"),
        ("/v1/jobs/..", "400"),
        ("/v1/jobs/%2e%2e", "400"),
        ("/v1/jobs/a%2fpages", "400"),
        ("/v1/jobs/a%00", "400"),
        ("/v1/jobs/a;b", "404"),
        ("/v1/jobs/a\\b", "400"),
        ("/v1/%2e%2e/live", "404"),
        ("http://evil.example/live", "200"),
        ("/live", "200"),
        ("/live?x=/../y", "200"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = raw(&stage, request.as_bytes()).await;
        assert_eq!(statuses(&answer), [status], "{path}: {answer}");
    }
}

#[tokio::test]
async fn heads_have_limits() {
    let stage = Stage::start().await;
    let large = format!("GET /live HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n", "a".repeat(20_000));
    assert_eq!(statuses(&raw(&stage, large.as_bytes()).await), ["431"]);
    let many = format!("GET /live HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-a: b\r\n".repeat(200));
    assert_eq!(statuses(&raw(&stage, many.as_bytes()).await), ["431"]);
    assert_eq!(statuses(&raw(&stage, b"nonsense\r\n\r\n").await), ["400"]);
}

#[tokio::test]
async fn slow_clients_are_given_up() {
    let stage = Stage::with("[public]\nheader_timeout = \"100ms\"\nbody_timeout = \"100ms\"").await;
    for start in ["", "P", "GET /live HTTP/1.1\r\nhost"] {
        assert!(!raw(&stage, start.as_bytes()).await.contains(" 200 "), "{start:?}");
    }
    let head =
        "POST /token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{";
    let answer = raw(&stage, head.as_bytes()).await;
    assert_eq!(statuses(&answer), ["408"], "{answer}");
    assert!(answer.contains("BODY_TIMEOUT"));
}

#[tokio::test]
async fn bodies_have_a_limit_whatever_they_announce() {
    let stage = Stage::with("[public]\nmax_body = \"1KiB\"").await;
    let body = format!("{{\"urls\":[\"{}\"]}}", "x".repeat(2_000));
    let announced = stage.post("/v1/crawl-jobs", &body).await;
    assert_eq!((announced.status, announced.reason()), (413, "BODY_TOO_LARGE"));
    let chunks = reqwest::Body::wrap(http_body_util::StreamBody::new(futures::stream::iter(
        body.into_bytes()
            .chunks(100)
            .map(|chunk| {
                Ok::<_, std::io::Error>(http_body::Frame::data(bytes::Bytes::copy_from_slice(chunk)))
            })
            .collect::<Vec<_>>(),
    )));
    let request =
        stage.request("POST", "/v1/crawl-jobs").header("content-type", "application/json").body(chunks);
    let streamed = send(request).await;
    assert_eq!((streamed.status, streamed.reason()), (413, "BODY_TOO_LARGE"));
}

#[tokio::test]
async fn work_has_a_limit_and_probes_have_none() {
    let stage = Stage::with("[public]\nmax_concurrent_requests = 1\ndefault_deadline = \"3s\"").await;
    let slow = stage.request("GET", "/v1/jobs/slow").send();
    let second = async {
        let deadline = std::time::Instant::now() + Duration::from_secs(2);
        loop {
            let answer = stage.get("/v1/jobs").await;
            if answer.status == 503 {
                assert_eq!((answer.reason(), answer.header("retry-after")), ("OVERLOADED", "1"));
                assert_eq!(send(stage.bare("GET", "/live")).await.status, 200);
                return;
            }
            assert!(std::time::Instant::now() < deadline, "never overloaded: {}", answer.text);
        }
    };
    let (slow, ()) = tokio::join!(slow, second);
    assert_eq!(slow.unwrap().status(), 504);
    assert_eq!(stage.get("/v1/jobs").await.status, 200, "the slot is free again");
}

#[tokio::test]
async fn http2_is_spoken_in_the_clear() {
    let stage = Stage::start().await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let answer = client.get(stage.url("/live")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
}

#[tokio::test]
async fn tls_is_spoken_with_a_certificate_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let ca = mesh::Ca::generate().unwrap();
    // Any certificate with the name `localhost` will do.
    ca.issue(domain::Service::Gateway).unwrap().write(folder.path(), "public").unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let settings = format!(
        "[public]\ntls_cert_file = {:?}\ntls_key_file = {:?}\nheader_timeout = \"200ms\"",
        file("public.crt"),
        file("public.key")
    );
    let stage = Stage::with(&settings).await;
    let root = reqwest::Certificate::from_pem(ca.cert_pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
    let url = format!("https://localhost:{}/live", stage.address.port());
    let answer = client.get(url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    assert!(
        !raw(&stage, b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n").await.contains("200"),
        "no plaintext beside it"
    );
    assert_eq!(raw(&stage, b"").await, "", "a silent handshake ends");
}
