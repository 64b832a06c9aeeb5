//! One job through every service: submit, poll, read, webhook. Over REST and gRPC, on SQLite and Postgres.

use api::{
    job::v1::{CreateCrawlJobRequest, ListPagesRequest, WebhookTarget, job::State, page::Verdict},
    result::v1::{GetDocumentRequest, ListDocumentsRequest},
    webhook::v1::{ListDeliveriesRequest, delivery},
};
use domain::Service;
use serde_json::json;
use testkit::{Inbox, Mesh, Site, eventually, inbox::Received, site::Answer};

/// Receivers that come back get their webhook soon.
const RETRY_SOON: &str = "[delivery]\nschedule = [\"50ms\", \"50ms\", \"50ms\"]\nthrottle_floor = \"0s\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_over_rest() {
    let (mesh, site, inbox) = (Mesh::start().await, Site::start().await, Inbox::start().await);
    let body = json!({
        "urls": [site.url("/p/1"), site.url("/p/2"), site.url("/missing"), site.url("/p/1#again")],
        "webhook": {"url": inbox.url()},
        "labels": {"team": "docs"},
    });
    let created = mesh.rest.post("/v1/crawl-jobs?wait=30s", &body).await;
    assert_eq!(created.status, 200, "{}", created.text);
    let job = &created.json;
    assert_eq!(job["state"], "SUCCEEDED", "{job:#}");
    let expected = json!({
        "found": 4, "succeeded": 2, "failed": 1, "skipped": 1, "cancelled": 0, "pending": 0, "running": 0,
    });
    assert_eq!(job["counts"], expected);
    assert_eq!(job["verdicts"], json!({"ok": 2, "http_error": 1, "duplicate": 1}));
    assert_eq!(job["labels"], json!({"team": "docs"}));
    assert_eq!(site.hits("/p/1"), 1, "a URL that comes twice is fetched once");

    let name = job["name"].as_str().expect("because a job has a name");
    let pages = mesh.rest.get(&format!("/v1/{name}/pages")).await;
    let pages = pages.json["pages"].as_array().expect("because it is a list").clone();
    let verdicts: Vec<_> = pages.iter().map(|page| page["verdict"].as_str().unwrap_or_default()).collect();
    assert_eq!(verdicts, ["OK", "OK", "HTTP_ERROR", "DUPLICATE"]);
    assert_eq!(pages[2]["http_status"], 404);
    assert_eq!(pages[2]["detail"], "HTTP 404");

    let page = pages[0]["name"].as_str().expect("because a page has a name");
    let document = mesh.rest.get(&format!("/v1/{page}")).await.json;
    assert_eq!(document["title"], "Page 1");
    assert_eq!(document["final_url"], site.url("/p/1"));
    let markdown = document["markdown"].as_str().unwrap_or_default();
    assert!(markdown.contains("# Page 1") && markdown.contains("This is page number 1."), "{markdown}");
    let raw = mesh.rest.get(&format!("/v1/{page}/markdown")).await;
    assert_eq!(raw.text, markdown);
    let html = mesh.rest.get(&format!("/v1/{page}/html")).await;
    assert_eq!(html.text, testkit::site::page(1));
    assert_eq!(html.headers["content-disposition"], "attachment");

    let received = eventually(async || inbox.received(), |received| !received.is_empty()).await;
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].json()["type"], "job.succeeded");
    assert_eq!(received[0].json()["data"]["name"], *name);
    let secret = mesh.rest.get("/v1/webhook-signing-secret").await.json["secret"].clone();
    verify(&received[0], secret.as_str().unwrap_or_default());

    let other = mesh.new_tenant("other").await;
    for path in [
        format!("/v1/{name}"),
        format!("/v1/{name}/pages"),
        format!("/v1/{page}"),
        format!("/v1/{page}/html"),
    ] {
        assert_eq!(other.rest.get(&path).await.status, 404, "{path}");
    }
}

/// Verifies a delivery with the reference library of Standard Webhooks.
fn verify(received: &Received, secret: &str) {
    let webhook = standardwebhooks::Webhook::new(secret).expect("because the secret has the standard's form");
    webhook.verify(&received.body, &received.headers).expect("because the delivery is signed");
}

