//! What the fetch client reads beside bodies: cookies, robots.txt files, addresses, proxies.

use std::sync::Arc;

use domain::{AddressPolicy, PageUrl, ProxyServer};
use egress::{Client, Credentials, FetchError, Guard, Jar, Relay, RelayFault, Request, Resolver, Robots};
use fuzz::Fuzz;
use http::HeaderMap;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

#[test]
fn cookies() {
    let seeds = [
        "a=b; Path=/; Secure; HttpOnly; SameSite=Lax",
        "__Host-a=b; Path=/; Secure",
        "a=b; Domain=.example.com; Max-Age=99999999999999999999",
        "a=b; Domain=com; Expires=Wed, 21 Oct 2099 07:28:00 GMT",
        "a=\"b c\"; Path=\"/\"",
        "=; ; =",
    ];
    let words = &[
        "; Domain=",
        "; Path=",
        "; Max-Age=-1",
        "; Expires=",
        "; Secure",
        "__Secure-",
        "co.uk",
        "\n",
        "%00",
        "=",
        "é",
    ];
    let page = Url::parse("https://www.example.com/a/b").expect("because it is a constant");
    let other = Url::parse("https://example.org/").expect("because it is a constant");
    Fuzz::new("cookies", seeds.map(Vec::from).into(), words).run(|bytes| {
        let jar = Jar::new(4);
        let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
        let answer: HeaderMap = lines.map(|line| (SET_COOKIE, line)).collect();
        jar.keep(&page, &answer);
        assert!(jar.len() <= 4, "the bound holds");
        let mut headers = HeaderMap::new();
        jar.add(&other, &mut headers);
        assert!(!headers.contains_key(COOKIE), "nothing goes to another site");
        jar.add(&page, &mut headers);
    });
}

#[test]
fn urls() {
    let seeds = [
        "https://example.com/a?b#c",
        "http://2130706433/",
        "http://[::ffff:7f00:1]:8080/",
        "HTTP://ｅxample.com/%zz",
        "https://xn--bcher-kva.example/",
        "http://0x7f.1/",
        "//user:pw@host:22/",
    ];
    let words = &["http://", "https:", "@", "[::", "%00", "xn--", "0x", "\t", "\\", "..", ":65536", "。"];
    Fuzz::new("urls", seeds.map(Vec::from).into(), words).run(|bytes| {
        let Ok(url) = PageUrl::parse(&String::from_utf8_lossy(bytes)) else { return };
        let again = PageUrl::parse(url.as_str()).expect("because what was accepted once is accepted again");
        assert_eq!(url.as_str(), again.as_str(), "a canonical URL is canonical");
    });
}

#[test]
fn robots() {
    let seeds = [
        "User-agent: *\nDisallow: /a\nAllow: /a/b$\nCrawl-delay: 2\nSitemap: https://example.com/s.xml\n",
        "user-agent: crawlmesh\ndisallow: /*?*\n\n",
        "\u{feff}User-agent:crawlmesh/1\r\nDisallow:%2f%zz\r\n# x",
    ];
    let words = &[
        "User-agent: *\n",
        "Disallow: ",
        "Allow: /",
        "*",
        "$",
        "Crawl-delay: 1e99\n",
        "Sitemap: ",
        "%",
        "\r",
        "\0",
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("because it is asked for once");
    let served = Arc::new(Mutex::new(Vec::new()));
    let port = runtime.block_on(serve(served.clone()));
    let url = PageUrl::parse(&format!("http://127.0.0.1:{port}/a/b")).expect("because it is a URL");
    let (client, config) = client();
    Fuzz::new("robots", seeds.map(Vec::from).into(), words).run(|bytes| {
        *served.lock() = bytes.to_vec();
        runtime.block_on(Robots::new(client.clone(), &config).allowed(&url));
    });
}

#[test]
fn proxies() {
    let seeds: [&[u8]; 7] = [
        b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=x\r\n\r\n",
        b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50HTTP/1.1 204 No Content\r\n\r\n",
        b"\x05\x02\x01\x00\x05\x00\x00\x03\x04name\x00\x50HTTP/1.0 200\r\n\r\nrest",
        b"\x05\x02\x01\x01",
        b"\0\x5a\0\x50\x7f\0\0\x01HTTP/1.1 204 No Content\r\n\r\n",
        b"\x16\x03\x03\0\x02\x02\x28",
    ];
    let words =
        &["HTTP/1.1 ", "200", "407", "\r\n\r\n", "\u{5}\0", "\u{5}\u{2}\u{1}\0", "\u{3}\u{7f}", "\0\0"];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("because it is asked for once");
    let said = Arc::new(Mutex::new(Vec::new()));
    let port = runtime.block_on(say(said.clone()));
    let (client, _) = client();
    let relays = ["http", "https", "socks4a", "socks5"].map(|scheme| {
        let server = ProxyServer::parse(&format!("{scheme}://127.0.0.1:{port}"));
        let credentials = Credentials { username: "user".into(), password: "word".into() };
        Relay::new(server.expect("because it is an address"), Some(credentials))
    });
    let pages = ["http://127.0.0.1/", "https://127.0.0.1/"]
        .map(|url| PageUrl::parse(url).expect("because it is a URL"));
    Fuzz::new("proxies", seeds.map(Vec::from).into(), words).run(|bytes| {
        *said.lock() = bytes.to_vec();
        for (relay, page) in relays.iter().flat_map(|relay| pages.iter().map(move |page| (relay, page))) {
            let request = Request { relay: Some(relay.clone()), ..Request::get(page.clone()) };
            let fetched = runtime.block_on(client.fetch(request));
            let late =
                matches!(fetched, Err(FetchError::Timeout { .. } | FetchError::Relay(RelayFault::Silent)));
            assert!(!late, "a proxy that hangs up is waited for");
        }
    });
}

/// Says what is in `said` to everybody, and hangs up.
#[expect(clippy::disallowed_methods, reason = "the server of a test is a task without a parent")]
async fn say(said: Arc<Mutex<Vec<u8>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("because loopback has free ports");
    let port = listener.local_addr().expect("because it listens").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let words = said.lock().clone();
            tokio::spawn(async move {
                let _ = stream.write_all(&words).await;
                let _ = stream.shutdown().await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            });
        }
    });
    port
}

/// Answers every request with what is in `served`.
#[expect(clippy::disallowed_methods, reason = "the server of a test is a task without a parent")]
async fn serve(served: Arc<Mutex<Vec<u8>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("because loopback has free ports");
    let port = listener.local_addr().expect("because it listens").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let served = served.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {
                    let body = served.lock().clone();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn client() -> (Client, egress::robots::Config) {
    #[derive(serde::Deserialize)]
    struct File {
        egress: egress::Config,
        robots: egress::robots::Config,
    }
    let defaults = format!("{}\n{}", egress::config::DEFAULTS, egress::robots::DEFAULTS);
    let file: File = toml::from_str(&defaults).expect("because the defaults are complete");
    let policy = AddressPolicy::new(vec!["127.0.0.0/8".parse().expect("because it is a network")]);
    let guard = Guard::new(policy, Resolver::fixed::<String, Vec<_>>([]));
    (Client::with_guard(&file.egress, guard).expect("because the defaults are sound"), file.robots)
}
