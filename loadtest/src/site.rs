//! The website that is crawled and the receiver of webhooks, on a thread of its own.
//!
//! Promises: files are read once and then served from memory; `/p/…` is a small page for each path; `/tree/…` a site of pages that
//! link to each other; `/hook` takes
//! webhooks; who comes to `/p/seen/…` or `/hook` is reported with the time, in order of arrival.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, sync::Arc, thread};

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Response, StatusCode, header},
};
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Visits that may wait to be read; further ones are not reported.
const MAX_VISITS: usize = 65_536;
/// Largest webhook that is read, in bytes.
const MAX_HOOK: usize = 1 << 20;
/// Links of a page of `/tree/…`.
const BRANCHES: usize = 10;
/// Where the same files are found without their scripts.
const STATIC: &str = "/static";

/// Somebody came.
#[derive(Debug)]
pub(crate) struct Visit {
    /// The path.
    pub(crate) path: String,
    /// When, on the clock of this process.
    pub(crate) at: Instant,
    /// When, on the clock of the wall.
    pub(crate) time: OffsetDateTime,
    /// The body of a webhook.
    pub(crate) body: Bytes,
}

/// A running site. Dropped, it ends.
pub(crate) struct Site {
    addr: SocketAddr,
    _stop: oneshot::Sender<()>,
}

struct Shared {
    root: Option<PathBuf>,
    files: Mutex<HashMap<String, Bytes>>,
    visits: mpsc::Sender<Visit>,
}

