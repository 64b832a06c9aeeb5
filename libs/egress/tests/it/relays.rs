//! Relays: requests go through the proxy that they name and past it in no case, in both lanes.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use domain::{AddressPolicy, ProxyServer, Verdict};
use egress::{
    Access, Client, Credentials, FetchError, FilterProxy, Guard, Relay, RelayFault, Request, Resolver,
    Robots, robots,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use self::server::{Canary, ELSEWHERE};
use crate::http2;
use crate::site::{Site, client, client_of, config, loopback, redirect, response, send, url};
use crate::tls::{Authority, server_config};

#[expect(
    unreachable_pub,
    reason = "the file is one of libs/testkit, which would be a circle as a dependency"
)]
#[path = "../../../testkit/src/relay.rs"]
mod server;

fn through(server: &str, credentials: Option<(&str, &str)>) -> Option<Relay> {
    let credentials = credentials
        .map(|(username, password)| Credentials { username: username.into(), password: password.into() });
    Some(Relay::new(ProxyServer::parse(server).expect("because it is an address"), credentials))
}

async fn ask(client: &Client, relay: Option<Relay>, target: &str) -> Result<String, FetchError> {
    let fetched = client.fetch(Request { relay, ..Request::get(url(target)) }).await?;
    Ok(String::from_utf8_lossy(&fetched.body).into_owned())
}

