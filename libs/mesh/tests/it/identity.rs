//! Who is let in, who may call what, and in whose name.

use std::{sync::Arc, time::Duration};

use api::crawler::v1::{ListWorkersRequest, crawler_service_client::CrawlerServiceClient};
use domain::{Scope, Service, TenantId};
use http::HeaderMap;
use mesh::{Ca, Identity, Principal, client::Channel, clock, error_reason, principal_headers};
use tokio::io::AsyncReadExt;
use tonic::{Code, Request, Status, metadata::MetadataMap};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{Handler, Member, answer, channel_to, gateway, start, text, within};

async fn call(member: &Member, identity: &Identity) -> Result<String, Status> {
    member.client(identity).list_workers(within(5_000)).await.map(text)
}

#[track_caller]
fn check(result: Result<String, Status>, code: Code, reason: &str) {
    let status = result.expect_err("because the caller must be refused");
    assert_eq!((status.code(), error_reason(&status).as_deref()), (code, Some(reason)), "{status:?}");
}

#[tokio::test]
async fn the_right_member_is_let_in() {
    let ca = Ca::generate().unwrap();
    let member = start(&ca, Handler::saying("hello")).await;
    assert_eq!(call(&member, &gateway(&ca)).await.unwrap(), "hello");
}

#[tokio::test]
async fn certificates_that_prove_nothing_get_no_connection() {
    let ca = Ca::generate().unwrap();
    let member = start(&ca, Handler::saying("hello")).await;
    let gateway_id = Service::Gateway.spiffe_id();

    let expired = ca.issue_for("gateway", &[&gateway_id], clock::now() - time::Duration::hours(1)).unwrap();
    check(call(&member, &expired).await, Code::Unavailable, "PEER_UNREACHABLE");

    let other = Ca::generate().unwrap();
    let mut foreign = gateway(&other);
    foreign.ca_pem = ca.cert_pem().to_owned();
    check(call(&member, &foreign).await, Code::Unavailable, "PEER_UNREACHABLE");

    // And the other way round: a server of another authority is not believed.
    check(call(&member, &gateway(&other)).await, Code::Unavailable, "PEER_UNREACHABLE");

    assert_eq!(call(&member, &gateway(&ca)).await.unwrap(), "hello", "failed handshakes stop nobody else");
}

#[tokio::test]
async fn a_client_without_a_certificate_fails_in_the_handshake() {
    let ca = Ca::generate().unwrap();
    let member = start(&ca, Handler::saying("hello")).await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = ca.cert_pem().as_bytes();
    roots.add(rustls_pki_types::pem::PemObject::from_pem_slice(pem).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let socket = tokio::net::TcpStream::connect(member.addr).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("crawler").unwrap();
    // In TLS 1.3 the client learns that it was refused when it first reads.
    let mut stream = connector.connect(name, socket).await.unwrap();
    let error = stream.read(&mut [0; 64]).await.unwrap_err().to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
    assert_eq!(call(&member, &gateway(&ca)).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_member_must_be_named_and_only_once() {
    let ca = Ca::generate().unwrap();
    let member = start(&ca, Handler::saying("hello")).await;
    let end = clock::now() + time::Duration::hours(1);
    for uris in
        [&[][..], &["spiffe://elsewhere/gateway"], &["spiffe://crawlmesh/gateway", "spiffe://crawlmesh/job"]]
    {
        let identity = ca.issue_for("gateway", uris, end).unwrap();
        check(call(&member, &identity).await, Code::Unauthenticated, "UNKNOWN_CALLER");
    }
}

#[tokio::test]
async fn a_member_calls_only_what_the_table_allows() {
    let ca = Ca::generate().unwrap();
    let member = start(&ca, Handler::saying("hello")).await;
    for &service in Service::ALL.iter().filter(|&&service| service != Service::Gateway) {
        let identity = ca.issue(service).unwrap();
        check(call(&member, &identity).await, Code::PermissionDenied, "SERVICE_NOT_ALLOWED");
        let mut health = HealthClient::new(member.channel(&identity));
        let service = "crawlmesh.crawler.v1.CrawlerService".to_owned();
        let health = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(health.into_inner().status, 1, "health is open to every member");
    }
}

#[tokio::test]
async fn a_server_with_the_name_of_another_member_is_not_believed() {
    let ca = Ca::generate().unwrap();
    let member = start(&ca, Handler::saying("hello")).await;
    let address = member.addr.to_string();
    let channel = Channel::connect(Service::Job, &address, &gateway(&ca), Duration::from_secs(2));
    let result = CrawlerServiceClient::new(channel).list_workers(within(5_000)).await.map(text);
    check(result, Code::Unavailable, "PEER_UNREACHABLE");
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unavailable() {
    let ca = Ca::generate().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let mut client = CrawlerServiceClient::new(channel_to(addr, &gateway(&ca)));
    check(client.list_workers(within(5_000)).await.map(text), Code::Unavailable, "PEER_UNREACHABLE");

    let nowhere = Channel::connect(Service::Crawler, "not an address", &gateway(&ca), Duration::from_secs(2));
    let result = CrawlerServiceClient::new(nowhere).list_workers(within(5_000)).await.map(text);
    check(result, Code::Unavailable, "PEER_UNREACHABLE");
}

fn on_behalf(principal: &Principal) -> Request<ListWorkersRequest> {
    let mut headers = HeaderMap::new();
    principal_headers(principal, &mut headers);
    let mut request = Request::new(ListWorkersRequest {});
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    request
}

#[tokio::test]
async fn the_gateway_says_for_whom_it_calls() {
    let ca = Ca::generate().unwrap();
    let handler = Handler::new(|request| async move {
        let call = mesh::call(&request)?;
        call.require(Scope::WorkersRead)?;
        answer(format!("{} {}", call.tenant, call.subject))
    });
    let member = start(&ca, handler).await;
    let mut client = member.client(&gateway(&ca));
    let mut principal = Principal {
        tenant: TenantId::new(),
        subject: "api-keys/1".to_owned(),
        scopes: vec![Scope::JobsRead, Scope::WorkersRead],
    };
    let said = client.list_workers(on_behalf(&principal)).await.map(text).unwrap();
    assert_eq!(said, format!("{} api-keys/1", principal.tenant));

    principal.scopes.pop();
    let refused = client.list_workers(on_behalf(&principal)).await.map(text);
    check(refused, Code::PermissionDenied, "MISSING_PERMISSION");
    check(client.list_workers(within(5_000)).await.map(text), Code::Unauthenticated, "MISSING_CREDENTIALS");
}