impl Site {
    /// Starts a site that serves the files below `root`, if there is one.
    pub(crate) async fn start(root: Option<PathBuf>) -> anyhow::Result<(Self, mpsc::Receiver<Visit>)> {
        let (visits, visitors) = mpsc::channel(MAX_VISITS);
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = Arc::new(Shared { root, files: Mutex::default(), visits });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("bind the site")?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            let router = Router::new().fallback(answer).with_state(shared);
            tokio::select! {
                _ = axum::serve(listener, router) => {}
                _ = stopped => {}
            }
        };
        thread::Builder::new().name("site".to_owned()).spawn(move || runtime.block_on(serve))?;
        Ok((Self { addr, _stop: stop }, visitors))
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The URL of a file without its scripts.
    pub(crate) fn static_url(&self, path: &str) -> String {
        self.url(&format!("{STATIC}{path}"))
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if path == "/hook" || path.starts_with("/p/seen/") {
        let (at, time) = (Instant::now(), mesh::clock::now());
        let body = axum::body::to_bytes(request.into_body(), MAX_HOOK).await.unwrap_or_default();
        // A full channel means that nobody reads: then nobody misses it.
        let _ = shared.visits.try_send(Visit { path: path.clone(), at, time, body });
    }
    match path.as_str() {
        // The one below the folder speaks for the host that the documentation comes from, not for this one.
        "/robots.txt" => response(StatusCode::NOT_FOUND, "text/plain", Bytes::new()),
        "/hook" => response(StatusCode::NO_CONTENT, "text/plain", Bytes::new()),
        _ if path.starts_with("/p/") => response(StatusCode::OK, "text/html; charset=utf-8", page(&path)),
        _ if path.starts_with("/tree/") => match branch(&path) {
            Some(page) => response(StatusCode::OK, "text/html; charset=utf-8", page),
            None => response(StatusCode::NOT_FOUND, "text/plain", Bytes::new()),
        },
        _ if path.starts_with("/hostile/") => {
            let page = crate::soak::hostile(&path).unwrap_or_default();
            response(StatusCode::OK, "text/html; charset=utf-8", Bytes::from_static(page.as_bytes()))
        }
        _ => match shared.file(&path) {
            Some(bytes) => kept(&path, response(StatusCode::OK, media(&path), bytes)),
            None => response(StatusCode::NOT_FOUND, "text/plain", Bytes::new()),
        },
    }
}

impl Shared {
    fn file(&self, path: &str) -> Option<Bytes> {
        if let Some(bytes) = self.files.lock().get(path) {
            return Some(bytes.clone());
        }
        let root = self.root.as_ref()?;
        let (below, bare) = match path.strip_prefix(STATIC) {
            Some(rest) => (rest, true),
            None => (path, false),
        };
        let file = root.join(below.trim_start_matches('/')).canonicalize().ok()?;
        if !file.starts_with(root) {
            return None;
        }
        let bytes = std::fs::read(file).ok()?;
        let bytes = if bare && path.ends_with(".html") { without_scripts(&bytes) } else { bytes };
        let bytes = Bytes::from(bytes);
        self.files.lock().insert(path.to_owned(), bytes.clone());
        Some(bytes)
    }
}

/// The page with its script elements cut out: what is left changes nothing after loading.
fn without_scripts(html: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(html);
    let mut rest = &*text;
    let mut kept = String::with_capacity(text.len());
    while let Some((before, script)) = rest.split_once("<script") {
        kept.push_str(before);
        rest = script.split_once("</script>").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    // rustdoc reveals its style sheets by these; without scripts they would be errors.
    kept.replace("onload=", "data-onload=").replace("onerror=", "data-onerror=").into_bytes()
}

fn response(status: StatusCode, kind: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// As servers of documentation have it: what a page needs carries a version in its name and may be kept, the page itself is asked for again.
fn kept(path: &str, mut response: Response<Body>) -> Response<Body> {
    let page = path.ends_with(".html");
    let rule = if page { "no-cache" } else { "public, max-age=31536000, immutable" };
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static(rule));
    response
}

fn media(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, kind)| kind) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css",
        Some("js") => "text/javascript",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

fn page(path: &str) -> Bytes {
    linked(path, "<a href='/'>Home</a>")
}

/// `/tree/{size}/{number}`: page of a site of so many pages, of which each links to the next ten that no other links to.
fn branch(path: &str) -> Option<Bytes> {
    let (size, number) = path.strip_prefix("/tree/")?.split_once('/')?;
    let (size, number): (usize, usize) = (size.parse().ok()?, number.parse().ok()?);
    let first = number.checked_mul(BRANCHES)?.checked_add(1)?;
    let links: String = (first..first + BRANCHES)
        .take_while(|child| *child < size)
        .map(|child| format!("<a href='/tree/{size}/{child}'>Page {child}</a> "))
        .collect();
    (number < size).then(|| linked(path, &links))
}

fn linked(path: &str, links: &str) -> Bytes {
    let text =
        "Crawlers visit pages one by one, read what they find and follow the links that lead on. ".repeat(4);
    Bytes::from(format!(
        "<!doctype html><html lang=en><head><title>Page {path}</title></head><body><main><article>\
         <h1>Page {path}</h1><p>{text}</p><p>{links}</p></article></main></body></html>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Connection;

    #[tokio::test]
    async fn it_serves_its_files_and_no_others_and_reports_visits() {
        let folder = tempfile::tempdir().expect("because the temporary folder can be written");
        let root = folder.path().join("root");
        std::fs::create_dir(&root).expect("because the folder is ours");
        let root = root.canonicalize().expect("because it was made");
        std::fs::write(root.join("a.html"), "<p>a<script src=x></script>b").expect("because it is ours");
        std::fs::write(folder.path().join("secret"), "s").expect("because it is ours");
        let (site, mut visits) = Site::start(Some(root)).await.expect("because loopback can be bound");
        let mut connection = Connection::open(site.addr, "").await.expect("because the site listens");
        for (path, status, body) in [
            ("/a.html", 200, "<p>a<script src=x></script>b"),
            ("/static/a.html", 200, "<p>ab"),
            ("/../secret", 404, ""),
            ("/b.html", 404, ""),
            ("/hook", 204, ""),
        ] {
            let answer = connection.post(path, Bytes::new()).await.expect("because the site answers");
            assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()), "{path}");
        }
        let first = connection.get("/tree/12/0").await.expect("because the site answers");
        assert_eq!(String::from_utf8_lossy(&first.body).matches("/tree/12/").count(), 10 + 2);
        for (path, links) in [("/tree/12/1", 1), ("/tree/12/2", 0)] {
            let page = connection.get(path).await.expect("because the site answers");
            assert_eq!(
                String::from_utf8_lossy(&page.body).matches("href='/tree/12/").count(),
                links,
                "{path}"
            );
        }
        let page = connection.get("/p/seen/1").await.expect("because the site answers");
        assert!(page.status == 200 && page.body.len() > 300);
        for expected in ["/hook", "/p/seen/1"] {
            assert_eq!(visits.recv().await.map(|visit| visit.path).as_deref(), Some(expected));
        }
    }
}
