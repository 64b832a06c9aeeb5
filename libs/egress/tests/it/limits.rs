//! Limits: servers that are slow, endless, lying or hostile are cut off, each for its own reason.

use std::time::{Duration, Instant};

use async_compression::tokio::bufread::{
    BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
};
use bytes::Bytes;
use domain::Verdict;
use egress::{FetchError, Part, Request, Stage};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::site::{Site, client, get, response};

const TIMEOUTS: &[(&str, &str)] = &[
    ("connect_timeout", "\"200ms\""),
    ("head_timeout", "\"200ms\""),
    ("min_rate_grace", "\"200ms\""),
    ("total_timeout", "\"10s\""),
];

/// Sends `bytes` and then nothing more, without hanging up.
async fn stalling(bytes: impl Into<Vec<u8>>) -> Site {
    let bytes = bytes.into();
    Site::start(move |_, mut stream| {
        let bytes = bytes.clone();
        async move {
            let _ = stream.write_all(&bytes).await;
            std::future::pending::<()>().await;
        }
    })
    .await
}

async fn encode(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let done = match coding {
        "gzip" => GzipEncoder::new(body).read_to_end(&mut encoded).await,
        "br" => BrotliEncoder::new(body).read_to_end(&mut encoded).await,
        "zstd" => ZstdEncoder::new(body).read_to_end(&mut encoded).await,
        "deflate" => ZlibEncoder::new(body).read_to_end(&mut encoded).await,
        "raw deflate" => DeflateEncoder::new(body).read_to_end(&mut encoded).await,
        other => panic!("{other} is no coding"),
    };
    done.expect("because memory can be read");
    encoded
}

/// A chunked response that never ends.
async fn endless() -> Site {
    Site::start(|_, mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
        while stream.write_all(chunk.as_bytes()).await.is_ok() {}
    })
    .await
}

