//! A proxy of the job's own: everything of the job goes through it and nothing past it, in both lanes; who uses it stays secret.

use serde_json::{Value, json};
use testkit::{Canary, ELSEWHERE, Mesh, Relay, Site, eventually, site::Answer};

use crate::render::APP;

/// A page of the site at an address at which only a canary listens.
fn elsewhere(site: &Site, path: &str) -> String {
    format!("http://{ELSEWHERE}:{}{path}", site.addr().port())
}

async fn run(mesh: &Mesh, url: &str, config: Value) -> Value {
    let job = mesh.rest.post("/v1/crawl-jobs?wait=60s", &json!({"urls": [url], "config": config})).await;
    assert!(job.status == 200 && job.json["state"] != "RUNNING", "{}", job.text);
    job.json
}

async fn first(mesh: &Mesh, job: &Value, list: &str) -> Value {
    let name = job["name"].as_str().unwrap_or_default();
    mesh.rest.get(&format!("/v1/{name}/{list}")).await.json[list][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_job_goes_through_its_proxy_and_nothing_past_it() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let canary = Canary::beside(site.addr().port()).await;
    let app = format!(
        "{APP}<script>fetch('/data'); new Image().src = '/picture'; new WebSocket('ws://' + location.host + '/socket')</script>"
    );
    site.set("/app", Answer::Html(app));
    site.set("/away", Answer::Redirect(elsewhere(&site, "/p/2")));
    for (scheme, verb) in [("http", "get http://"), ("socks5", "socks ")] {
        let relay = Relay::locked().await;
        let proxy = json!({"server": relay.server(scheme), "username": "user", "password": "word"});
        let config = |render: &str| json!({"render": render, "fetch": {"proxy": proxy}});

        let job = run(&mesh, &elsewhere(&site, "/away"), config("HTTP")).await;
        assert_eq!(job["verdicts"], json!({"ok": 1}), "{job:#}");
        assert_eq!(first(&mesh, &job, "documents").await["title"], "Page 2");
        let asked = relay.asked();
        let target = format!("{verb}{ELSEWHERE}:{}", site.addr().port());
        assert!(asked.iter().all(|it| it.starts_with(&target)), "{asked:?}");
        if scheme == "http" {
            let paths: Vec<&str> = asked.iter().filter_map(|it| it.strip_prefix(&target)).collect();
            assert_eq!(paths, ["/robots.txt", "/away", "/p/2"]);
        }
        let proxy = &job["config"]["fetch"]["proxy"];
        assert_eq!((&proxy["server"], &proxy["username"]), (&json!(relay.server(scheme)), &json!("***")));
        assert!(!job.to_string().contains("\"word\""), "{job:#}");

        // A page that needs a browser takes its proxy along, and so does all that it loads.
        let before = relay.asked().len();
        let job = run(&mesh, &elsewhere(&site, "/app"), config("AUTO")).await;
        let document = first(&mesh, &job, "documents").await;
        assert_eq!(
            (&document["lane"], &document["verdict"]),
            (&json!("BROWSER"), &json!("OK")),
            "{document:#}"
        );
        assert!(document["markdown"].as_str().is_some_and(|it| it.contains("# Rendered")), "{document:#}");
        assert!(relay.asked().len() > before + 1, "{:?}", relay.asked());
    }
    assert!(site.hits("/app") >= 4 && site.hits("/data") >= 1, "the site was reached, through the proxies");
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_do_its_part_is_named() {
    let (mesh, site, relay) = (Mesh::start().await, Site::start().await, Relay::locked().await);
    let canary = Canary::beside(site.addr().port()).await;
    for render in ["HTTP", "BROWSER"] {
        for scheme in ["http", "socks5"] {
            let proxy = json!({"server": relay.server(scheme), "username": "user", "password": "sesame"});
            let config = json!({"render": render, "max_attempts": 1, "fetch": {"proxy": proxy}});
            let job = run(&mesh, &elsewhere(&site, "/p/1"), config).await;
            let page = first(&mesh, &job, "pages").await;
            let told = (&page["verdict"], &page["detail"]);
            assert_eq!(
                told,
                (&json!("CONNECT"), &json!("proxy: it wants other credentials")),
                "{render} {scheme}"
            );
            assert!(!page.to_string().contains("sesame") && !job.to_string().contains("sesame"));
        }
    }
    assert_eq!((site.all_hits(), canary.connections().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_needs_its_scope_and_an_address_that_is_allowed() {
    let mesh = Mesh::builder().allow_targets(&["127.0.0.77/32"]).start().await;
    let submit = |server: &str| {
        let proxy = json!({"server": server});
        json!({"urls": ["http://127.0.0.77:8080/"], "config": {"fetch": {"proxy": proxy}}})
    };
    for private in
        ["http://127.0.0.1:3128", "socks5://[::1]:1080", "http://localhost:3128", "http://10.1.2.3:3128"]
    {
        let refused = mesh.rest.post("/v1/crawl-jobs", &submit(private)).await;
        assert_eq!((refused.status, refused.reason()), (403, "TARGET_NOT_ALLOWED"), "{}", refused.text);
        assert!(refused.text.contains("config.fetch.proxy.server"), "{}", refused.text);
    }
    let bad = mesh.rest.post("/v1/crawl-jobs", &submit("ftp://proxy.example:21")).await;
    assert_eq!((bad.status, bad.reason()), (400, "UNSUPPORTED_SCHEME"), "{}", bad.text);
    assert!(bad.text.contains("config.fetch.proxy.server"), "{}", bad.text);

    let keys = json!({"api_key": {"display_name": "plain", "scopes": ["jobs:read", "jobs:write"]}});
    let key = mesh.rest.post("/v1/api-keys", &keys).await.json["secret"].clone();
    let plain = mesh.rest.with_key(key.as_str());
    let refused = plain.post("/v1/crawl-jobs", &submit("http://127.0.0.77:3128")).await;
    assert_eq!((refused.status, refused.reason()), (403, "MISSING_PERMISSION"), "{}", refused.text);
    assert!(refused.text.contains("proxy:set"), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn crawl4ais_proxy_config_is_the_proxy_of_the_job() {
    let (mesh, site, relay) = (Mesh::start().await, Site::start().await, Relay::locked().await);
    let canary = Canary::beside(site.addr().port()).await;
    let params = json!({"server": relay.server("http"), "username": "user", "password": "word"});
    let body = json!({
        "urls": [elsewhere(&site, "/p/1")],
        "browser_config": {"type": "BrowserConfig", "params": {"proxy_config": {"type": "ProxyConfig", "params": params}}},
    });
    let accepted = mesh.rest.post("/crawl/job", &body).await;
    assert_eq!((accepted.status, &accepted.json["ignored_fields"]), (202, &json!([])), "{}", accepted.text);
    let task = accepted.json["task_id"].as_str().unwrap_or_default().to_owned();
    let ask = async || mesh.rest.get(&format!("/crawl/job/{task}")).await.json;
    let done = eventually(ask, |answer: &Value| answer["status"] != "processing").await;
    assert_eq!(done["result"]["results"][0]["success"], json!(true), "{done:#}");
    assert!(!relay.asked().is_empty());
    assert_eq!(canary.connections().await, 0);

    let bad = json!({"urls": [elsewhere(&site, "/p/1")], "browser_config": {"proxy": "ftp://p.example:1"}});
    let refused = mesh.rest.post("/crawl/job", &bad).await;
    assert_eq!((refused.status, refused.reason()), (400, "UNSUPPORTED_SCHEME"), "{}", refused.text);
    assert!(refused.text.contains("browser_config.proxy_config.server"), "{}", refused.text);
}
