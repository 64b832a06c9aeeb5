//! How pages are asked for: headers and cookies for the hosts of a job and nobody else, and pages that are used again.

use serde_json::{Value, json};
use testkit::{Mesh, Site, site::Answer};

async fn run(mesh: &Mesh, url: &str, fetch: Value) -> (Value, Value) {
    let body = json!({"urls": [url], "config": {"render": "HTTP", "fetch": fetch}});
    let job = mesh.rest.post("/v1/crawl-jobs?wait=30s", &body).await;
    assert_eq!((job.status, &job.json["counts"]["succeeded"]), (200, &json!(1)), "{}", job.text);
    let name = job.json["name"].as_str().unwrap_or_default();
    let documents = mesh.rest.get(&format!("/v1/{name}/documents")).await;
    (job.json, documents.json["documents"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_cookies_go_to_the_hosts_of_the_job() {
    let (mesh, site, other) = (Mesh::start().await, Site::start().await, Site::start().await);
    site.set("/echo", Answer::Echo);
    other.set("/echo", Answer::Echo);
    site.set("/away", Answer::Redirect(other.url("/echo")));
    let fetch = json!({
        "headers": {"X-Of-Mine": "sesame"},
        "cookies": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}],
        "user_agent": "mine/1.0",
    });
    let (job, document) = run(&mesh, &site.url("/echo"), fetch.clone()).await;
    let text = document["text"].as_str().unwrap_or_default();
    for line in ["x-of-mine: sesame", "cookie: a=1; b=2", "user-agent: mine/1.0"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let shown = &job["config"]["fetch"];
    assert_eq!(
        (&shown["headers"]["x-of-mine"], &shown["cookies"][1]["value"]),
        (&json!("***"), &json!("***"))
    );
    assert_eq!((&shown["hosts"], &shown["user_agent"]), (&json!(["127.0.0.1"]), &json!("mine/1.0")));

    let (_, document) = run(&mesh, &site.url("/away"), fetch.clone()).await;
    let text = document["text"].as_str().unwrap_or_default();
    assert!(text.contains("user-agent: mine/1.0"), "{text}");
    assert!(!text.contains("sesame") && !text.contains("cookie"), "another origin gets neither: {text}");

    let mut elsewhere = fetch.clone();
    elsewhere["hosts"] = json!(["example.org"]);
    let (_, document) = run(&mesh, &site.url("/echo"), elsewhere).await;
    assert!(!document["text"].as_str().unwrap_or_default().contains("sesame"));

    let keys = json!({"api_key": {"display_name": "plain", "scopes": ["jobs:read", "jobs:write"]}});
    let key = mesh.rest.post("/v1/api-keys", &keys).await.json["secret"].clone();
    for (part, scope) in
        [("headers", "headers:set"), ("cookies", "cookies:set"), ("user_agent", "headers:set")]
    {
        let body = json!({"urls": [site.url("/echo")], "config": {"fetch": {part: fetch[part]}}});
        let refused = mesh.rest.with_key(key.as_str()).post("/v1/crawl-jobs", &body).await;
        assert_eq!((refused.status, refused.reason()), (403, "MISSING_PERMISSION"), "{}", refused.text);
        assert!(refused.text.contains(scope), "{}", refused.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_page_is_used_again() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site.set("/doc", Answer::Tagged("\"v1\"", testkit::site::page(1)));
    let url = site.url("/doc");
    let (_, plain) = run(&mesh, &url, json!({})).await;
    let (_, first) = run(&mesh, &url, json!({"cache": {"max_age": "3600s"}})).await;
    assert_eq!((&plain["from_cache"], &first["from_cache"]), (&json!(false), &json!(false)));
    assert_eq!(site.hits("/doc"), 2, "a job without the option fills no cache");

    let (job, again) = run(&mesh, &url, json!({"cache": {"max_age": "3600s"}})).await;
    assert_eq!((&job["verdicts"], site.hits("/doc")), (&json!({"ok": 1}), 2), "the site is not asked");
    assert_eq!((&again["from_cache"], &again["http_status"]), (&json!(true), &json!(200)));
    assert_eq!((&again["markdown"], &again["title"]), (&first["markdown"], &json!("Page 1")));
    assert_eq!(
        again["fetch_time"].as_str().map(|it| &it[..19]),
        first["fetch_time"].as_str().map(|it| &it[..19])
    );

    let (job, same) = run(&mesh, &url, json!({"cache": {"max_age": "0s"}})).await;
    assert_eq!((&job["verdicts"], site.hits("/doc")), (&json!({"not_modified": 1}), 3), "the site is asked");
    assert_eq!((&same["from_cache"], &same["markdown"]), (&json!(true), &first["markdown"]));
    assert_eq!((&same["verdict"], &same["detail"]), (&json!("NOT_MODIFIED"), &json!("HTTP 304")));

    site.set("/doc", Answer::Tagged("\"v2\"", testkit::site::page(2)));
    let (_, new) = run(&mesh, &url, json!({"cache": {"max_age": "0s"}})).await;
    assert_eq!((&new["from_cache"], &new["title"]), (&json!(false), &json!("Page 2")));
    let (_, kept) = run(&mesh, &url, json!({"cache": {"max_age": "3600s"}})).await;
    assert_eq!((&kept["from_cache"], &kept["title"], site.hits("/doc")), (&json!(true), &json!("Page 2"), 4));

    let cookies = json!({"cache": {"max_age": "3600s"}, "cookies": [{"name": "a", "value": "1"}]});
    let (_, mine) = run(&mesh, &url, cookies).await;
    assert_eq!(mine["from_cache"], json!(false), "under other cookies it is another page");
}
