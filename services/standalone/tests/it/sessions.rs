//! Sessions: one job logs in, others read what is behind the login, in both lanes; nobody else sees anything of it.

use domain::Service;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Clients, Mesh, Rest, Site, eventually, rest::send, site::Answer};

/// What the site gives to who has logged in; it must show nowhere.
const COOKIE: &str = "sid=s3cr3t-value";

/// A site with a login, and a page behind it that counts visits in its local storage.
async fn members() -> Site {
    let site = Site::start().await;
    let login = |to: &str| {
        let cookie = format!("{COOKIE}; Path=/; HttpOnly; SameSite=Lax");
        Answer::Headers(302, vec![("set-cookie", cookie), ("location", to.to_owned())])
    };
    site.set("/login", login("/private"));
    site.set("/form", Answer::Html(
        "<!doctype html><form action=/login method=post><input id=user name=user><button id=go>Log in</button></form>".into(),
    ));
    let words = "Only members read these words. ".repeat(20);
    let count = "localStorage.visits = (+localStorage.visits || 0) + 1; visits.textContent = 'visit ' + localStorage.visits";
    let private =
        format!("<!doctype html><h1>Welcome</h1><p>{words}</p><p id=visits></p><script>{count}</script>");
    site.set("/private", Answer::Members(COOKIE, private));
    site.set("/logout", Answer::Headers(200, vec![("set-cookie", "sid=; Path=/; Max-Age=0".to_owned())]));
    let forget = "<!doctype html><h1>Gone</h1><p>Nothing is known of you.</p><script>localStorage.clear(); if (!location.hash) location = '/forget?again#x'</script>";
    site.set("/forget", Answer::Html(forget.into()));
    site
}

async fn run(rest: &Rest, urls: &[String], config: Value) -> Value {
    let job = rest.post("/v1/crawl-jobs?wait=60s", &json!({"urls": urls, "config": config})).await;
    assert!(job.status == 200 && job.json["state"] != "RUNNING", "{}", job.text);
    assert!(!job.text.contains("s3cr3t"), "{}", job.text);
    job.json
}

/// The verdict on a page that is read in a session, and its text.
async fn read(rest: &Rest, url: String, render: &str, session: &str) -> (String, String) {
    let config = json!({"render": render, "max_attempts": 1, "session": {"name": session}});
    let job = run(rest, &[url], config).await;
    let name = job["name"].as_str().unwrap_or_default();
    let page = rest.get(&format!("/v1/{name}/pages")).await.json["pages"][0].clone();
    let documents = rest.get(&format!("/v1/{name}/documents")).await;
    assert!(!documents.text.contains("s3cr3t"), "{}", documents.text);
    let document = &documents.json["documents"][0];
    if !document.is_null() {
        assert_eq!(document["session"], json!(format!("sessions/{session}")));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&page["verdict"]), text(&document["markdown"]))
}

async fn delete(rest: &Rest, name: &str) -> testkit::rest::Answer {
    send(rest.request(Method::DELETE, &format!("/v1/sessions/{name}"))).await
}

