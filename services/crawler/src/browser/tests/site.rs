//! A website for the tests: each path is a trap, or a page.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::net::TcpListener;

/// A running site. It counts what reaches it.
pub(super) struct Site {
    addr: SocketAddr,
    hits: Arc<AtomicUsize>,
    paths: Arc<Mutex<HashSet<String>>>,
    _server: mesh::Task<()>,
}

#[derive(Deserialize)]
struct To {
    to: String,
}

impl Site {
    /// A site at this address of loopback.
    pub(super) async fn start(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let paths = Arc::new(Mutex::new(HashSet::new()));
        let (counter, log) = (hits.clone(), paths.clone());
        let app = routes().layer(axum::middleware::map_request(move |request: axum::extract::Request| {
            counter.fetch_add(1, Ordering::SeqCst);
            log.lock().insert(request.uri().path().to_owned());
            std::future::ready(request)
        }));
        let server = mesh::spawn("site", async move {
            axum::serve(listener, app).await.unwrap();
        });
        Self { addr, hits, paths, _server: server }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(super) fn was_asked(&self, path: &str) -> bool {
        self.paths.lock().contains(path)
    }

    pub(super) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

fn html(body: &'static str) -> axum::routing::MethodRouter {
    get(move || std::future::ready(Html(body)))
}

fn routes() -> Router {
    let script = |code: &str| Html(format!("<title>t</title><h1>before</h1><script>{code}</script>"));
    Router::new()
        .route("/plain", html("<title>Plain</title><h1>hello</h1>"))
        .route("/js", html("<div id=root></div><script>setTimeout(() => { root.textContent = 'ren' + 'dered' }, 100)</script>"))
        .route("/fetches", html("<p id=p></p><script>setTimeout(() => fetch('/slow').then(r => r.text()).then(t => p.textContent = t), 200)</script>"))
        .route("/slow", get(|| async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            "slow answer"
        }))
        .route("/cookie", html("<script>document.cookie = 'a=1; path=/'</script>"))
        .route("/cookies", get(|headers: axum::http::HeaderMap| async move {
            let cookie = headers.get(header::COOKIE).map_or("none".to_owned(), |c| c.to_str().unwrap().to_owned());
            Html(format!("<h1>cookie {cookie}</h1>"))
        }))
        .route("/login", get(|uri: axum::http::Uri| async move {
            let session = if uri.query().is_some() { "session=2; Path=/; HttpOnly" } else { "session=1; Path=/; HttpOnly" };
            ([(header::SET_COOKIE, session)], Html("<h1>in</h1>"))
        }))
        .route("/loop", html("<h1>x</h1><script>while (true) {}</script>"))
        .route("/leaves-at-its-end", html("<h1>x</h1><script>onbeforeunload = onpagehide = () => { location = '/json'; fetch('/json') }</script>"))
        .route("/leaves-always", html("<h1>x</h1><script>setTimeout(() => setInterval(() => { location = '/json?' + Math.random() }, 1), 450)</script>"))
        .route("/asks-at-its-end", html("<h1>x</h1><script>onbeforeunload = () => { alert(1); return confirm(2) }</script>"))
        .route("/beats", html("<h1>beats</h1><script>setInterval(() => fetch('/data'), 600)</script>"))
        .route("/hangs-at-its-end", html("<h1>x</h1><script>onpagehide = () => { while (true) {} }</script>"))
        .route("/busy", html("<h1>x</h1><script>setInterval(() => { const t = Date.now(); while (Date.now() - t < 50) {} }, 1)</script>"))
        .route("/alert", html("<script>alert(1); confirm(2); prompt(3)</script><h1>after</h1>"))
        .route("/alerts", html("<h1>x</h1><script>while (true) alert(1)</script>"))
        .route("/leave", html("<script>onbeforeunload = e => { e.preventDefault(); return 'stay' }</script><h1>leave</h1>"))
        .route("/popups", html("<script>for (let i = 0; i < 50; i++) window.open('/plain?' + i)</script><h1>popups</h1>"))
        .route("/frames", html("<iframe src=/plain></iframe><h1>frames</h1>"))
        .route("/bigdom", html("<body><script>document.body.append('x'.repeat(3e6))</script>"))
        .route("/manynodes", html("<body><script>for (let i = 0; i < 6e5; i++) document.body.append(document.createElement('b'))</script>"))
        .route("/memory", html("<script>const a = []; while (true) a.push(new Array(1e6).fill({}))</script>"))
        .route("/requests", html("<script>for (let i = 0; i < 400; i++) fetch('/plain?' + i)</script>"))
        .route("/tamper", html("<h1>real</h1><script>Object.defineProperty(document.documentElement, 'outerHTML', { get() { return 'forged' } })</script>"))
        .route("/download", get(|| async { ([(header::CONTENT_DISPOSITION, "attachment; filename=x.bin")], vec![0u8; 1000]) }))
        .route("/later-download", html("<h1>stays</h1><script>location = '/download'</script>"))
        .route("/jsredirect", html("<script>location = '/plain'</script>"))
        .route("/metaredirect", html("<meta http-equiv=refresh content='0; url=/plain'>"))
        .route("/jsloop", html("<script>location = '/jsloop?' + Math.random()</script>"))
        .route("/blobpage", html("<script>location = URL.createObjectURL(new Blob(['x'], {type: 'text/html'}))</script>"))
        .route("/loopredirect", get(|| async { Redirect::temporary("/loopredirect") }))
        .route("/redirect", get(|| async { Redirect::temporary("/plain") }))
        .route("/to", get(|Query(to): Query<To>| async move { Redirect::temporary(&to.to) }))
        .route("/jsto", get(move |Query(to): Query<To>| async move { script(&format!("location = '{}'", to.to)) }))
        .route("/framing", get(|Query(to): Query<To>| async move { framing(&to.to) }))
        .route("/swallow", html("<p>in the frame</p><script>document.body.append(document.createElement('plaintext'))</script>"))
        .route("/canary", get(|Query(to): Query<To>| async move { canary(&to.to) }))
        .route("/204", get(|| async { StatusCode::NO_CONTENT }))
        .route("/404", get(|| async { (StatusCode::NOT_FOUND, Html("<h1>nope</h1>")) }))
        .route("/404empty", get(|| async { StatusCode::NOT_FOUND }))
        .route("/500empty", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/429", get(|| async { (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "7")]) }))
        .route("/json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], "{\"a\": [1, 2]}") }))
        .route("/text", get(|| async { ([(header::CONTENT_TYPE, "text/plain")], "a < b") }))
        .route("/image", get(|| async { ([(header::CONTENT_TYPE, "image/png")], PNG) }))
        .route("/pdf", get(|| async { ([(header::CONTENT_TYPE, "application/pdf")], "%PDF-1.4") }))
        .route("/hang", get(std::future::pending::<Response>))
        .route("/asset-hangs", html("<img src=/hang><h1>x</h1>"))
        .route("/late", html("<h1>x</h1><script>setTimeout(() => { document.body.innerHTML += '<p id=late>late words</p>'; window.ready = true }, 1500)</script>"))
        .route("/form", html("<input id=q><button id=b>go</button><p id=p></p><script>b.onclick = () => fetch('/slow').then(r => r.text()).then(t => p.textContent = q.value + ': ' + t); q.onkeydown = e => { if (e.key == 'Enter') document.title = 'entered' }</script>"))
        .route("/lazy", html("<body style='margin:0'><div style='height:3000px'>top</div><script>let n = 0; onscroll = () => { if (n < 3 && scrollY + innerHeight > document.body.scrollHeight - 50) { n++; document.body.insertAdjacentHTML('beforeend', `<div style='height:1500px'>part ${n}</div>`) } }</script>"))
        .route("/virtual", html("<div id=list style='height:100px;overflow:auto'><div id=in style='height:2000px;position:relative'></div></div><script>const draw = () => { const from = Math.floor(list.scrollTop / 20); let h = ''; for (let i = from; i < Math.min(100, from + 6); i++) h += `<p style='position:absolute;top:${i * 20}px'>item ${i}.</p>`; document.getElementById('in').innerHTML = h }; list.onscroll = draw; draw()</script>"))
        .route("/overlay", html("<nav style='position:fixed;top:0;height:40px'>menu</nav><main><h1>words</h1></main><div style='position:fixed;inset:0;background:#000'>subscribe now</div><div id=onetrust-consent-sdk>we value cookies<button id=onetrust-reject-all-handler onclick='document.title = 1'>no</button></div>"))
        .route("/nested", html("<x-card><b>slotted</b></x-card><iframe src=/plain></iframe><script>customElements.define('x-card', class extends HTMLElement { connectedCallback() { this.attachShadow({mode: 'open'}).innerHTML = '<p>from the shadow: <slot></slot> &amp; more</p>' } })</script>"))
        .route("/echo", get(|headers: axum::http::HeaderMap| async move {
            let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
            Html(format!("<pre>{}</pre>", lines.join("\n")))
        }))
        .route("/env", html("<pre id=p></pre><script>const w = t => p.textContent += t + '\\n'; w('zone ' + Intl.DateTimeFormat().resolvedOptions().timeZone); w('language ' + navigator.language + ' ' + (1.5).toLocaleString()); w('size ' + innerWidth + 'x' + innerHeight + '@' + devicePixelRatio); w('stored ' + localStorage.getItem('k')); navigator.geolocation.getCurrentPosition(g => w('place ' + g.coords.latitude + ' ' + g.coords.longitude), e => w('no place'))</script>"))
        .route("/pictures", html("<img id=i src=/pixel onerror='document.title = \"broken\"'><video src=/film></video><link rel=stylesheet href=/style.css><h1>pictures</h1>"))
        .route("/ads", html("<h1 id=h>words</h1><script src=/tag.js?q=1></script><img src=/adimage/1 onerror='document.title = \"broken\"'><iframe src=/adframe></iframe><script>fetch('/beacon').catch(() => 0); fetch('/data').then(r => r.text()).then(t => h.textContent += ' ' + t)</script>"))
        .route("/ads-from", get(|Query(to): Query<To>| async move {
            Html(format!("<h1>words</h1><script src='{0}/tag.js'></script><script src='/own.js'></script>", to.to))
        }))
        .route("/data", get(|| async { "and data" }))
        .route("/pixel", get(|| async { ([(header::CONTENT_TYPE, "image/png")], PNG) }))
        .route("/film", get(|| async { ([(header::CONTENT_TYPE, "video/mp4")], "no film") }))
        .route("/style.css", get(|| async { ([(header::CONTENT_TYPE, "text/css")], "h1 { color: red }") }))
        .route("/noisy", html("<h1>noisy</h1><script>console.log('hello', {a: 1}, 7); fetch('/plain?q=1'); throw new Error('thrown')</script>"))
        .route("/canvas", html("<h1>canvas</h1><canvas id=c width=5000 height=5000></canvas><script>const x = c.getContext('2d'); x.fillRect(0, 0, 5000, 5000)</script>"))
        .route("/beforeunload", html("<h1>x</h1><script>onbeforeunload = e => { e.preventDefault(); return 'stay' }; setInterval(() => { location = '/plain?' + Math.random() }, 10)</script>"))
        .route("/many", html("<h1 id=h>x</h1><script>Promise.all([...Array(150).keys()].map(n => fetch('/plain?' + n))).then(all => h.textContent = 'all ' + all.length)</script>"))
        .route("/storm", html("<h1>storm</h1><script>for (let i = 0; i < 1000; i++) window.open('/plain?' + i); for (let i = 0; i < 300; i++) document.body.append(document.createElement('iframe')); for (let i = 0; i < 50; i++) { const a = document.createElement('a'); a.href = '/download?' + i; a.download = 'x'; a.click() } for (let i = 0; i < 5; i++) print()</script>"))
        .route("/leak", html("<h1>leak</h1><script>window.kept = []; for (let i = 0; i < 32; i++) kept.push(new Uint8Array(10 << 20).fill(i))</script>"))
        .route("/tall", html("<body style='margin:0'><div style='height:4000px;background:linear-gradient(red,blue)'>tall</div>"))
        .route("/huge", html("<body style='margin:0'><div style='height:400000px'>huge</div>"))
        .route("/websocket", html("<h1>ws</h1><script>new EventSource('/hang')</script>"))
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

/// A page with a frame for each of these URLs.
fn framing(urls: &str) -> Html<String> {
    let frames: String = urls.split('|').map(|url| format!("<iframe src='{url}'></iframe>")).collect();
    Html(format!("<h1>framing</h1>{frames}<p>after the frames</p>"))
}

/// Every way out that a page knows.
fn canary(to: &str) -> Response {
    let socket = to.replacen("http", "ws", 1);
    Html(format!(
        "<link rel=preload as=image href={to}/preload><link rel=prefetch href={to}/prefetch>\
         <link rel=preconnect href={to}><link rel=stylesheet href={to}/css>\
         <img src={to}/img><iframe src={to}/frame></iframe><object data={to}/object></object>\
         <video src={to}/video></video><form id=f action={to}/form method=post target=_blank></form>\
         <script>
           fetch('{to}/fetch', {{mode: 'no-cors'}}).catch(() => 0);
           new WebSocket('{socket}/socket');
           new EventSource('{to}/events');
           navigator.sendBeacon('{to}/beacon', 'x');
           new Worker(URL.createObjectURL(new Blob([\"fetch('{to}/worker', {{mode: 'no-cors'}})\"])));
           f.submit();
           window.open('{to}/popup');
           const i = new XMLHttpRequest(); i.open('GET', '{to}/xhr'); i.send();
           const pc = new RTCPeerConnection({{iceServers: [{{urls: 'stun:' + '{to}'.split('//')[1]}}]}});
           pc.createDataChannel('x'); pc.createOffer().then(o => pc.setLocalDescription(o));
         </script><script src={to}/script></script><h1>canary</h1>"
    ))
    .into_response()
}
