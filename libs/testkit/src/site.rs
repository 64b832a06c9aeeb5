//! A small website to crawl, on loopback, that counts its visitors and can misbehave.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode, header},
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinHandle};

/// What a path of the site answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// 200 with this HTML.
    Html(String),
    /// This status with this HTML.
    Status(u16, String),
    /// 302 to this URL.
    Redirect(String),
    /// 200 with this HTML after this time.
    Slow(Duration, String),
    /// 503 for so many visits, then 200 with this HTML.
    Flaky(u32, String),
    /// 200 with these bytes of this type.
    Bytes(&'static str, Vec<u8>),
    /// Nothing, ever.
    Hang,
    /// 200 with this HTML and entity tag; 304 for whoever has it.
    Tagged(&'static str, String),
    /// 200 with a page that shows the headers of the request, a line for each.
    Echo,
    /// 200 with this HTML for who sends this cookie; 401 for others.
    Members(&'static str, String),
    /// This status with these headers and a page that says little.
    Headers(u16, Vec<(&'static str, String)>),
    /// Text with this status and these headers, for so many visits; then 200 with an ordinary page.
    Refuse(u32, u16, Vec<(&'static str, String)>),
}

/// Writes the HTML of a path, if there is such a page.
type Writer = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    writer: Mutex<Option<Writer>>,
    /// How long a page that is written takes.
    pace: Mutex<Duration>,
    hits: Mutex<HashMap<String, u32>>,
    left: Mutex<HashMap<String, u32>>,
    headers: Mutex<HashMap<String, header::HeaderMap>>,
    visits: Mutex<Vec<(String, Instant)>>,
}

/// A running website. `/p/{number}` is always a page; other paths answer what they were given, else 404.
pub struct Site {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Site {
    /// Starts a site on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    /// Starts a site at `addr`.
    #[expect(clippy::disallowed_methods, reason = "a test's own server needs no span")]
    pub async fn start_at(addr: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind(addr).await.expect("because loopback can be bound");
        let addr = listener.local_addr().expect("because it is bound");
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { addr, shared, server }
    }

    /// Its address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// URLs of `count` ordinary pages.
    #[must_use]
    pub fn pages(&self, count: usize) -> Vec<String> {
        (0..count).map(|number| self.url(&format!("/p/{number}"))).collect()
    }

    /// Lets a path answer.
    pub fn set(&self, path: &str, answer: Answer) {
        self.shared.answers.lock().insert(path.to_owned(), answer);
    }

    /// Lets pages be written when they are asked for: a site may be endless. Paths that were given an answer keep it.
    pub fn write(&self, writer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) {
        *self.shared.writer.lock() = Some(Box::new(writer));
    }

    /// Lets pages that are written take so long.
    pub fn pace(&self, time: Duration) {
        *self.shared.pace.lock() = time;
    }

    /// Visits of a path so far.
    #[must_use]
    pub fn hits(&self, path: &str) -> u32 {
        self.shared.hits.lock().get(path).copied().unwrap_or_default()
    }

    /// Visits of a path whose visitor hung up before there was an answer.
    #[must_use]
    pub fn left(&self, path: &str) -> u32 {
        self.shared.left.lock().get(path).copied().unwrap_or_default()
    }

    /// A header of the last visit of a path.
    #[must_use]
    pub fn header(&self, path: &str, name: &str) -> Option<String> {
        let headers = self.shared.headers.lock();
        headers.get(path)?.get(name)?.to_str().ok().map(str::to_owned)
    }

    /// When each path was visited, in the order of the visits; robots.txt is left out.
    #[must_use]
    pub fn visits(&self) -> Vec<(String, Instant)> {
        let visits = self.shared.visits.lock();
        visits.iter().filter(|(path, _)| path != "/robots.txt").cloned().collect()
    }

    /// Visits of all paths so far.
    #[must_use]
    pub fn all_hits(&self) -> u32 {
        self.shared.hits.lock().values().sum()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One who waits for an answer that never comes: dropped when the connection is.
struct Visitor<'a> {
    shared: &'a Shared,
    path: &'a str,
}

impl Drop for Visitor<'_> {
    fn drop(&mut self) {
        *self.shared.left.lock().entry(self.path.to_owned()).or_default() += 1;
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    shared.visits.lock().push((path.clone(), Instant::now()));
    shared.headers.lock().insert(path.clone(), request.headers().clone());
    let visit = {
        let mut hits = shared.hits.lock();
        let hits = hits.entry(path.clone()).or_default();
        *hits += 1;
        *hits
    };
    let given = shared.answers.lock().get(&path).cloned();
    let written = || shared.writer.lock().as_ref().and_then(|writer| writer(&path));
    let pace = *shared.pace.lock();
    let answer = given.or_else(|| written().map(|html| Answer::Slow(pace, html)));
    match answer {
        Some(Answer::Html(html)) => html_response(200, html),
        Some(Answer::Status(status, html)) => html_response(status, html),
        Some(Answer::Redirect(to)) => {
            let mut response = html_response(302, String::new());
            if let Ok(to) = to.parse() {
                response.headers_mut().insert(header::LOCATION, to);
            }
            response
        }
        Some(Answer::Slow(time, html)) => {
            tokio::time::sleep(time).await;
            html_response(200, html)
        }
        Some(Answer::Flaky(times, _)) if visit <= times => html_response(503, "<p>later</p>".into()),
        Some(Answer::Flaky(_, html)) => html_response(200, html),
        Some(Answer::Bytes(kind, bytes)) => {
            let mut response = Response::new(Body::from(bytes));
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            response
        }
        Some(Answer::Refuse(times, status, headers)) if visit <= times => {
            with_headers(html_response(status, "<p>not now</p>".into()), headers)
        }
        Some(Answer::Headers(status, headers)) => {
            with_headers(html_response(status, "<h1>Done</h1><p>That is all there is.</p>".into()), headers)
        }
        Some(Answer::Members(cookie, html)) => {
            let sent = request.headers().get(header::COOKIE).and_then(|value| value.to_str().ok());
            if sent.unwrap_or_default().split("; ").any(|sent| sent == cookie) {
                html_response(200, html)
            } else {
                html_response(401, "<h1>Members only</h1>".into())
            }
        }
        Some(Answer::Refuse(..)) => html_response(200, page(0)),
        Some(Answer::Tagged(tag, html)) => {
            let had = request.headers().get(header::IF_NONE_MATCH).is_some_and(|had| had == tag);
            let mut response = if had { html_response(304, String::new()) } else { html_response(200, html) };
            response.headers_mut().insert(header::ETAG, header::HeaderValue::from_static(tag));
            response
        }
        Some(Answer::Echo) => {
            let line = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
                format!("<p>{name}: {}</p>", value.to_str().unwrap_or_default())
            };
            html_response(200, request.headers().iter().map(line).collect())
        }
        Some(Answer::Hang) => {
            let _visitor = Visitor { shared: &shared, path: &path };
            std::future::pending().await
        }
        None => match path.strip_prefix("/p/").and_then(|number| number.parse::<u32>().ok()) {
            Some(number) => html_response(200, page(number)),
            None => html_response(404, "<h1>Not found</h1>".into()),
        },
    }
}

fn with_headers(mut response: Response<Body>, headers: Vec<(&'static str, String)>) -> Response<Body> {
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn html_response(status: u16, html: String) -> Response<Body> {
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let html = header::HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

/// An ordinary page: a title, navigation, an article that says its number, a footer.
#[must_use]
pub fn page(number: u32) -> String {
    let next = number + 1;
    let article =
        "Crawlers visit pages one by one, read what they find and follow the links that lead on. ".repeat(4);
    format!(
        "<!doctype html><html lang=en><head><title>Page {number}</title></head><body>\
         <nav><a href='/'>Home</a> <a href='/p/{next}'>Next</a></nav>\
         <main><article><h1>Page {number}</h1><p>This is page number {number}.</p><p>{article}</p>\
         <table><tr><th>n</th><th>square</th></tr><tr><td>{number}</td><td>{square}</td></tr></table></article></main>\
         <footer>© nobody</footer></body></html>",
        square = u64::from(number) * u64::from(number)
    )
}
