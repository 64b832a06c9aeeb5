//! Who gets in: credentials, their cache, the auth service away.

use std::sync::atomic::Ordering;

use crate::{
    neighbours::{GOOD_KEY, JOB, TENANT},
    stage::{Stage, send},
};

#[tokio::test]
async fn everything_but_probes_and_descriptions_needs_a_credential() {
    let stage = Stage::start().await;
    for (method, path, status) in [
        ("GET", "/v1/jobs", 401),
        ("POST", "/v1/crawl-jobs", 401),
        ("POST", "/crawl/job", 401),
        ("GET", "/crawl/job/crawl_0", 401),
        ("POST", "/llm/job", 401),
        ("GET", "/llm/job/x", 401),
        ("GET", "/metrics", 401),
        ("GET", "/health", 200),
        ("GET", "/live", 200),
        ("GET", "/ready", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/docs", 200),
        ("GET", "/docs/docs.js", 200),
        ("GET", "/.well-known/jwks.json", 200),
    ] {
        let answer = send(stage.bare(method, path)).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        if status == 401 {
            assert_eq!(
                (answer.reason(), answer.header("www-authenticate")),
                ("MISSING_CREDENTIALS", "Bearer"),
                "{path}"
            );
        }
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.header("x-request-id").is_empty());
        assert!(answer.headers.get("access-control-allow-origin").is_none());
    }
    let open = Stage::with("[public]\nopen_metrics = true").await;
    assert_eq!(send(open.bare("GET", "/metrics")).await.status, 200);
}

#[tokio::test]
async fn credentials_are_told_apart() {
    let stage = Stage::start().await;
    let bearer = format!("Bearer {GOOD_KEY}");
    for (headers, status, reason) in [
        (&[("x-api-key", GOOD_KEY)][..], 200, ""),
        (&[("authorization", bearer.as_str())], 200, ""),
        (&[("authorization", bearer.as_str()), ("x-api-key", GOOD_KEY)], 200, ""),
        (&[("authorization", bearer.as_str()), ("x-api-key", "ck_other")], 401, "AMBIGUOUS_CREDENTIALS"),
        (&[("x-api-key", "ck_bad")], 401, "INVALID_API_KEY"),
        (&[("x-api-key", &"x".repeat(5_000))], 401, "INVALID_API_KEY"),
        (&[("authorization", "Basic dTpw")], 401, "UNKNOWN_AUTH_SCHEME"),
    ] {
        let mut request = stage.bare("GET", "/v1/jobs");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = send(request).await;
        assert_eq!((answer.status, answer.reason()), (status, reason), "{headers:?}");
    }
}

#[tokio::test]
async fn a_forged_principal_is_dropped() {
    let stage = Stage::start().await;
    let forged = "018f3c9e-6a5b-7c3d-8e1f-ffffffffffff";
    let request = stage.request("GET", "/v1/jobs").header("x-crawlmesh-tenant", forged);
    let request = request.header("x-crawlmesh-scopes", "tenants:manage").header("x-request-id", "mine-1");
    let answer = send(request).await;
    assert_eq!((answer.status, answer.header("x-request-id")), (200, "mine-1"));
    let call = stage.neighbours.last_call();
    assert_eq!((call.tenant.name().as_str(), call.request_id.as_str()), (TENANT, "mine-1"));
    assert!(!call.scopes.contains(&domain::Scope::TenantsManage));

    let request = stage.bare("GET", "/v1/jobs").header("x-crawlmesh-tenant", forged);
    assert_eq!(send(request).await.status, 401);
}

#[tokio::test]
async fn a_credential_is_asked_for_once_and_survives_the_auth_service() {
    let stage = Stage::with("[credentials]\nkeep = \"50ms\"\nkeep_refused = \"10m\"").await;
    let path = format!("/v1/{JOB}");
    assert_eq!(send(stage.request("GET", &path)).await.status, 200);
    let bad = || stage.bare("GET", &path).header("x-api-key", "ck_bad");
    assert_eq!(send(bad()).await.status, 401);
    let asked = stage.neighbours.asked.load(Ordering::SeqCst);
    assert_eq!(send(bad()).await.status, 401);
    assert_eq!(stage.neighbours.asked.load(Ordering::SeqCst), asked, "a refusal is remembered");

    stage.neighbours.away.store(true, Ordering::SeqCst);
    // The answer is asked for again once it is older than `keep`, in vain, and is used all the same.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while stage.neighbours.asked.load(Ordering::SeqCst) == asked {
        assert_eq!(send(stage.request("GET", &path)).await.status, 200);
        assert!(std::time::Instant::now() < deadline, "it is never asked for again");
    }
    let unknown = send(stage.bare("GET", &path).header("x-api-key", "ck_new")).await;
    assert_eq!(
        (unknown.status, unknown.reason(), unknown.header("retry-after")),
        (503, "AUTH_UNAVAILABLE", "1")
    );
}

#[tokio::test]
async fn many_requests_with_one_credential_ask_once() {
    let stage = Stage::start().await;
    let requests = (0..50).map(|_| send(stage.request("GET", "/v1/jobs")));
    for answer in futures::future::join_all(requests).await {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(stage.neighbours.asked.load(Ordering::SeqCst), 1);
}
