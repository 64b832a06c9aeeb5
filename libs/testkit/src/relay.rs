//! A proxy to test with, of the kind that callers bring: HTTP (CONNECT and whole requests), SOCKS4 and SOCKS5 on one port.
//!
//! It connects to 127.0.0.1 whatever host it is asked for, so that a target can have an address at which nobody but a
//! canary listens. Only `std` and Tokio, because libs/egress tests with this file, too.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// `user` and `word`, as HTTP has them.
const BASIC: &str = "Basic dXNlcjp3b3Jk";

#[derive(Default)]
struct Shared {
    /// Whether it wants `user` and `word`.
    locked: bool,
    asked: Mutex<Vec<String>>,
}

/// A running proxy. Hosts that begin with `refused` and `down` are answered so.
pub struct Relay {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Relay {
    /// A proxy that serves everybody.
    pub async fn open() -> Self {
        Self::start(false).await
    }

    /// A proxy that serves the user `user` with the password `word`.
    pub async fn locked() -> Self {
        Self::start(true).await
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own server needs no span")]
    async fn start(locked: bool) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("because loopback can be bound");
        let addr = listener.local_addr().expect("because it is bound");
        let shared = Arc::new(Shared { locked, ..Shared::default() });
        let log = shared.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let log = log.clone();
                tokio::spawn(async move {
                    let _ = serve(stream, &log).await;
                });
            }
        });
        Self { addr, shared, server }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its address for a job, with the scheme `http`, `socks4`, `socks4a` or `socks5`.
    #[must_use]
    pub fn server(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.addr)
    }

    /// What it was asked for, in order, refused or not: `connect host:port`, `socks host:port`, `get http://host:port/path`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("because nobody panics with it").clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn note(&self, what: String) {
        self.asked.lock().expect("because nobody panics with it").push(what);
    }
}

/// An address of loopback at which nothing but a canary listens; a [`Relay`] leads from there to 127.0.0.1.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

/// Counts who connects to [`ELSEWHERE`] itself, past every proxy.
pub struct Canary {
    port: u16,
    seen: watch::Receiver<usize>,
    server: JoinHandle<()>,
}

impl Canary {
    /// A canary beside what listens at this port of 127.0.0.1.
    #[expect(clippy::disallowed_methods, reason = "a test's own server needs no span")]
    pub async fn beside(port: u16) -> Self {
        let listener = TcpListener::bind((ELSEWHERE, port)).await.expect("because nobody else listens there");
        let (counter, seen) = watch::channel(0);
        let server = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.send_modify(|seen| *seen += 1);
            }
        });
        Self { port, seen, server }
    }

    /// Connections of others; one of its own is made first, and is seen.
    pub async fn connections(&self) -> usize {
        let _own = TcpStream::connect((ELSEWHERE, self.port)).await.expect("because it listens");
        let seen = *self.seen.clone().wait_for(|seen| *seen > 0).await.expect("because it counts");
        seen - 1
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// `None`: the client hung up, or said something that is no request.
async fn serve(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let first = stream.read_u8().await.ok()?;
    match first {
        4 => socks4(stream, shared).await,
        5 => socks5(stream, shared).await,
        _ => http(stream, first, shared).await,
    }
}

async fn http(mut stream: TcpStream, first: u8, shared: &Shared) -> Option<()> {
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    shared.note(format!("{} {target}", method.to_ascii_lowercase()));
    let header = |name: &str| {
        head.split("\r\n")
            .filter_map(|line| line.split_once(": "))
            .find(|(it, _)| it.eq_ignore_ascii_case(name))
    };
    if shared.locked && header("proxy-authorization").is_none_or(|(_, value)| value != BASIC) {
        return answer(stream, "407 Proxy Authentication Required").await;
    }
    let (authority, path) = match target.strip_prefix("http://") {
        Some(rest) => rest.split_at(rest.find('/')?),
        None => (target, ""),
    };
    if authority.starts_with("refused") {
        return answer(stream, "403 Forbidden").await;
    }
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(80);
    let reached = if authority.starts_with("down") { None } else { reach(port).await };
    let Some(mut site) = reached else { return answer(stream, "502 Bad Gateway").await };
    if path.is_empty() {
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    } else {
        // One request for each connection, so that it needs to read no further one.
        let mut passed = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        let kept = |line: &&str| !line.to_ascii_lowercase().starts_with("proxy-") && !line.is_empty();
        lines.filter(kept).for_each(|line| passed.push_str(&format!("{line}\r\n")));
        site.write_all(format!("{passed}\r\n").as_bytes()).await.ok()?;
    }
    copy_bidirectional(&mut stream, &mut site).await.ok().map(|_| ())
}

async fn socks5(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut methods = vec![0; usize::from(stream.read_u8().await.ok()?)];
    stream.read_exact(&mut methods).await.ok()?;
    let method = if shared.locked { 2 } else { 0 };
    if !methods.contains(&method) {
        return stream.write_all(&[5, 0xff]).await.ok();
    }
    stream.write_all(&[5, method]).await.ok()?;
    if shared.locked {
        let _version = stream.read_u8().await.ok()?;
        let (user, word) = (text(&mut stream).await?, text(&mut stream).await?);
        let status = u8::from((user.as_str(), word.as_str()) != ("user", "word"));
        stream.write_all(&[1, status]).await.ok()?;
        if status != 0 {
            return None;
        }
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.ok()?;
    let host = match head[3] {
        1 => Ipv4Addr::from(stream.read_u32().await.ok()?).to_string(),
        3 => text(&mut stream).await?,
        _ => return None,
    };
    let port = stream.read_u16().await.ok()?;
    shared.note(format!("socks {host}:{port}"));
    let reached = match host.as_str() {
        _ if host.starts_with("refused") => Err(2),
        _ if host.starts_with("down") => Err(4),
        _ => reach(port).await.ok_or(5),
    };
    let reply = reached.as_ref().err().copied().unwrap_or(0);
    stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    copy_bidirectional(&mut stream, &mut reached.ok()?).await.ok().map(|_| ())
}

async fn socks4(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let _connect = stream.read_u8().await.ok()?;
    let port = stream.read_u16().await.ok()?;
    let address = stream.read_u32().await.ok()?;
    let user = line(&mut stream).await?;
    // 0.0.0.x says that a name follows (4a).
    let named = (1..256).contains(&address);
    let host = if named { line(&mut stream).await? } else { Ipv4Addr::from(address).to_string() };
    shared.note(format!("socks {host}:{port}"));
    let reached = match host.as_str() {
        _ if shared.locked && user != "user" => Err(93),
        _ if host.starts_with("refused") || host.starts_with("down") => Err(91),
        _ => reach(port).await.ok_or(91),
    };
    let reply = reached.as_ref().err().copied().unwrap_or(90);
    stream.write_all(&[0, reply, 0, 0, 0, 0, 0, 0]).await.ok()?;
    copy_bidirectional(&mut stream, &mut reached.ok()?).await.ok().map(|_| ())
}

/// Text that ends with a zero.
async fn line(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        match stream.read_u8().await.ok()? {
            0 => return String::from_utf8(text).ok(),
            byte => text.push(byte),
        }
    }
}

async fn text(stream: &mut TcpStream) -> Option<String> {
    let mut text = vec![0; usize::from(stream.read_u8().await.ok()?)];
    stream.read_exact(&mut text).await.ok()?;
    String::from_utf8(text).ok()
}

async fn reach(port: u16) -> Option<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()
}

async fn answer(mut stream: TcpStream, status: &str) -> Option<()> {
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()
}