#[tokio::test]
async fn what_does_not_come_is_a_timeout_of_its_stage() {
    for (sent, stage) in [
        ("", Stage::Head),
        ("HTTP/1.1 200 OK\r\nx: ", Stage::Head),
        ("HTTP/1.1 100 Continue\r\n\r\n", Stage::Head),
        ("HTTP/1.1 200 OK\r\n\r\n", Stage::Body),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", Stage::Body),
    ] {
        let site = stalling(sent).await;
        let started = Instant::now();
        let error = get(&client(TIMEOUTS), site.url("/")).await.expect_err("because it stalls");
        assert_eq!(error, FetchError::Timeout { stage }, "{sent:?}");
        assert_eq!((error.verdict(), error.detail()), (Verdict::Timeout, stage.as_str()));
        assert!(error.retryable() && started.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_handshake_that_stalls_is_a_timeout_of_the_connection() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("because loopback has free ports");
    let port = silent.local_addr().expect("because it listens").port();
    let target = crate::site::url(&format!("https://127.0.0.1:{port}/"));
    let found = get(&client(&[("connect_timeout", "\"200ms\"")]), target).await;
    assert_eq!(found.err(), Some(FetchError::Timeout { stage: Stage::Connect }));
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_long_before_its_end() {
    let site = Site::start(|_, mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let started = Instant::now();
    let found = get(&client(TIMEOUTS), site.url("/")).await;
    assert_eq!(found.err(), Some(FetchError::Timeout { stage: Stage::Body }));
    assert!(started.elapsed() < Duration::from_secs(10));

    let patient = client(&[("min_rate", "\"10B\""), ("min_rate_grace", "\"200ms\"")]);
    let mut request = Request::get(site.url("/"));
    request.total_timeout = Some(Duration::from_millis(400));
    let started = Instant::now();
    let found = patient.fetch(request).await;
    assert_eq!(found.err(), Some(FetchError::Timeout { stage: Stage::Body }));
    assert!(started.elapsed() >= Duration::from_millis(400), "fast enough by its rate");
}

#[tokio::test]
async fn a_body_is_measured_and_not_believed() {
    let small = &[("max_body", "\"64KiB\"")];
    let large = FetchError::TooLarge { what: Part::Body };
    let announced = stalling("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n").await;
    assert_eq!(get(&client(small), announced.url("/")).await.err(), Some(large), "before the body comes");

    let endless = endless().await;
    let error = get(&client(small), endless.url("/")).await.expect_err("because it is endless");
    assert!(error == large && error.verdict() == Verdict::TooLarge && !error.retryable());

    let body = "x".repeat(64 * 1024 + 1);
    let until_closed = Site::fixed(format!("HTTP/1.1 200 OK\r\n\r\n{body}")).await;
    assert_eq!(get(&client(small), until_closed.url("/")).await.err(), Some(large));

    let fits = Site::fixed(format!("HTTP/1.1 200 OK\r\n\r\n{}", &body[1..])).await;
    let fetched = get(&client(small), fits.url("/")).await.expect("because it just fits");
    assert_eq!((fetched.body.len(), fetched.wire_bytes), (64 * 1024, 64 * 1024));

    let too_short =
        Site::fixed("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabcdef").await;
    assert_eq!(get(&client(small), too_short.url("/")).await.expect("because it is one").body, "abc");

    let mut request = Request::get(fits.url("/"));
    request.max_body = Some(10);
    assert_eq!(client(&[]).fetch(request).await.err(), Some(large), "a request narrows the limit");
}

#[tokio::test]
async fn every_coding_is_undone() {
    let text = "<p>Grüße</p>".repeat(500);
    for coding in ["gzip", "br", "zstd", "deflate", "raw deflate"] {
        let encoded = encode(coding, text.as_bytes()).await;
        let word = coding.trim_start_matches("raw ");
        let site = Site::fixed(response(&format!("content-encoding: {word}\r\n"), &encoded)).await;
        let fetched = get(&client(&[]), site.url("/")).await.expect(coding);
        assert_eq!(fetched.body, text, "{coding}");
        assert_eq!(fetched.wire_bytes, encoded.len() as u64, "{coding}");
    }
    for (header, status) in [("content-encoding: gzip\r\n", 200), ("content-encoding: unheard-of\r\n", 200)] {
        let site = Site::fixed(response(header, "")).await;
        assert_eq!(get(&client(&[]), site.url("/")).await.expect("because it is empty").status, status);
    }
    let site = Site::fixed("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 99\r\n\r\n").await;
    let mut request = Request::get(site.url("/"));
    request.method = Method::HEAD;
    assert_eq!(client(&[]).fetch(request).await.expect("because HEAD has no body").body.len(), 0);
}

#[tokio::test]
async fn bombs_are_defused() {
    let zeros = vec![0; 4 << 20];
    for coding in ["gzip", "br", "zstd", "deflate"] {
        let encoded = encode(coding, &zeros).await;
        let site = Site::fixed(response(&format!("content-encoding: {coding}\r\n"), &encoded)).await;
        let found = get(&client(&[]), site.url("/")).await;
        assert_eq!(found.err(), Some(FetchError::TooLarge { what: Part::Ratio }), "{coding}");
        let limits = &[("max_ratio", "1000000"), ("max_body", "\"1MiB\""), ("max_decompressed", "\"2MiB\"")];
        let found = get(&client(limits), site.url("/")).await;
        assert_eq!(found.err(), Some(FetchError::TooLarge { what: Part::Decompressed }), "{coding}");
    }
    let nested = encode("gzip", &encode("gzip", b"x").await).await;
    let site = Site::fixed(response("content-encoding: gzip, gzip\r\n", nested)).await;
    assert_eq!(get(&client(&[]), site.url("/")).await.err(), Some(FetchError::Protocol));
}

#[tokio::test]
async fn headers_are_bounded() {
    let headers = FetchError::TooLarge { what: Part::Headers };
    for (name, lines) in [
        ("1 MB in one", format!("x: {}\r\n", "x".repeat(1 << 20))),
        ("70 KB in one", format!("x: {}\r\n", "x".repeat(70_000))),
        ("10 000 of them", "x: y\r\n".repeat(10_000)),
    ] {
        let site = Site::fixed(response(&lines, "")).await;
        assert_eq!(get(&client(&[]), site.url("/")).await.err(), Some(headers), "{name}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_told_from_what_broke() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let gzip = "content-encoding: gzip\r\n";
    for (name, sent, expected) in [
        ("no HTTP", b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(), FetchError::Protocol),
        ("bad chunk size", format!("{chunked}zz\r\n").into_bytes(), FetchError::Protocol),
        ("not gzip", response(gzip, "plain text"), FetchError::Protocol),
        ("half a gzip", response(gzip, &encode("gzip", &[7; 999]).await[..12]), FetchError::Protocol),
        ("cut head", b"HTTP/1.1 200".to_vec(), FetchError::Connect),
        ("cut body", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx".to_vec(), FetchError::Connect),
        ("cut chunk", format!("{chunked}9\r\nx").into_bytes(), FetchError::Connect),
    ] {
        let site = Site::fixed(sent).await;
        assert_eq!(get(&client(&[]), site.url("/")).await.err(), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn error_statuses_are_answers() {
    for status in [304, 404, 429, 503] {
        let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\nretry-after: 7\r\n\r\n");
        let site = Site::fixed(head).await;
        let fetched = get(&client(&[]), site.url("/")).await.expect("because it answered");
        assert_eq!((fetched.status, fetched.header("retry-after")), (status, Some("7")));
    }
}

#[tokio::test]
async fn the_answer_to_a_webhook_is_cut_and_not_refused() {
    let post = |site: &Site, wire: u64| {
        let mut request = Request::post(site.url("/"), Bytes::from_static(b"{}"), 16);
        request.max_body = Some(wire);
        request.total_timeout = Some(Duration::from_millis(500));
        request
    };
    let bomb = encode("gzip", &vec![b'x'; 1 << 20]).await;
    for (name, site, wire, body) in [
        ("endless", endless().await, 16, "x".repeat(16)),
        ("bomb", Site::fixed(response("content-encoding: gzip\r\n", bomb)).await, 4096, "x".repeat(16)),
        ("stalls", stalling("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").await, 16, "ok".to_owned()),
        ("breaks", Site::fixed("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").await, 16, "ok".to_owned()),
    ] {
        let fetched = client(&[]).fetch(post(&site, wire)).await.expect(name);
        assert_eq!((fetched.status, fetched.truncated), (200, true), "{name}");
        assert_eq!(fetched.body, body, "{name}");
    }
    let site = Site::fixed(response("", "thanks")).await;
    let fetched = client(&[]).fetch(post(&site, 16)).await.expect("because it is short");
    assert!(!fetched.truncated && fetched.body == "thanks");
}
