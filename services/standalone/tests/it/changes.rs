//! Change detection through the whole mesh: a site that changes between two crawls, the lists, the diff, the webhook.

use serde_json::{Value, json};
use testkit::{Inbox, Mesh, Site, eventually, site::Answer};

fn html(name: &str, price: u32, links: &[&str]) -> Answer {
    let words: String = (0..60).map(|n| format!("{name}word{n} ")).collect();
    let links: String = links.iter().map(|link| format!("<a href='{link}'>to {link}</a> ")).collect();
    Answer::Html(format!(
        "<html><head><title>{name}</title></head><body><main><h1>{name}</h1><p>{words}</p>\
         <p>The price of {name} is {price} crowns today.</p>{links}</main></body></html>"
    ))
}

async fn crawl(mesh: &Mesh, seed: &str, max_pages: u32, more: &Value) -> Value {
    let mut body = json!({
        "urls": [seed],
        "config": {"render": "HTTP", "deep_crawl": {"max_pages": max_pages, "sitemaps": "SKIP"}},
    });
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    let answer = mesh.rest.post("/v1/crawl-jobs?wait=50s", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let name = answer.json["name"].as_str().expect("because it has a name").to_owned();
    mesh.ended(&name).await;
    mesh.rest.get(&format!("/v1/{name}")).await.json
}

async fn pages(mesh: &Mesh, job: &Value, change: &str) -> Vec<Value> {
    let path = format!("/v1/{}/pages?change={change}", job["name"].as_str().unwrap_or_default());
    let answer = mesh.rest.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json["pages"].as_array().cloned().unwrap_or_default()
}

fn ends(pages: &[Value]) -> Vec<&str> {
    pages.iter().filter_map(|page| page["url"].as_str()?.rsplit('/').next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_changes_is_told_page_by_page_with_its_diff() {
    let (mesh, site, inbox) = (Mesh::start().await, Site::start().await, Inbox::start().await);
    site.set("/home", html("home", 1, &["/kept", "/dear", "/lost", "/left"]));
    for name in ["kept", "dear", "lost", "left"] {
        site.set(&format!("/{name}"), html(name, 10, &[]));
    }
    let before = crawl(&mesh, &site.url("/home"), 100, &json!({})).await;
    assert_eq!(before["counts"]["succeeded"], 5, "{before}");

    // One page is dearer, one answers 404, one is not linked any more, one is new; the start page is changed by its links' texts.
    site.set("/home", html("home", 1, &["/kept", "/dear", "/lost", "/fresh"]));
    site.set("/dear", html("dear", 99, &[]));
    site.set("/lost", Answer::Status(404, "<h1>Not found</h1>".into()));
    site.set("/fresh", html("fresh", 10, &[]));
    let more = json!({"baseline": before["name"], "webhook": {"url": inbox.url()}});
    let after = crawl(&mesh, &site.url("/home"), 100, &more).await;
    let removed = pages(&mesh, &after, "REMOVED").await;
    let mut gone = ends(&removed);
    gone.sort_unstable();
    assert_eq!(gone, ["left", "lost"], "{after}");
    assert_eq!(ends(&pages(&mesh, &after, "NEW").await), ["fresh"]);
    assert_eq!(ends(&pages(&mesh, &after, "SAME").await), ["kept"]);
    let changed = pages(&mesh, &after, "CHANGED").await;
    assert!(ends(&changed).contains(&"dear"), "{changed:?}");
    assert_eq!((&after["changes"]["removed"], &after["changes"]["complete"]), (&json!(2), &json!(true)));

    let dear =
        changed.iter().find(|page| page["url"] == site.url("/dear").as_str()).expect("because it changed");
    let text = |field: &str| dear[field].as_str().unwrap_or_default();
    let path = format!("/v1/{}:diff?base={}", text("name"), text("baseline_page"));
    let diff = mesh.rest.get(&path).await;
    assert_eq!(diff.status, 200, "{}", diff.text);
    let shown = diff.json["diff"].as_str().unwrap_or_default();
    assert!(shown.contains("\n-The price of dear is 10 crowns today.\n"), "{shown}");
    assert!(shown.contains("\n+The price of dear is 99 crowns today.\n"), "{shown}");
    assert_eq!((&diff.json["added_lines"], &diff.json["removed_lines"]), (&json!(1), &json!(1)));
    let stranger = mesh.new_tenant("stranger").await;
    assert_eq!(stranger.rest.get(&path).await.reason(), "DOCUMENT_NOT_FOUND");

    let told = eventually(async || inbox.received(), |told| !told.is_empty()).await;
    let data = told[0].json();
    assert_eq!(data["data"]["changes"], after["changes"], "{data}");
    assert_eq!(data["data"]["baseline"], before["name"]);

    // A crawl that stops at its budget does not know what it did not see: only what answers 404 is gone.
    let short = crawl(&mesh, &site.url("/home"), 4, &json!({"baseline": before["name"]})).await;
    assert_eq!(short["changes"]["complete"], json!(false), "{short}");
    assert!(ends(&pages(&mesh, &short, "REMOVED").await).iter().all(|name| *name == "lost"));
}
