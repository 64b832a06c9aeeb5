//! The browser lane in the whole mesh: a page that writes itself, a screenshot, and what a mesh without Chromium says.

use api::{
    job::v1::{CrawlConfig, CreateCrawlJobRequest, crawl_config::Render, job::State, page::Lane},
    result::v1::{Document, GetArtifactRequest, ListDocumentsRequest},
};
use domain::Service;
use serde_json::json;
use testkit::{Mesh, Site, site::Answer};

pub(crate) const APP: &str = "<!doctype html><title>App</title><body><div id=root></div><noscript>Please enable JavaScript.</noscript>\
    <script>document.getElementById('root').innerHTML = '<main><h1>Rendered</h1><p>' + 'Written by a script. '.repeat(20) + '</p></main>'</script>";

async fn crawl(mesh: &Mesh, url: String, config: CrawlConfig) -> Vec<Document> {
    let request =
        CreateCrawlJobRequest { urls: vec![url], config: Some(config), ..CreateCrawlJobRequest::default() };
    let job = mesh.create(request).await;
    let job = mesh.ended(&job.name).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    let request = ListDocumentsRequest { parent: job.name, ..ListDocumentsRequest::default() };
    mesh.results.clone().list_documents(request).await.expect("because the job exists").into_inner().documents
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_writes_itself_goes_on_to_the_browser() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site.set("/app", Answer::Html(APP.into()));
    let documents = crawl(&mesh, site.url("/app"), CrawlConfig::default()).await;
    assert!(documents[0].markdown.contains("# Rendered"), "{:?}", documents[0]);
    assert_eq!(documents[0].lane(), Lane::Browser);
    assert!(documents[0].lane_reason.contains("JavaScript"), "{}", documents[0].lane_reason);

    let config = CrawlConfig { render: Render::Http.into(), ..CrawlConfig::default() };
    let documents = crawl(&mesh, site.url("/p/1"), config).await;
    assert_eq!(documents[0].lane(), Lane::Http);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_needs_the_browser_is_remembered() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site.write(|path| path.starts_with("/app/").then(|| APP.to_owned()));
    let mut reasons = Vec::new();
    for number in 0..5 {
        let documents = crawl(&mesh, site.url(&format!("/app/{number}")), CrawlConfig::default()).await;
        assert_eq!(documents[0].lane(), Lane::Browser);
        reasons.push(documents[0].lane_reason.clone());
    }
    let hits: Vec<u32> = (0..5).map(|number| site.hits(&format!("/app/{number}"))).collect();
    assert_eq!(hits, [2, 2, 2, 1, 1], "{reasons:?}");
    assert_eq!(reasons[0], "needs JavaScript: noscript asks for JavaScript");
    assert_eq!(
        reasons[4],
        "needs JavaScript: like the last pages of its host (noscript asks for JavaScript)"
    );
    // A job that does not ask for a browser is read over HTTP, and tells that this host has other pages, too.
    let config = CrawlConfig { render: Render::Http.into(), ..CrawlConfig::default() };
    assert_eq!(crawl(&mesh, site.url("/p/1"), config).await[0].lane(), Lane::Http);
    assert_eq!(crawl(&mesh, site.url("/p/2"), CrawlConfig::default()).await[0].lane(), Lane::Http);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screenshot_is_kept() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let config = CrawlConfig { screenshot: true, ..CrawlConfig::default() };
    let documents = crawl(&mesh, site.url("/p/1"), config).await;
    let request = GetArtifactRequest { name: documents[0].name.clone(), kind: "screenshot".into() };
    let mut chunks =
        mesh.results.clone().get_artifact(request).await.expect("because it was asked for").into_inner();
    let mut png = Vec::new();
    while let Some(chunk) = chunks.message().await.expect("because the artifact is whole") {
        assert_eq!(chunk.content_type, "image/png");
        png.extend(chunk.data);
    }
    assert!(png.starts_with(b"\x89PNG") && png.len() > 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_chromium_the_lane_says_so() {
    let missing = "[browser]\nexecutable = \"/nonexistent/chromium\"";
    let mesh = Mesh::builder().set(Service::Crawler, missing).start().await;
    let workers = mesh.rest.get("/v1/workers").await;
    let lanes = workers.json["workers"][0]["lanes"].as_array().expect("because a crawler has lanes").clone();
    let browser = lanes.iter().find(|lane| lane["lane"] == "browser").expect("because it is one of two");
    assert_eq!(browser["available"], false);
    assert!(browser["detail"].as_str().is_some_and(|detail| detail.contains("Chromium")), "{browser}");

    let site = Site::start().await;
    site.set("/app", Answer::Html(APP.into()));
    let documents = {
        let request =
            CreateCrawlJobRequest { urls: vec![site.url("/app")], ..CreateCrawlJobRequest::default() };
        let job = mesh.create(request).await;
        mesh.ended(&job.name).await;
        let request = ListDocumentsRequest { parent: job.name, ..ListDocumentsRequest::default() };
        mesh.results
            .clone()
            .list_documents(request)
            .await
            .expect("because the job exists")
            .into_inner()
            .documents
    };
    assert_eq!(documents[0].lane(), Lane::Http, "the HTTP document is kept, and says why");
    assert!(documents[0].lane_reason.contains("no browser"), "{}", documents[0].lane_reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_worked_on_as_the_job_asks() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let page = "<title>Shop</title><main><button id=more onclick=\"setTimeout(() => document.querySelector('main').innerHTML += \
                '<h2 id=all>Everything</h2><p>All the words that were behind the button.</p>', 300)\">more</button></main>";
    site.set("/shop", Answer::Html(page.into()));
    let body = json!({"urls": [site.url("/shop")], "config": {"page_timeout": "20s", "browser": {
        "actions": [{"click": {"selector": "#more"}}, {"wait_for_selector": "#all"}], "js_code": ["document.title += ' of all'"],
        "pdf": true, "har": true, "cookies": [{"name": "a", "value": "hidden-value", "domain": "127.0.0.1"}]}}});
    let created = mesh.rest.post("/v1/crawl-jobs?wait=40s", &body).await;
    assert_eq!((created.status, &created.json["state"]), (200, &json!("SUCCEEDED")), "{}", created.text);
    assert!(!created.text.contains("hidden-value"), "{}", created.text);
    let job = created.json["name"].as_str().expect("because it was created").to_owned();
    let documents = mesh.rest.get(&format!("/v1/{job}/documents")).await;
    let document = &documents.json["documents"][0];
    assert!(document["markdown"].as_str().is_some_and(|text| text.contains("Everything")), "{document}");
    assert_eq!((&document["title"], &document["lane"]), (&json!("Shop of all"), &json!("BROWSER")));
    assert_eq!(document["lane_reason"], "has options that need the browser");
    let name = document["name"].as_str().expect("because it has a name");
    assert!(mesh.rest.get(&format!("/v1/{name}/pdf")).await.text.starts_with("%PDF-"));
    let har = mesh.rest.get(&format!("/v1/{name}/har")).await;
    assert_eq!(har.json["log"]["entries"][0]["request"]["url"], json!(site.url("/shop")), "{}", har.text);
    assert_eq!(mesh.rest.get(&format!("/v1/{name}/mhtml")).await.status, 404, "nobody asked for it");

    let never = json!({"urls": [site.url("/shop")], "config": {"max_attempts": 1, "browser": {
        "wait_for": "css:#never", "wait_for_timeout": "0.5s"}}});
    let ended = mesh.rest.post("/v1/crawl-jobs?wait=40s", &never).await;
    assert_eq!(
        (&ended.json["state"], &ended.json["verdicts"]),
        (&json!("FAILED"), &json!({"timeout": 1})),
        "{}",
        ended.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_and_identities_need_a_scope() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let key = mesh
        .rest
        .post(
            "/v1/api-keys",
            &json!({"api_key": {"display_name": "narrow", "scopes": ["jobs:write", "jobs:read"]}}),
        )
        .await;
    let secret = key.json["secret"].as_str().unwrap_or_else(|| panic!("{}", key.text)).to_owned();
    let narrow = mesh.rest.with_key(Some(&secret));
    for (options, scope) in [
        (json!({"js_code": ["1"]}), "browser:script"),
        (json!({"wait_for": "js:true"}), "browser:script"),
        (json!({"headers": {"x-a": "b"}}), "headers:set"),
        (json!({"user_agent": "me"}), "headers:set"),
        (json!({"cookies": [{"name": "a", "value": "b", "domain": "127.0.0.1"}]}), "cookies:set"),
    ] {
        let body = json!({"urls": [site.url("/p/1")], "config": {"browser": options}});
        let refused = narrow.post("/v1/crawl-jobs", &body).await;
        assert_eq!(
            (refused.status, refused.json["reason"].as_str()),
            (403, Some("MISSING_PERMISSION")),
            "{}",
            refused.text
        );
        assert!(refused.text.contains(scope), "{scope}: {}", refused.text);
    }
    let body = json!({"urls": [site.url("/p/1")], "config": {"render": "HTTP", "browser": {"wait_for": "css:h1", "locale": "?"}}});
    let refused = mesh.rest.post("/v1/crawl-jobs", &body).await;
    let fields: Vec<&str> = refused.json["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|error| error["field"].as_str())
        .collect();
    assert_eq!(fields, ["config.browser.locale", "config.browser", "config.render"], "{}", refused.text);
}