async fn a_job_over_grpc(mesh: Mesh) {
    let (site, inbox) = (Site::start().await, Inbox::start().await);
    inbox.answer_next([500, 503]);
    site.set(
        "/flaky",
        Answer::Flaky(1, "<h1>There</h1><p>It took a second visit to see this page.</p>".into()),
    );
    let mut urls = site.pages(30);
    urls.push(site.url("/flaky"));
    let job = mesh
        .create(CreateCrawlJobRequest {
            urls,
            webhook: Some(WebhookTarget { url: inbox.url(), ..WebhookTarget::default() }),
            ..CreateCrawlJobRequest::default()
        })
        .await;
    let job = mesh.ended(&job.name).await;
    assert_eq!(
        (job.state(), job.counts.expect("because a job has counts").succeeded),
        (State::Succeeded, 31),
        "{job:?}"
    );
    assert_eq!(site.hits("/flaky"), 2, "a 503 is tried again");

    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListPagesRequest {
            parent: job.name.clone(),
            page_size: 7,
            page_token,
            verdict: Verdict::Ok.into(),
            ..ListPagesRequest::default()
        };
        let pages = mesh.jobs.clone().list_pages(request).await.expect("because the job exists").into_inner();
        names.extend(pages.pages.into_iter().map(|page| page.name));
        page_token = pages.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names.len(), 31);
    let mut documents = Vec::new();
    let mut request =
        ListDocumentsRequest { parent: job.name.clone(), page_size: 10, page_token: String::new() };
    loop {
        let page = mesh
            .results
            .clone()
            .list_documents(request.clone())
            .await
            .expect("because it exists")
            .into_inner();
        documents.extend(page.documents.into_iter().map(|document| document.name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(documents, names, "each page is stored once, in the order of the ledger");
    let request = GetDocumentRequest { name: names[3].clone() };
    let document =
        mesh.results.clone().get_document(request).await.expect("because it was listed").into_inner();
    assert_eq!(document.title, "Page 3");

    let received = eventually(async || inbox.received(), |received| received.len() == 3).await;
    assert!(received.iter().all(|one| one.header("webhook-id") == received[0].header("webhook-id")));
    let ask = || async {
        let request = ListDeliveriesRequest { parent: job.name.clone(), ..ListDeliveriesRequest::default() };
        mesh.webhooks
            .clone()
            .list_deliveries(request)
            .await
            .expect("because the job exists")
            .into_inner()
            .deliveries
    };
    let delivered = |list: &Vec<api::webhook::v1::Delivery>| list[0].state() == delivery::State::Delivered;
    let deliveries = eventually(ask, delivered).await;
    let statuses: Vec<_> = deliveries[0].attempts.iter().map(|attempt| attempt.http_status).collect();
    assert_eq!(statuses, [Some(500), Some(503), Some(204)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_over_grpc_on_sqlite() {
    a_job_over_grpc(Mesh::builder().set(Service::Webhook, RETRY_SOON).start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_over_grpc_on_postgres() {
    a_job_over_grpc(Mesh::builder().postgres().set(Service::Webhook, RETRY_SOON).start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extraction_options_over_rest() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let shop = "<title>Shop</title><nav><a href=/n>nav</a></nav><div class=item><h2>Tea</h2><b>4.50 EUR</b></div>\
        <div class=item><h2>Cup</h2><b>9.00 EUR</b></div>";
    site.set("/shop", Answer::Bytes("text/html", shop.into()));
    let schema = json!({"baseSelector": ".item", "fields": [
        {"name": "name", "selector": "h2", "type": "text"},
        {"name": "price", "selector": "b", "type": "regex", "pattern": "([\\d.]+)"},
    ]});
    let extraction = json!({
        "formats": ["MARKDOWN", "TABLES"],
        "selection": {"css_selector": ".item"},
        "schema": {"language": "CSS", "schema": schema},
        "patterns": {"built_in": ["currency"]},
    });
    let body = json!({"urls": [site.url("/shop")], "config": {"render": "HTTP", "extraction": extraction}});
    let job = mesh.rest.post("/v1/crawl-jobs?wait=30s", &body).await;
    assert_eq!(job.json["verdicts"], json!({"ok": 1}), "{}", job.text);
    assert_eq!(job.json["config"]["extraction"]["schema"]["schema"], schema, "shown as it was given");
    let name = job.json["name"].as_str().unwrap_or_default();
    let documents = mesh.rest.get(&format!("/v1/{name}/documents")).await;
    let document = &documents.json["documents"][0];
    let expected = json!([{"name": "Tea", "price": "4.50"}, {"name": "Cup", "price": "9.00"}]);
    assert_eq!(document["extracted"], expected, "{}", documents.text);
    assert_eq!(document["matches"][1]["value"], "9.00 EUR");
    assert!(document["markdown"].as_str().unwrap_or_default().starts_with("## Tea"), "{}", documents.text);
    assert_eq!((&document["fit_markdown"], &document["links"]), (&json!(""), &json!([])));
    assert_eq!((&document["title"], &document["content_kind"]), (&json!("Shop"), &json!("other")));

    let wrong = json!({"selection": {"css_selector": "p["}, "schema": {"schema": {"baseSelector": "p"}}});
    let body = json!({"urls": [site.url("/shop")], "config": {"extraction": wrong}});
    let refused = mesh.rest.post("/v1/crawl-jobs", &body).await;
    let fields: Vec<_> =
        refused.json["errors"].as_array().into_iter().flatten().map(|e| e["field"].clone()).collect();
    let expected = ["config.extraction.selection.css_selector", "config.extraction.schema.schema.fields"];
    assert_eq!((refused.status, fields), (400, expected.map(|it| json!(it)).to_vec()), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_robots_txt_asks_to_leave_alone_is_left_alone() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let rules = "User-agent: *\nDisallow: /p/1\n";
    site.set("/robots.txt", Answer::Bytes("text/plain", rules.into()));
    for render in ["HTTP", "BROWSER"] {
        let body = json!({"urls": [site.url("/p/1"), site.url("/p/2")], "config": {"render": render}});
        let job = mesh.rest.post("/v1/crawl-jobs?wait=30s", &body).await;
        assert_eq!(job.json["verdicts"], json!({"ok": 1, "robots": 1}), "{render}: {}", job.text);
    }
    assert_eq!((site.hits("/p/1"), site.hits("/robots.txt")), (0, 1), "asked once, and heeded");

    let body = json!({"urls": [site.url("/p/1")], "config": {"render": "HTTP", "respect_robots": false}});
    let job = mesh.rest.post("/v1/crawl-jobs?wait=30s", &body).await;
    assert_eq!(job.json["verdicts"], json!({"ok": 1}), "{}", job.text);
    let keys = json!({"api_key": {"display_name": "polite", "scopes": ["jobs:read", "jobs:write"]}});
    let key = mesh.rest.post("/v1/api-keys", &keys).await.json["secret"].clone();
    let refused = mesh.rest.with_key(key.as_str()).post("/v1/crawl-jobs", &body).await;
    assert_eq!((refused.status, refused.reason()), (403, "MISSING_PERMISSION"), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_becomes_a_token_and_both_can_be_revoked() {
    let mesh = Mesh::start().await;
    let created = mesh
        .rest
        .post("/v1/api-keys", &json!({"api_key": {"display_name": "ci", "scopes": ["jobs:read"]}}))
        .await;
    assert_eq!(created.status, 200, "{}", created.text);
    let key = created.json["secret"].as_str().expect("because it is shown once").to_owned();
    let token = mesh.rest.with_key(None).post("/v1/token", &json!({"api_key": key})).await;
    let token = token.json["access_token"].as_str().expect("because the key is good").to_owned();
    let bearer = |credential: &str| {
        let request = mesh.rest.with_key(None).request(reqwest::Method::GET, "/v1/jobs");
        testkit::rest_send(request.bearer_auth(credential))
    };
    assert_eq!(bearer(&token).await.status, 200);
    assert_eq!(bearer(&key).await.status, 200);
    let refused = mesh
        .rest
        .with_key(Some(&key))
        .post("/v1/crawl-jobs", &json!({"urls": ["https://example.org/"]}))
        .await;
    assert_eq!((refused.status, refused.reason()), (403, "MISSING_PERMISSION"));

    let jwks = mesh.rest.with_key(None).get("/.well-known/jwks.json").await;
    assert_eq!(jwks.json["keys"][0]["crv"], "Ed25519", "{}", jwks.text);

    let name = created.json["api_key"]["name"].as_str().unwrap_or_default();
    let revoked = mesh.rest.post(&format!("/v1/{name}:revoke"), &json!({})).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    for credential in [&key, &token] {
        eventually(async || bearer(credential).await.status, |status| *status == 401).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_urls_is_one_submit_and_names_the_line_that_is_wrong() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let submit = async |kind: &'static str, query: &str, body: String| {
        let path = format!("/v1/crawl-jobs{query}");
        let request = mesh.rest.request(reqwest::Method::POST, &path).header("content-type", kind);
        testkit::rest_send(request.header("idempotency-key", kind).body(body)).await
    };
    let text = format!("# a site\n{}\r\n\n{}\n", site.url("/p/1"), site.url("/p/2"));
    let job = submit("text/plain", "?config.render=HTTP&priority=LOW&wait=50s", text.clone()).await;
    assert_eq!((job.status, &job.json["counts"]["succeeded"]), (200, &json!(2)), "{}", job.text);
    assert_eq!((&job.json["priority"], &job.json["config"]["render"]), (&"LOW".into(), &"HTTP".into()));
    let again = submit("text/plain", "?config.render=HTTP&priority=LOW", text).await;
    assert_eq!(again.json["name"], job.json["name"], "the key makes a retry safe");
    let lines = format!("{{\"url\": \"{}\"}}\n\"{}\"\n", site.url("/p/3"), site.url("/p/4"));
    let job = submit("application/x-ndjson", "?wait=50s", lines).await;
    assert_eq!(job.json["counts"]["succeeded"], 2, "{}", job.text);

    let before = mesh.rest.get("/v1/jobs").await.json["jobs"].as_array().map(Vec::len);
    let wrong =
        submit("text/plain;x=1", "", "\nhttps://example.com/\n\nftp://example.com/\n".to_owned()).await;
    assert_eq!((wrong.status, &wrong.json["errors"][0]["field"]), (400, &"line 4".into()), "{}", wrong.text);
    let inside = submit("text/plain;x=2", "", "# ours\nhttp://10.0.0.1/\n".to_owned()).await;
    assert_eq!((inside.status, inside.reason()), (403, "TARGET_NOT_ALLOWED"), "{}", inside.text);
    assert_eq!(inside.json["metadata"]["field"], "line 2", "{}", inside.text);
    let empty = submit("text/plain;x=3", "", "# nothing\n".to_owned()).await;
    assert_eq!((empty.status, empty.reason()), (400, "REQUIRED"), "{}", empty.text);
    assert_eq!(
        mesh.rest.get("/v1/jobs").await.json["jobs"].as_array().map(Vec::len),
        before,
        "all or nothing"
    );
}