async fn session(rest: &Rest, name: &str) -> Value {
    let answer = rest.get(&format!("/v1/sessions/{name}")).await;
    assert!(!answer.text.contains("s3cr3t"), "{}", answer.text);
    answer.json
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_logs_in_and_another_reads_what_is_behind_the_login() {
    let (mesh, site) = (Mesh::start().await, members().await);
    let rest = &mesh.rest;
    let private = || site.url("/private");
    assert_eq!(read(rest, private(), "HTTP", "shop").await.0, "HTTP_ERROR");
    assert_eq!(read(rest, site.url("/login"), "HTTP", "shop").await.0, "OK");
    let (verdict, text) = read(rest, private(), "HTTP", "shop").await;
    assert!(verdict == "OK" && text.contains("# Welcome"), "{verdict} {text}");
    let shown = session(rest, "shop").await;
    assert_eq!(
        (&shown["name"], &shown["cookies"], &shown["ttl"]),
        (&json!("sessions/shop"), &json!(1), &json!("600s"))
    );

    // Without it, or under another name, nobody is logged in; the browser is, with the same cookie.
    assert_eq!(read(rest, private(), "HTTP", "other").await.0, "HTTP_ERROR");
    let (verdict, text) = read(rest, private(), "BROWSER", "shop").await;
    assert!(verdict == "OK" && text.contains("visit 1"), "{verdict} {text}");
    let (_, text) = read(rest, private(), "BROWSER", "shop").await;
    assert!(text.contains("visit 2"), "the storage of the page before is there: {text}");
    assert_eq!(session(rest, "shop").await["origins"], 1);

    // What a page takes away is gone for the next, also where the tab went on before it ended.
    assert_eq!(read(rest, site.url("/forget"), "BROWSER", "shop").await.0, "OK");
    assert_eq!(session(rest, "shop").await["origins"], 0);
    assert_eq!(read(rest, site.url("/logout"), "HTTP", "shop").await.0, "OK");
    assert_eq!(session(rest, "shop").await["cookies"], 0);
    assert_eq!(read(rest, private(), "BROWSER", "shop").await.0, "HTTP_ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_by_a_form_in_the_browser_is_kept_with_what_it_stored() {
    let (mesh, site, other) = (Mesh::start().await, members().await, Site::start().await);
    let rest = &mesh.rest;
    let actions = json!([
        {"type": {"selector": "#user", "text": "me"}}, {"click": {"selector": "#go"}}, {"wait_for_selector": "#visits"}
    ]);
    let config = json!({"render": "BROWSER", "session": {"name": "form"}, "browser": {"actions": actions}});
    let job = run(rest, &[site.url("/form")], config).await;
    assert_eq!(job["verdicts"], json!({"ok": 1}), "{job:#}");
    let (verdict, text) = read(rest, site.url("/private"), "BROWSER", "form").await;
    assert!(verdict == "OK" && text.contains("visit 2"), "{verdict} {text}");
    assert_eq!(read(rest, site.url("/private"), "HTTP", "form").await.0, "OK", "and over plain HTTP");

    // A page that goes on to another site leaves what it stored on both.
    let on = format!("<script>localStorage.left = 'here'; location = '{}'</script>", site.url("/private"));
    other.set("/on", Answer::Html(on));
    other.set(
        "/left",
        Answer::Html(
            "<!doctype html><h1 id=h></h1><script>h.textContent = 'left ' + localStorage.left</script>"
                .into(),
        ),
    );
    let (verdict, text) = read(rest, other.url("/on"), "BROWSER", "form").await;
    assert!(verdict == "OK" && text.contains("visit 3"), "{verdict} {text}");
    let (_, text) = read(rest, other.url("/left"), "BROWSER", "form").await;
    assert!(text.contains("left here"), "{text}");
    assert_eq!(session(rest, "form").await["origins"], 2);
    assert_eq!(other.hits("/"), 0, "storage is read and written without asking the site");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_one_job_that_run_together_all_leave_their_cookies() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let mut urls = Vec::new();
    for number in 0..12 {
        let path = format!("/set/{number}");
        site.set(&path, Answer::Headers(200, vec![("set-cookie", format!("c{number}=1; Path=/"))]));
        urls.push(site.url(&path));
    }
    let job = run(&mesh.rest, &urls, json!({"render": "HTTP", "session": {"name": "many"}})).await;
    assert_eq!(job["verdicts"], json!({"ok": 12}), "{job:#}");
    assert_eq!(session(&mesh.rest, "many").await["cookies"], 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_its_tenants_and_needs_its_scope() {
    let (mesh, site) = (Mesh::start().await, members().await);
    let other: Clients = mesh.new_tenant("other").await;
    assert_eq!(read(&mesh.rest, site.url("/login"), "HTTP", "shop").await.0, "OK");
    let missing = other.rest.get("/v1/sessions/shop").await;
    assert_eq!((missing.status, missing.reason()), (404, "SESSION_NOT_FOUND"), "{}", missing.text);
    assert_eq!(read(&other.rest, site.url("/private"), "HTTP", "shop").await.0, "HTTP_ERROR");
    assert_eq!(session(&other.rest, "shop").await["cookies"], 0);
    assert_eq!(read(&mesh.rest, site.url("/private"), "HTTP", "shop").await.0, "OK");

    let keys = json!({"api_key": {"display_name": "plain", "scopes": ["jobs:read", "jobs:write"]}});
    let key = mesh.rest.post("/v1/api-keys", &keys).await.json["secret"].clone();
    let plain = mesh.rest.with_key(key.as_str());
    let submit = |name: &str, ttl: &str| json!({"urls": [site.url("/p/1")], "config": {"session": {"name": name, "ttl": ttl}}});
    for refused in [
        plain.post("/v1/crawl-jobs", &submit("shop", "60s")).await,
        plain.get("/v1/sessions").await,
        plain.get("/v1/sessions/shop").await,
        delete(&plain, "shop").await,
    ] {
        assert_eq!((refused.status, refused.reason()), (403, "MISSING_PERMISSION"), "{}", refused.text);
        assert!(refused.text.contains("session:use"), "{}", refused.text);
    }
    for (name, ttl, field, reason) in [
        ("a b", "60s", "config.session.name", "INVALID_NAME"),
        ("a", "29s", "config.session.ttl", "OUT_OF_RANGE"),
    ] {
        let refused = mesh.rest.post("/v1/crawl-jobs", &submit(name, ttl)).await;
        assert_eq!((refused.status, refused.reason()), (400, reason), "{}", refused.text);
        assert!(refused.text.contains(field), "{}", refused.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_time_or_when_it_is_deleted() {
    let mesh = Mesh::builder().set(Service::Job, "[sessions]\nmin_ttl = \"1s\"").start().await;
    let (rest, site) = (&mesh.rest, members().await);
    let config = json!({"render": "HTTP", "session": {"name": "short", "ttl": "1s"}});
    run(rest, &[site.url("/login")], config).await;
    let status = async || rest.get("/v1/sessions/short").await.status;
    eventually(status, |status| *status == 404).await;
    assert_eq!(read(rest, site.url("/private"), "HTTP", "short").await.0, "HTTP_ERROR");

    read(rest, site.url("/login"), "HTTP", "long").await;
    let list = rest.get("/v1/sessions").await.json;
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(2), "{list:#}");
    assert_eq!(delete(rest, "long").await.status, 200);
    let again = delete(rest, "long").await;
    assert_eq!((again.status, again.reason()), (404, "SESSION_NOT_FOUND"), "{}", again.text);
    assert_eq!(read(rest, site.url("/private"), "HTTP", "long").await.0, "HTTP_ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_full_is_the_verdict_on_the_page() {
    let small = "[sessions]\nmax_per_tenant = 1\nmax_cookies = 2";
    let mesh = Mesh::builder().set(Service::Result, small).start().await;
    let (rest, site) = (&mesh.rest, Site::start().await);
    let cookies = (0..3).map(|number| ("set-cookie", format!("c{number}=1"))).collect();
    site.set("/cookies", Answer::Headers(200, cookies));
    for (session, detail) in [
        ("one", "session: its state would have 3 cookies, more than 2"),
        ("two", "session: 1 sessions are kept already, the most of a tenant"),
    ] {
        for render in ["HTTP", "BROWSER"] {
            let config = json!({"render": render, "session": {"name": session}});
            let job = run(rest, &[site.url("/cookies")], config).await;
            let name = job["name"].as_str().unwrap_or_default();
            let page = rest.get(&format!("/v1/{name}/pages")).await.json["pages"][0].clone();
            assert_eq!(
                (&page["verdict"], &page["detail"]),
                (&json!("TOO_LARGE"), &json!(detail)),
                "{render}"
            );
        }
    }
    assert_eq!(session(rest, "one").await["cookies"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn crawl4ais_session_id_is_the_session_of_the_job() {
    let (mesh, site) = (Mesh::start().await, members().await);
    let crawl = async |path: &str| {
        let config = json!({"type": "CrawlerRunConfig", "params": {"session_id": "mine"}});
        let body = json!({"urls": [site.url(path)], "crawler_config": config});
        let accepted = mesh.rest.post("/crawl/job", &body).await;
        assert_eq!(
            (accepted.status, &accepted.json["ignored_fields"]),
            (202, &json!([])),
            "{}",
            accepted.text
        );
        let task = accepted.json["task_id"].as_str().unwrap_or_default().to_owned();
        let ask = async || mesh.rest.get(&format!("/crawl/job/{task}")).await.json;
        eventually(ask, |answer: &Value| answer["status"] != "processing").await["result"]["results"][0]
            .clone()
    };
    crawl("/login").await;
    let result = crawl("/private").await;
    assert_eq!((&result["success"], &result["session_id"]), (&json!(true), &json!("mine")), "{result:#}");
    let bad = json!({"urls": [site.url("/")], "crawler_config": {"session_id": "not/a/name"}});
    let refused = mesh.rest.post("/crawl/job", &bad).await;
    assert_eq!((refused.status, refused.reason()), (400, "INVALID_NAME"), "{}", refused.text);
    assert!(refused.text.contains("crawler_config.session_id"), "{}", refused.text);
}
