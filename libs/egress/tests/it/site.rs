//! Servers on loopback that answer each request head with whatever bytes a test wants.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{AddressPolicy, PageUrl};
use egress::{Client, Config, FetchError, Fetched, Guard, Request, Resolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server that ends with the test.
pub(crate) struct Site {
    pub(crate) addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Site {
    /// Hands each connection, its first request head read, to `handler`.
    pub(crate) async fn start<H, F>(handler: H) -> Self
    where
        H: Fn(String, TcpStream) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        Self::on("127.0.0.1:0", handler).await
    }

    /// Listens on all addresses of the machine, in both families, and answers every request.
    pub(crate) async fn canary() -> Self {
        Self::on("[::]:0", |_, stream| send(stream, response("", "canary"))).await
    }

    /// Answers every request with the same bytes and hangs up.
    pub(crate) async fn fixed(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::start(move |_, stream| send(stream, response.clone())).await
    }

    async fn on<H, F>(addr: &str, handler: H) -> Self
    where
        H: Fn(String, TcpStream) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind(addr).await.expect("because loopback has free ports");
        let addr = listener.local_addr().expect("because it listens");
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = accepted.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let handler = handler.clone();
                tokio::spawn(async move {
                    let head = read_head(&mut stream).await;
                    if !head.is_empty() {
                        handler(head, stream).await;
                    }
                });
            }
        });
        Self { addr, accepted, task }
    }

    pub(crate) fn url(&self, path: &str) -> PageUrl {
        url(&format!("http://127.0.0.1:{}{path}", self.addr.port()))
    }

    /// Connections that were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Connections so far. One more is made and accepted first, so that none is still on its way.
    pub(crate) async fn connections(&self) -> usize {
        let before = self.accepted();
        let mut stream =
            TcpStream::connect(("127.0.0.1", self.addr.port())).await.expect("because it listens");
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("because it is open");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("because it answers");
        let after = self.accepted();
        assert!(after > before, "the connection of the counter itself is counted");
        after - 1
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

pub(crate) async fn send(mut stream: TcpStream, bytes: impl AsRef<[u8]>) {
    // The client may have hung up already: that is what many of these tests are about.
    let _ = stream.write_all(bytes.as_ref()).await;
    let _ = stream.shutdown().await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

/// A response with 200; `headers` are lines that end with CRLF.
pub(crate) fn response(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn redirect(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nconnection: close\r\ncontent-length: 0\r\nlocation: {location}\r\n\r\n")
        .into_bytes()
}

pub(crate) fn url(text: &str) -> PageUrl {
    PageUrl::parse(text).unwrap_or_else(|error| panic!("{text} {error}"))
}

/// The defaults with some keys replaced.
pub(crate) fn config(changes: &[(&str, &str)]) -> Config {
    #[derive(serde::Deserialize)]
    struct File {
        egress: Config,
    }
    let mut file: toml::Table = egress::config::DEFAULTS.parse().expect("because the defaults are TOML");
    let section = file["egress"].as_table_mut().expect("because it is a section");
    for (key, value) in changes {
        let value: toml::Table = format!("v = {value}").parse().expect("because the test says so");
        assert!(section.insert((*key).to_owned(), value["v"].clone()).is_some(), "{key} is a key");
    }
    let File { egress } = file.try_into().expect("because the keys are known");
    egress
}

/// A policy that allows IPv4 loopback and nothing else beside the Internet.
pub(crate) fn loopback() -> AddressPolicy {
    AddressPolicy::new(vec!["127.0.0.0/8".parse().expect("because it is a network")])
}

/// A client that may reach IPv4 loopback, and whose names are `names`.
pub(crate) fn client_of(names: Resolver, changes: &[(&str, &str)]) -> Client {
    Client::with_guard(&config(changes), Guard::new(loopback(), names))
        .expect("because the settings are sound")
}

/// A client that may reach IPv4 loopback, and knows no names.
pub(crate) fn client(changes: &[(&str, &str)]) -> Client {
    client_of(Resolver::fixed::<String, Vec<_>>([]), changes)
}

pub(crate) async fn get(client: &Client, url: PageUrl) -> Result<Fetched, FetchError> {
    client.fetch(Request::get(url)).await
}
