//! Native gRPC on the public port.

use api::{
    auth::v1::{AuthenticateRequest, GetJwksRequest, auth_service_client::AuthServiceClient},
    job::v1::{CreateCrawlJobRequest, GetJobRequest, WatchJobRequest, job_service_client::JobServiceClient},
};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    neighbours::{GOOD_KEY, JOB, TENANT},
    stage::Stage,
};

async fn channel(stage: &Stage) -> Channel {
    Endpoint::from_shared(stage.url("")).unwrap().connect().await.unwrap()
}

fn with_key<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-api-key", GOOD_KEY.parse().unwrap());
    request
}

fn told(status: &Status) -> (Code, String) {
    (status.code(), mesh::error_reason(status).unwrap_or_default())
}

#[tokio::test]
async fn calls_go_through_with_the_principal_and_without_the_credential() {
    let stage = Stage::start().await;
    let mut jobs = JobServiceClient::new(channel(&stage).await);
    let mut request =
        with_key(CreateCrawlJobRequest { urls: vec!["https://example.com/".into()], ..Default::default() });
    request.metadata_mut().insert("x-crawlmesh-scopes", "tenants:manage".parse().unwrap());
    request.metadata_mut().insert("x-request-id", "mine-2".parse().unwrap());
    request.set_timeout(std::time::Duration::from_secs(5));
    let answer = jobs.create_crawl_job(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "mine-2");
    assert_eq!(answer.get_ref().name, JOB);
    let call = stage.neighbours.last_call();
    assert_eq!((call.tenant.name().as_str(), call.request_id.as_str()), (TENANT, "mine-2"));
    assert!(!call.scopes.contains(&domain::Scope::TenantsManage));
    assert!(
        call.deadline - tokio::time::Instant::now() < std::time::Duration::from_secs(6),
        "the deadline goes on"
    );
    let headers = stage.neighbours.headers.lock().unwrap().clone().unwrap();
    assert!(!headers.contains_key("x-api-key") && !headers.contains_key("authorization"));

    let name = JOB.to_owned();
    let mut events =
        jobs.watch_job(with_key(WatchJobRequest { name, after_sequence: 4 })).await.unwrap().into_inner();
    assert_eq!(events.message().await.unwrap().unwrap().sequence, 5);
    assert_eq!(events.message().await.unwrap().unwrap().sequence, 6);
    assert!(events.message().await.unwrap().is_none());
}

#[tokio::test]
async fn errors_have_the_reasons_of_rest() {
    let stage = Stage::start().await;
    let channel = channel(&stage).await;
    let mut jobs = JobServiceClient::new(channel.clone());
    let get = |name: &str| GetJobRequest { name: name.to_owned(), wait: None };
    let missing = jobs.get_job(with_key(get("jobs/missing"))).await.unwrap_err();
    assert_eq!(told(&missing), (Code::NotFound, "JOB_NOT_FOUND".into()));
    let open = jobs.get_job(get(JOB)).await.unwrap_err();
    assert_eq!(told(&open), (Code::Unauthenticated, "MISSING_CREDENTIALS".into()));

    let mut auth = AuthServiceClient::new(channel);
    let request = with_key(AuthenticateRequest { credential: GOOD_KEY.into() });
    let internal = auth.authenticate(request).await.unwrap_err();
    assert_eq!(
        told(&internal),
        (Code::Unimplemented, "METHOD_NOT_FOUND".into()),
        "internal methods do not exist here"
    );
    assert_eq!(auth.get_jwks(GetJwksRequest {}).await.unwrap().get_ref().keys.len(), 1);
}

#[tokio::test]
async fn health_and_reflection_are_answered() {
    let stage = Stage::start().await;
    let mut health = HealthClient::new(channel(&stage).await);
    let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while health.check(ask("")).await.unwrap().get_ref().status() != ServingStatus::Serving {
        assert!(std::time::Instant::now() < deadline, "never ready");
    }
    assert_eq!(health.check(ask("x")).await.unwrap_err().code(), Code::NotFound);
    let mut watch = health.watch(ask("")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    stage.shutdown.begin();
}

#[tokio::test]
async fn a_shutdown_lets_calls_finish() {
    let stage = Stage::start().await;
    let mut jobs = JobServiceClient::new(channel(&stage).await);
    let request = with_key(WatchJobRequest { name: "jobs/endless".into(), after_sequence: 0 });
    let mut events = jobs.watch_job(request).await.unwrap().into_inner();
    assert!(events.message().await.unwrap().is_some());
    stage.shutdown.begin();
    assert!(events.message().await.unwrap().is_some(), "what was on its way arrives");
    drop((events, jobs));
    stage.gateway.await.unwrap().unwrap();
}
