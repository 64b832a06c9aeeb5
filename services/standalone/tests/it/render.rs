//! The browser lane in the whole mesh: a page that writes itself, a screenshot, and what a mesh without Chromium says.

use api::{
    job::v1::{CrawlConfig, CreateCrawlJobRequest, crawl_config::Render, job::State, page::Lane},
    result::v1::{Document, GetArtifactRequest, ListDocumentsRequest},
};
use domain::Service;
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
