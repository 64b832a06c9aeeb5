//! What a crawler tells about itself.

use api::crawler::v1::{ListWorkersRequest, crawler_service_client::CrawlerServiceClient};
use domain::{Scope, Service, TenantId};
use mesh::{Principal, client::Channel};
use tonic::{Code, Request};

use crate::boot::{Bed, PATIENCE};

fn request(scopes: Vec<Scope>) -> Request<ListWorkersRequest> {
    let mut headers = Default::default();
    let principal = Principal { tenant: TenantId::new(), subject: "api-keys/test".to_owned(), scopes };
    mesh::principal_headers(&principal, &mut headers);
    let metadata = tonic::metadata::MetadataMap::from_headers(headers);
    Request::from_parts(metadata, Default::default(), ListWorkersRequest {})
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_are_told_to_those_who_may_know() {
    let bed = Bed::start("browser.executable = \"/nowhere\"").await;
    let address = &bed.crawler.as_ref().unwrap().address;
    let gateway = bed.ca.issue(Service::Gateway).unwrap();
    let channel = Channel::connect(Service::Crawler, address, &gateway, PATIENCE);
    let mut client = CrawlerServiceClient::new(channel);
    let refused = client.list_workers(request(vec![Scope::JobsRead])).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let workers = client.list_workers(request(vec![Scope::WorkersRead])).await.unwrap().into_inner().workers;
    assert!(workers.len() == 1 && workers[0].name.starts_with("workers/") && workers[0].start_time.is_some());
    let lanes: Vec<_> =
        workers[0].lanes.iter().map(|lane| (lane.lane.as_str(), lane.slots, lane.available)).collect();
    assert_eq!(lanes, [("http", 16, true), ("browser", 12, false)]);
    assert!(workers[0].lanes[1].detail.starts_with("no Chromium found"));
}
