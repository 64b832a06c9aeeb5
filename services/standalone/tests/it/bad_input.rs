//! Bad input: the same code and reason over REST and gRPC, and nothing half done (RELIABILITY.md section 10).

use api::job::v1::{
    CrawlConfig, CreateCrawlJobRequest, GetJobRequest, ListJobsRequest, crawl_config::Render,
};
use domain::Service;
use serde_json::{Value, json};
use testkit::{Mesh, Site, site::Answer};
use tonic::Code;

/// HTTP status that goes with a gRPC code.
fn http(code: Code) -> u16 {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists => 409,
        Code::ResourceExhausted => 429,
        other => panic!("no row for {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_that_are_refused() {
    let mesh = Mesh::builder().allow_targets(&[]).start().await;
    let denied = (Code::PermissionDenied, "TARGET_NOT_ALLOWED");
    let invalid = |reason| (Code::InvalidArgument, reason);
    for (urls, (code, reason)) in [
        (vec![], invalid("REQUIRED")),
        (vec![""], invalid("REQUIRED")),
        (vec!["file:///etc/passwd"], invalid("UNSUPPORTED_SCHEME")),
        (vec!["javascript:alert(1)"], invalid("UNSUPPORTED_SCHEME")),
        (vec!["http://user:pass@example.org/"], invalid("URL_CREDENTIALS")),
        (vec!["not a url"], invalid("INVALID_URL")),
        (vec!["http://example.org:22/"], invalid("PORT_NOT_ALLOWED")),
        (vec!["http://127.0.0.1"], denied),
        (vec!["http://2130706433"], denied),
        (vec!["http://[::ffff:7f00:1]"], denied),
        (vec!["http://localhost./"], denied),
        (vec!["http://169.254.169.254/latest/meta-data"], denied),
        (vec!["https://example.org/", "http://10.0.0.1/"], denied),
    ] {
        let answer = mesh.rest.post("/v1/crawl-jobs", &json!({"urls": urls})).await;
        assert_eq!((answer.status, answer.reason()), (http(code), reason), "{urls:?}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let request = CreateCrawlJobRequest {
            urls: urls.iter().map(ToString::to_string).collect(),
            ..CreateCrawlJobRequest::default()
        };
        let status = mesh.jobs.clone().create_crawl_job(request).await.expect_err("because it is refused");
        assert_eq!((status.code(), mesh_reason(&status).as_str()), (code, reason), "{urls:?}: {status:?}");
    }
    let jobs = mesh.jobs.clone().list_jobs(ListJobsRequest::default()).await.expect("because the key may");
    assert_eq!(jobs.into_inner().jobs, [], "nothing is half done");
}

fn mesh_reason(status: &tonic::Status) -> String {
    mesh::error_reason(status).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let job = mesh.submit(site.pages(1)).await;
    let other = mesh.new_tenant("other").await;
    let mut wrong = mesh.key.clone();
    let last = wrong.pop();
    wrong.push(if last == Some('a') { 'b' } else { 'a' });
    for (name, clients, code, reason) in [
        ("no credential", mesh.with_key(""), Code::Unauthenticated, "MISSING_CREDENTIALS"),
        ("wrong checksum", mesh.with_key(&wrong), Code::Unauthenticated, "INVALID_API_KEY"),
        ("too long", mesh.with_key(&"k".repeat(9000)), Code::Unauthenticated, "INVALID_API_KEY"),
        ("another tenant's job", other, Code::NotFound, "JOB_NOT_FOUND"),
    ] {
        let answer = clients.rest.get(&format!("/v1/{}", job.name)).await;
        assert_eq!((answer.status, answer.reason()), (http(code), reason), "{name}: {}", answer.text);
        let request = GetJobRequest { name: job.name.clone(), wait: None };
        let status = clients.jobs.clone().get_job(request).await.expect_err("because it is refused");
        assert_eq!((status.code(), mesh_reason(&status).as_str()), (code, reason), "{name}: {status:?}");
    }
    // A foreign job cannot be told from one that never was.
    let foreign = mesh.new_tenant("third").await.rest.get(&format!("/v1/{}", job.name)).await;
    let unknown = mesh.rest.get("/v1/jobs/018f3c9e-6a5b-7c3d-8e1f-0123456789ab").await;
    let shape = |answer: &testkit::rest::Answer| {
        let mut json = answer.json.clone();
        for field in ["request_id", "instance", "detail"] {
            json[field] = Value::Null;
        }
        (answer.status, json)
    };
    assert_eq!(shape(&foreign), shape(&unknown));

    let forged = mesh.with_key("").rest.request(reqwest::Method::GET, "/v1/jobs");
    let forged = forged
        .header("x-crawlmesh-tenant", job.name.trim_start_matches("jobs/"))
        .header("x-crawlmesh-scopes", "jobs:read");
    assert_eq!(testkit::rest_send(forged).await.status, 401, "headers of the mesh are stripped");

    let twice = mesh.rest.request(reqwest::Method::GET, "/v1/jobs").bearer_auth("ck_another");
    let twice = testkit::rest_send(twice).await;
    assert_eq!((twice.status, twice.reason()), (401, "AMBIGUOUS_CREDENTIALS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_refused() {
    // Lower limits than the default, so that little is sent in vain.
    let message = "[server]\nmax_message_size = \"4MiB\"";
    let body = format!("[public]\nmax_body = \"128KiB\"\n{message}");
    let mesh = Mesh::builder().set(Service::Gateway, &body).set(Service::Job, message).start().await;
    let deep = format!("{{\"urls\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let large = format!("{{\"urls\":[\"https://example.org/{}\"]}}", "a".repeat(200 << 10));
    for (name, body, status, reason) in [
        ("unknown field", r#"{"urls":["https://example.org/"],"url":"x"}"#.to_owned(), 400, "UNKNOWN_FIELD"),
        ("wrong type", r#"{"urls":"https://example.org/"}"#.to_owned(), 400, "INVALID_TYPE"),
        ("number for text", r#"{"urls":[7]}"#.to_owned(), 400, "INVALID_TYPE"),
        ("not JSON", "urls=https://example.org/".to_owned(), 400, "INVALID_JSON"),
        ("truncated", r#"{"urls":["#.to_owned(), 400, "INVALID_JSON"),
        ("garbage after", r#"{"urls":["https://example.org/"]} x"#.to_owned(), 400, "INVALID_JSON"),
        ("a key twice", r#"{"urls":["https://example.org/"],"urls":[]}"#.to_owned(), 400, "DUPLICATE_FIELD"),
        ("10 000 deep", deep, 400, "NESTING_TOO_DEEP"),
        ("over the limit", large, 413, "BODY_TOO_LARGE"),
    ] {
        let answer = mesh.rest.post_raw("/v1/crawl-jobs", body).await;
        assert_eq!((answer.status, answer.reason()), (status, reason), "{name}: {}", answer.text);
    }
    let form = mesh
        .rest
        .request(reqwest::Method::POST, "/v1/crawl-jobs")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("urls=x");
    let form = testkit::rest_send(form).await;
    assert_eq!((form.status, form.reason()), (415, "UNSUPPORTED_MEDIA_TYPE"));
    assert_eq!(mesh.rest.get("/v1/crawl-jobs").await.status, 405);
    assert_eq!(mesh.rest.get("/v1/nothing").await.status, 404);
    let named = mesh.rest.get("/v1/jobs/not-a-uuid").await;
    assert_eq!((named.status, named.reason()), (400, "INVALID_NAME"), "{}", named.text);

    // gRPC: a message over the limit, and options that exclude each other.
    let request = CreateCrawlJobRequest {
        urls: vec![format!("https://example.org/{}", "a".repeat(5 << 20))],
        ..CreateCrawlJobRequest::default()
    };
    let status = mesh.jobs.clone().create_crawl_job(request).await.expect_err("because it is too large");
    assert_eq!((status.code(), mesh_reason(&status).as_str()), (Code::ResourceExhausted, "BODY_TOO_LARGE"));
    let config = CrawlConfig { render: Render::Http.into(), screenshot: true, ..CrawlConfig::default() };
    let request = CreateCrawlJobRequest {
        urls: vec!["https://example.org/".into()],
        config: Some(config),
        ..CreateCrawlJobRequest::default()
    };
    let status =
        mesh.jobs.clone().create_crawl_job(request).await.expect_err("because they exclude each other");
    assert_eq!((status.code(), mesh_reason(&status).as_str()), (Code::InvalidArgument, "CONFLICT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_makes_a_retry_safe() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let post = |path: &str| {
        let request =
            mesh.rest.request(reqwest::Method::POST, "/v1/crawl-jobs").header("idempotency-key", "order-7");
        testkit::rest_send(request.json(&json!({"urls": [site.url(path)]})))
    };
    let answers = futures::future::join_all((0..20).map(|_| post("/p/1"))).await;
    let names: std::collections::HashSet<_> =
        answers.iter().map(|answer| answer.json["name"].to_string()).collect();
    assert_eq!(names.len(), 1, "{answers:?}");
    let reused = post("/p/2").await;
    assert_eq!((reused.status, reused.reason()), (409, "IDEMPOTENCY_KEY_REUSED"));
}

/// A target that turns out to be inside only when it is visited: a name, or a redirect. The canary sees nobody.
#[tokio::test(flavor = "multi_thread")]
async fn targets_that_turn_out_to_be_inside() {
    let mesh = Mesh::builder().allow_targets(&["127.0.0.1/32"]).start().await;
    let (site, canary) = (Site::start().await, Site::start_at("127.0.0.2:0").await);
    site.set("/redirect", Answer::Redirect(canary.url("/p/1")));
    site.set(
        "/image",
        Answer::Html(format!("<h1>A page</h1><p>With an image.</p><img src='{}'>", canary.url("/p/2"))),
    );
    for render in ["HTTP", "BROWSER"] {
        let body = json!({"urls": [site.url("/redirect"), site.url("/image")], "config": {"render": render}});
        let job = mesh.rest.post("/v1/crawl-jobs?wait=60s", &body).await;
        assert_eq!(job.json["verdicts"], json!({"not_allowed": 1, "ok": 1}), "{render}: {}", job.text);
    }
    assert_eq!(canary.all_hits(), 0);
}

/// A name of this machine's hosts file that stands for an address inside, if it has one beside `localhost`.
fn name_inside() -> Option<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
    let names = hosts.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: std::net::Ipv4Addr = words.next()?.parse().ok()?;
        (address.is_loopback() || address.is_private()).then(|| words.next().map(str::to_owned))?
    });
    names.into_iter().find(|name| !name.contains("localhost"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_resolves_inside_is_not_allowed() {
    let Some(name) = name_inside() else {
        // `a_name_with_any_forbidden_address_is_refused` in libs/egress has a resolver of its own, and tests this anywhere.
        println!("this machine's hosts file has no name but localhost for an address inside");
        return;
    };
    let (mesh, canary) =
        (Mesh::builder().allow_targets(&[]).start().await, Site::start_at("0.0.0.0:0").await);
    let url = format!("http://{name}:{}/p/1", canary.addr().port());
    for render in ["HTTP", "BROWSER"] {
        let body = json!({"urls": [url], "config": {"render": render}});
        let job = mesh.rest.post("/v1/crawl-jobs?wait=60s", &body).await;
        assert_eq!(job.json["verdicts"], json!({"not_allowed": 1}), "{render}: {}", job.text);
    }
    let request = CreateCrawlJobRequest { urls: vec![url], ..CreateCrawlJobRequest::default() };
    let job = mesh.create(request).await;
    let job = mesh.ended(&job.name).await;
    assert_eq!(job.verdicts, std::collections::HashMap::from([("not_allowed".to_owned(), 1)]));
    assert_eq!(canary.all_hits(), 0);
}
