//! The filter proxy, spoken to as a browser does.

use std::time::{Duration, Instant};

use bytesize::ByteSize;
use domain::AddressPolicy;
use egress::proxy::{Config, Counts};
use egress::{FetchError, FilterProxy, Guard, Resolver, chromium_flags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::{Site, loopback, read_head, response, send, url};

fn limits() -> Config {
    Config {
        max_connections: 8,
        connect_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(10),
        max_header_bytes: ByteSize::kib(64),
    }
}

fn names() -> Resolver {
    let ip = |text: &str| vec![text.parse().expect("because it is an address")];
    Resolver::fixed([
        ("site.test", ip("127.0.0.1")),
        ("private.test", ip("10.0.0.1")),
        ("rebind.test", ip("127.0.0.1")),
        ("rebind.test", ip("10.0.0.1")),
    ])
}

async fn start(policy: AddressPolicy, limits: Config) -> FilterProxy {
    FilterProxy::start(Guard::new(policy, names()), &limits).await.expect("because loopback has free ports")
}

async fn ask(proxy: &FilterProxy, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.addr).await.expect("because it listens");
    stream.write_all(head.as_bytes()).await.expect("because it is open");
    stream
}

/// Sends a request that asks to hang up, and reads all of the answer.
async fn answer(proxy: &FilterProxy, line: &str) -> String {
    let mut stream = ask(proxy, &format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("because the proxy answers");
    answer
}

/// Opens a tunnel to the site.
async fn tunnel(proxy: &FilterProxy, port: u16) -> TcpStream {
    let mut stream =
        ask(proxy, &format!("CONNECT site.test:{port} HTTP/1.1\r\nhost: site.test\r\n\r\n")).await;
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream
}

async fn eventually(proxy: &FilterProxy, holds: impl Fn(Counts) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(2);
    while !holds(proxy.counts()) {
        assert!(Instant::now() < deadline, "{:?}", proxy.counts());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn forbidden_targets_get_403_and_no_address() {
    let canary = Site::canary().await;
    let port = canary.addr.port();
    let proxy = start(AddressPolicy::default(), limits()).await;
    let targets = [
        format!("127.0.0.1:{port}"),
        format!("2130706433:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:7f00:1]:{port}"),
        format!("localhost:{port}"),
        format!("private.test:{port}"),
        "169.254.169.254:80".to_owned(),
        "site.test:22".to_owned(),
    ];
    for target in &targets {
        for line in [format!("CONNECT {target}"), format!("GET http://{target}/")] {
            let answer = answer(&proxy, &line).await;
            assert!(answer.starts_with("HTTP/1.1 403"), "{line}: {answer}");
            let (_, body) = answer.split_once("\r\n\r\n").expect("because it is HTTP");
            assert_eq!(body, "target not allowed");
        }
    }
    let counts = proxy.counts();
    assert_eq!((counts.requests, counts.refused), (16, 16));
    assert_eq!((counts.received, counts.sent), (0, 0));
    assert_eq!(proxy.failure(&url(&format!("http://private.test:{port}/"))), Some(FetchError::NotAllowed));
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn a_name_that_turns_private_is_refused_the_second_time() {
    let site = Site::fixed(response("", "first")).await;
    let proxy = start(loopback(), limits()).await;
    let line = format!("GET http://rebind.test:{}/", site.addr.port());
    assert!(answer(&proxy, &line).await.ends_with("first"));
    assert!(answer(&proxy, &line).await.starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn what_is_not_for_a_proxy_is_refused() {
    let proxy = start(loopback(), limits()).await;
    for line in ["GET /", "GET https://site.test/", "GET ftp://site.test/", "GET http://u:p@site.test/"] {
        assert!(answer(&proxy, line).await.starts_with("HTTP/1.1 400"), "{line}");
    }
    assert!(answer(&proxy, "CONNECT nowhere.test:443").await.starts_with("HTTP/1.1 502"));
    assert_eq!(proxy.failure(&url("https://nowhere.test/")), Some(FetchError::Dns { transient: false }));
}

#[tokio::test]
async fn plain_requests_pass_without_the_proxys_headers() {
    let site =
        Site::start(|head, stream| send(stream, response("keep-alive: x\r\nx-own: y\r\n", head))).await;
    let port = site.addr.port();
    let proxy = start(loopback(), limits()).await;
    let mut stream = ask(
        &proxy,
        &format!(
            "GET http://site.test:{port}/path?q=1 HTTP/1.1\r\nhost: elsewhere\r\nproxy-connection: keep-alive\r\n\
             connection: close, x-hop\r\nx-hop: 1\r\nproxy-authorization: x\r\ncookie: kept\r\n\r\n"
        ),
    )
    .await;
    let mut all = String::new();
    stream.read_to_string(&mut all).await.expect("because the proxy answers");
    let (head, seen) = all.split_once("\r\n\r\n").expect("because it is HTTP");
    assert!(head.contains("x-own: y") && !head.contains("keep-alive"), "{head}");
    assert!(seen.starts_with("GET /path?q=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: site.test:{port}\r\n")) && seen.contains("cookie: kept"), "{seen}");
    assert!(!seen.contains("hop") && !seen.contains("proxy") && !seen.contains("elsewhere"), "{seen}");
    assert!(proxy.counts().received > seen.len() as u64 && proxy.counts().sent >= seen.len() as u64);
    assert_eq!(proxy.failure(&url(&format!("http://site.test:{port}/"))), None);
}

#[tokio::test]
async fn bodies_go_both_ways() {
    let site = Site::start(|head, mut stream| async move {
        let length =
            head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let mut body = vec![0; length.expect("because the request has one")];
        stream.read_exact(&mut body).await.expect("because it comes");
        send(stream, response("", body)).await;
    })
    .await;
    let proxy = start(loopback(), limits()).await;
    let body = "x".repeat(300_000);
    let head = format!(
        "POST http://site.test:{}/ HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        site.addr.port(),
        body.len()
    );
    let (mut read, mut write) = ask(&proxy, &head).await.into_split();
    let (written, mut all) = (async { write.write_all(body.as_bytes()).await }, String::new());
    let (written, received) = tokio::join!(written, read.read_to_string(&mut all));
    written.expect("because the proxy reads");
    received.expect("because the proxy answers");
    assert!(all.ends_with(&body));
    assert!(proxy.counts().sent > 300_000 && proxy.counts().received > 300_000);
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_when_it_is_gone() {
    // Answers two requests on each connection, then takes a third one and hangs up.
    let site = Site::start(|_, mut stream| async move {
        for _ in 0..2 {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            if read_head(&mut stream).await.is_empty() {
                return;
            }
        }
    })
    .await;
    let proxy = start(loopback(), limits()).await;
    let line = format!("GET http://site.test:{}/ HTTP/1.1\r\nhost: x\r\n\r\n", site.addr.port());
    let mut stream = ask(&proxy, "").await;
    for round in 0..6 {
        stream.write_all(line.as_bytes()).await.expect("because the browser's connection stays");
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{round}: {head}");
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.expect("because it is announced");
    }
    assert_eq!(site.accepted(), 3, "two requests on each");
}

#[tokio::test]
async fn tunnels_and_upgrades_carry_bytes_both_ways() {
    let site = Site::start(|_, mut stream| async move {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        let _ = stream.write_all(head).await;
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let port = site.addr.port();
    let proxy = start(loopback(), limits()).await;
    let upgrade = "host: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let mut tunnelled = tunnel(&proxy, port).await;
    tunnelled.write_all(format!("GET / HTTP/1.1\r\n{upgrade}").as_bytes()).await.expect("because it is open");
    let upgraded = ask(&proxy, &format!("GET http://site.test:{port}/ HTTP/1.1\r\n{upgrade}")).await;
    for mut stream in [tunnelled, upgraded] {
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: websocket"), "{head}");
        stream.write_all(b"ping").await.expect("because it is open");
        let mut echo = [0; 4];
        stream.read_exact(&mut echo).await.expect("because the site echoes");
        assert_eq!(&echo, b"ping");
    }
}

#[tokio::test]
async fn closing_or_dropping_ends_every_connection() {
    let site = Site::start(|_, stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let port = site.addr.port();
    for close in [true, false] {
        let proxy = start(loopback(), limits()).await;
        let mut tunnelled = tunnel(&proxy, port).await;
        let mut waiting =
            ask(&proxy, &format!("GET http://site.test:{port}/ HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        eventually(&proxy, |counts| counts.requests == 2 && counts.sent > 0).await;
        let addr = proxy.addr;
        if close {
            proxy.close().await;
            assert!(TcpStream::connect(addr).await.is_err(), "nobody listens");
        } else {
            drop(proxy);
        }
        for stream in [&mut tunnelled, &mut waiting] {
            let mut rest = Vec::new();
            let end = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut rest)).await;
            assert!(end.is_ok() && !rest.starts_with(b"HTTP/1.1 200"), "the connection ends");
        }
    }
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let site = Site::start(|_, stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = start(loopback(), Config { idle_timeout: Duration::from_millis(150), ..limits() }).await;
    let silent = ask(&proxy, "GET http").await;
    let tunnelled = tunnel(&proxy, site.addr.port()).await;
    for mut stream in [silent, tunnelled] {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "the proxy hangs up");
    }
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let site = Site::fixed(response("", "served")).await;
    let port = site.addr.port();
    let proxy = start(loopback(), Config { max_connections: 1, ..limits() }).await;
    let first = tunnel(&proxy, port).await;
    let line = format!("GET http://site.test:{port}/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut second = ask(&proxy, &line).await;
    let early = tokio::time::timeout(Duration::from_millis(100), second.read_u8()).await;
    assert!(early.is_err() && proxy.counts().requests == 1, "the only place is taken");
    drop(first);
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.expect("because its turn comes");
    assert!(answer.ends_with("served"), "{answer}");
}

#[test]
fn the_browser_has_no_other_way_out() {
    let flags = chromium_flags("127.0.0.1:4711".parse().expect("because it is an address"));
    assert_eq!(flags[0], "proxy-server=http://127.0.0.1:4711");
    assert!(flags.iter().all(|flag| !flag.starts_with('-')));
    for flag in ["proxy-bypass-list=<-loopback>", "disable-quic"] {
        assert!(flags.iter().any(|found| found == flag), "{flag}");
    }
}