#[tokio::test]
async fn requests_and_their_redirects_go_through_the_relay_and_nowhere_else() {
    let site = Site::start(|head, stream| {
        let bytes = if head.starts_with("GET /away") { redirect("/here") } else { response("", head) };
        send(stream, bytes)
    })
    .await;
    let canary = Canary::beside(site.addr.port()).await;
    let (port, client) = (site.addr.port(), client(&[]));
    for (scheme, expected) in [
        (
            "http",
            [format!("get http://{ELSEWHERE}:{port}/away"), format!("get http://{ELSEWHERE}:{port}/here")],
        ),
        ("socks4", [format!("socks {ELSEWHERE}:{port}"), format!("socks {ELSEWHERE}:{port}")]),
        ("socks4a", [format!("socks {ELSEWHERE}:{port}"), format!("socks {ELSEWHERE}:{port}")]),
        ("socks5", [format!("socks {ELSEWHERE}:{port}"), format!("socks {ELSEWHERE}:{port}")]),
    ] {
        let relay = server::Relay::locked().await;
        let to = through(&relay.server(scheme), Some(("user", "word")));
        let seen =
            ask(&client, to, &format!("http://{ELSEWHERE}:{port}/away")).await.expect("because it is there");
        assert!(seen.starts_with("GET /here HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains("crawlmesh/") && seen.contains("accept-encoding: "), "{seen}");
        assert!(
            !seen.to_ascii_lowercase().contains("proxy-"),
            "the relay's credentials end at the relay: {seen}"
        );
        assert_eq!(relay.asked(), expected);
    }
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn tls_goes_through_the_tunnel_to_the_site_and_its_certificate_counts() {
    let (client, port) = http2::start().await;
    for scheme in ["http", "socks4a", "socks5"] {
        let relay = server::Relay::locked().await;
        let to = through(&relay.server(scheme), Some(("user", "word")));
        for _ in 0..2 {
            let body = ask(&client, to.clone(), &format!("https://site.test:{port}/9")).await;
            assert_eq!(body.as_deref(), Ok("over http/2"), "{scheme}");
        }
        let stranger = ask(&client, to.clone(), &format!("https://other.test:{port}/9")).await;
        let why = "certificate of another host";
        assert_eq!(stranger, Err(FetchError::Tls { why }), "the site's fault, not the relay's");
        let verb = if scheme == "http" { "connect" } else { "socks" };
        let hosts = ["site.test", "other.test"].map(|host| format!("{verb} {host}:{port}"));
        assert_eq!(relay.asked(), hosts, "the tunnel was used again");
    }
}

#[tokio::test]
async fn names_that_are_unknown_here_are_the_relays_and_forbidden_ones_are_nobodys() {
    let site = Site::fixed(response("", "served")).await;
    let port = site.addr.port();
    let names = Resolver::fixed([
        ("private.test", vec![IpAddr::from([10, 0, 0, 1])]),
        ("known.test", vec![IpAddr::from([203, 0, 114, 1])]),
    ]);
    let client = client_of(names, &[]);
    for scheme in ["http", "socks4a", "socks5"] {
        let relay = server::Relay::open().await;
        let ask = |host: &str| {
            let (to, target) = (through(&relay.server(scheme), None), format!("http://{host}:{port}/"));
            let client = client.clone();
            async move { ask(&client, to, &target).await }
        };
        assert_eq!(ask("unknown.test").await.as_deref(), Ok("served"), "{scheme}");
        assert_eq!(ask("known.test").await.as_deref(), Ok("served"), "{scheme}");
        for forbidden in ["private.test", "10.0.0.1", "169.254.169.254", "x.internal", "[::1]"] {
            assert_eq!(ask(forbidden).await, Err(FetchError::NotAllowed), "{forbidden} through {scheme}");
        }
        assert_eq!(relay.asked().len(), 2, "it has heard of no forbidden target: {:?}", relay.asked());
    }
}

#[tokio::test]
async fn a_relay_that_takes_only_addresses_gets_those_that_were_checked() {
    let site = Site::fixed(response("", "served")).await;
    let port = site.addr.port();
    let ip = |text: &str| vec![text.parse::<IpAddr>().expect("because it is an address")];
    let names = Resolver::fixed([
        ("private.test", ip("10.0.0.1")),
        ("known.test", ip("203.0.114.1")),
        ("modern.test", ip("2a00:1450:4001:800::1")),
        // What is checked a second time is not what was checked before.
        ("rebinding.test", ip("203.0.114.1")),
        ("rebinding.test", ip("10.0.0.1")),
    ]);
    let client = client_of(names, &[]);
    let relay = server::Relay::open().await;
    let ask = |host: &str| {
        let (to, target) = (through(&relay.server("socks4"), None), format!("http://{host}:{port}/"));
        let client = client.clone();
        async move { ask(&client, to, &target).await }
    };
    assert_eq!(ask("known.test").await.as_deref(), Ok("served"));
    assert_eq!(ask("unknown.test").await, Err(FetchError::Dns { transient: false }));
    for forbidden in ["private.test", "rebinding.test", "10.0.0.1", "[::1]"] {
        assert_eq!(ask(forbidden).await, Err(FetchError::NotAllowed), "{forbidden}");
    }
    for later in ["modern.test", "[2a00:1450:4001:800::1]"] {
        assert_eq!(ask(later).await, Err(FetchError::Relay(RelayFault::Refused)), "{later}");
    }
    assert_eq!(relay.asked(), [format!("socks 203.0.114.1:{port}")]);
}

/// A port that takes TLS as `name`, and passes what is in it on to a relay.
async fn tls_before(relay: &server::Relay, authority: &Authority, name: &str) -> u16 {
    let (certificate, key) = authority.issue(name, 2120);
    let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate, key)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("because loopback has free ports");
    let (port, behind) = (listener.local_addr().expect("because it listens").port(), relay.addr());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut relay = TcpStream::connect(behind).await.expect("because it listens");
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut relay).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_relay_over_tls_is_spoken_to_if_its_certificate_is_valid() {
    let site = Site::start(|head, stream| send(stream, response("", head))).await;
    let canary = Canary::beside(site.addr.port()).await;
    let (relay, authority) = (server::Relay::locked().await, Authority::new("ours"));
    let names = Resolver::fixed([("proxy.test", vec![IpAddr::from(Ipv4Addr::LOCALHOST)])]);
    let roots = format!("[{:?}]", authority.file.path());
    let client = client_of(names, &[("extra_roots", &roots)]);
    let port = tls_before(&relay, &authority, "proxy.test").await;
    let target = format!("{ELSEWHERE}:{}", site.addr.port());

    let at = |host: &str| through(&format!("https://{host}:{port}"), Some(("user", "word")));
    let seen = ask(&client, at("proxy.test"), &format!("http://{target}/plain")).await;
    assert!(seen.as_ref().is_ok_and(|seen| seen.starts_with("GET /plain HTTP/1.1")), "{seen:?}");
    let guard = client.guard().clone();
    let proxy = FilterProxy::start_behind(at("proxy.test"), guard, &limits()).await;
    let proxy = proxy.expect("because loopback has free ports");
    let tunnel =
        format!("CONNECT {target} HTTP/1.1\r\nhost: x\r\n\r\nGET /tunnel HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(exchange(&proxy, &tunnel).await.contains("GET /tunnel HTTP/1.1"));
    assert_eq!(relay.asked(), [format!("get http://{target}/plain"), format!("connect {target}")]);

    let stranger = ask(&client, at("127.0.0.1"), &format!("http://{target}/")).await;
    assert_eq!(stranger, Err(FetchError::Relay(RelayFault::Tls)), "its certificate has another name");
    let nobodys = tls_before(&relay, &Authority::new("another"), "proxy.test").await;
    let nobodys = through(&format!("https://proxy.test:{nobodys}"), Some(("user", "word")));
    let unknown = ask(&client, nobodys, &format!("http://{target}/")).await;
    assert_eq!(unknown, Err(FetchError::Relay(RelayFault::Tls)), "nobody vouches for it");
    assert_eq!((relay.asked().len(), canary.connections().await), (2, 0));
}

#[tokio::test]
async fn what_is_wrong_with_a_relay_is_said() {
    let site = Site::fixed(response("", "served")).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("because loopback has free ports");
    let garbage = Site::fixed("SSH-2.0-Open\r\n\r\n").await;
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("because loopback has free ports");
        listener.local_addr().expect("because it listens")
    };
    let (open, locked) = (server::Relay::open().await, server::Relay::locked().await);
    let (usual, hasty) = (client(&[]), client(&[("connect_timeout", "\"200ms\"")]));
    let at = |addr| format!("http://{addr}");
    let silent_at = silent.local_addr().expect("because it listens");
    for (relay, credentials, host, fault) in [
        (locked.server("http"), None, "a.test", RelayFault::Credentials),
        (locked.server("http"), Some(("user", "other")), "a.test", RelayFault::Credentials),
        (locked.server("socks5"), None, "a.test", RelayFault::Credentials),
        (locked.server("socks5"), Some(("user", "other")), "a.test", RelayFault::Credentials),
        (locked.server("socks4a"), None, "a.test", RelayFault::Credentials),
        (open.server("socks4a"), None, "down.test", RelayFault::NoTarget),
        (open.server("http"), None, "refused.test", RelayFault::Refused),
        (open.server("socks5"), None, "refused.test", RelayFault::Refused),
        (open.server("http"), None, "down.test", RelayFault::NoTarget),
        (open.server("socks5"), None, "down.test", RelayFault::NoTarget),
        (at(gone), None, "a.test", RelayFault::Unreachable),
        (at(silent_at), None, "a.test", RelayFault::Silent),
        (at(garbage.addr), None, "a.test", RelayFault::Broken),
        ("http://nowhere.test:3128".to_owned(), None, "a.test", RelayFault::Unknown),
        ("http://10.0.0.1:3128".to_owned(), None, "a.test", RelayFault::NotAllowed),
    ] {
        // https always takes a tunnel, whose making the relay answers for.
        let target = format!("https://{host}:{}/", site.addr.port());
        let client = if fault == RelayFault::Silent { &hasty } else { &usual };
        let error = ask(client, through(&relay, credentials), &target).await.expect_err("because it fails");
        assert_eq!(error, FetchError::Relay(fault), "{relay} to {host}");
        let verdict = if fault == RelayFault::NotAllowed { Verdict::NotAllowed } else { Verdict::Connect };
        assert_eq!(error.verdict(), verdict);
        assert!(error.detail().starts_with("proxy: "), "{}", error.detail());
    }
    assert_eq!(site.accepted(), 0);
    let target = format!("http://a.test:{}/", site.addr.port());
    let plain = ask(&usual, through(&locked.server("http"), None), &target);
    assert_eq!(plain.await, Err(FetchError::Relay(RelayFault::Credentials)), "407 is no answer of the site");
}

#[tokio::test]
async fn robots_txt_is_asked_through_the_relay_of_the_page() {
    let site = Site::fixed(response("", "User-agent: *\nDisallow: /\n")).await;
    let canary = Canary::beside(site.addr.port()).await;
    let relay = server::Relay::open().await;
    #[derive(serde::Deserialize)]
    struct File {
        robots: robots::Config,
    }
    let file: File = toml::from_str(robots::DEFAULTS).expect("because the section is complete");
    let robots = Robots::new(client(&[]), &file.robots);
    let page = url(&format!("http://{ELSEWHERE}:{}/page", site.addr.port()));
    let to = through(&relay.server("http"), None);
    let found = robots.allowed_through(to.as_ref(), &page).await;
    assert_eq!(found, Access::Denied { why: "robots.txt disallows it" });
    assert_eq!(relay.asked(), [format!("get http://{ELSEWHERE}:{}/robots.txt", site.addr.port())]);
    assert_eq!(canary.connections().await, 0);
    let directly = robots.allowed(&page).await;
    assert!(
        matches!(directly, Access::Unreachable { .. }),
        "what a relay says holds for it alone: {directly:?}"
    );
}

#[tokio::test]
async fn the_filter_proxy_has_no_connection_but_to_its_relay() {
    let site = Site::start(|head, stream| send(stream, response("", head))).await;
    let canary = Canary::beside(site.addr.port()).await;
    let port = site.addr.port();
    let guard = Guard::new(loopback(), Resolver::fixed::<String, Vec<_>>([]));
    for scheme in ["http", "socks4", "socks5"] {
        let relay = server::Relay::locked().await;
        let start = |credentials| {
            let to = through(&relay.server(scheme), credentials);
            async { FilterProxy::start_behind(to, guard.clone(), &limits()).await }
        };
        let proxy = start(Some(("user", "word"))).await.expect("because loopback has free ports");
        let target = format!("{ELSEWHERE}:{port}");
        let plain = exchange(
            &proxy,
            &format!("GET http://{target}/plain HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        )
        .await;
        assert!(plain.contains("GET /plain HTTP/1.1") && !plain.contains("Basic"), "{plain}");
        let tunnel =
            format!("CONNECT {target} HTTP/1.1\r\nhost: x\r\n\r\nGET /tunnel HTTP/1.1\r\nhost: x\r\n\r\n");
        let tunnelled = exchange(&proxy, &tunnel).await;
        assert!(tunnelled.contains("GET /tunnel HTTP/1.1"), "{tunnelled}");
        assert_eq!(relay.asked().len(), 2);

        let stranger = start(None).await.expect("because loopback has free ports");
        for line in [format!("GET http://{target}/"), format!("CONNECT {target}")] {
            let refused =
                exchange(&stranger, &format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
                    .await;
            assert!(refused.starts_with("HTTP/1.1 502"), "{refused}");
            let why = stranger.failure(&url(&format!("http://{target}/")));
            assert_eq!(why, Some(FetchError::Relay(RelayFault::Credentials)), "{line} through {scheme}");
        }
    }
    let outside = Guard::new(AddressPolicy::default(), Resolver::fixed::<String, Vec<_>>([]));
    let relay = server::Relay::open().await;
    let proxy = FilterProxy::start_behind(through(&relay.server("http"), None), outside, &limits()).await;
    let proxy = proxy.expect("because loopback has free ports");
    let refused =
        exchange(&proxy, "CONNECT 203.0.114.1:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 502"), "{refused}");
    assert_eq!((relay.asked().len(), proxy.counts().refused), (0, 1), "a private relay is not reached");
    assert_eq!(canary.connections().await, 0);
}

fn limits() -> egress::proxy::Config {
    egress::proxy::Config {
        max_connections: 8,
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(30),
        max_header_bytes: ByteSize::kib(64),
    }
}

async fn exchange(proxy: &FilterProxy, request: &str) -> String {
    let mut stream = TcpStream::connect(proxy.addr).await.expect("because it listens");
    stream.write_all(request.as_bytes()).await.expect("because it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("because the proxy answers");
    answer
}

#[test]
fn the_bound_of_relays_is_a_setting() {
    assert_eq!(config(&[("max_proxies", "0")]).check(), ["egress.max_proxies must be at least 1"]);
}
