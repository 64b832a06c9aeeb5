//! A small website.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, Redirect, Response};
use axum::routing::get;
use tokio::net::TcpListener;

/// A running site that counts its requests.
pub(crate) struct Site {
    addr: SocketAddr,
    hits: Arc<AtomicUsize>,
    _server: mesh::Task<()>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let counter = hits.clone();
        let app = routes().layer(axum::middleware::map_request(move |request: axum::extract::Request| {
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::ready(request)
        }));
        let server = mesh::spawn("site", async move { axum::serve(listener, app).await.unwrap() });
        Self { addr, hits, _server: server }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

const ARTICLE: &str = "<title>Tea</title><main><h1>On tea</h1><p>Tea is a drink that is made by pouring hot water over \
    the leaves of a plant, and a great many people like to drink it in the morning.</p><a href=/next>next</a></main>";
const SHELL: &str = "<!doctype html><title>App</title><div id=root></div>\
    <script>root.innerHTML = '<h1>Rendered</h1><p>' + 'words of the page '.repeat(20) + '</p>'</script>";

fn routes() -> Router {
    Router::new()
        .route("/article", get(|| async { ([("set-cookie", "secret=1")], Html(ARTICLE)) }))
        .route("/moved", get(|| async { Redirect::temporary("/article") }))
        .route("/app", get(|| async { Html(SHELL) }))
        .route("/gone", get(|| async { StatusCode::GONE }))
        .route("/forbidden", get(|| async { StatusCode::FORBIDDEN }))
        .route("/busy", get(|| async { (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "9")]) }))
        .route("/image", get(|| async { ([(header::CONTENT_TYPE, "image/png")], "\u{89}PNG") }))
        .route("/empty", get(|| async { Html("<title></title>") }))
        .route("/hang", get(std::future::pending::<Response>))
        .route("/inside", get(|| async { Redirect::temporary("http://127.0.0.2:9/") }))
}
