//! Webhooks in the whole mesh: retries over a restart, dead and slow receivers, forbidden targets, secrets by tenant.

use std::collections::HashSet;

use api::{
    job::v1::{CreateCrawlJobRequest, WebhookTarget},
    webhook::v1::{Delivery, GetSigningSecretRequest, ListDeliveriesRequest, delivery::State},
};
use domain::Service;
use testkit::{Clients, Inbox, Mesh, Site, eventually};

async fn job_with_webhook(clients: &Clients, page: String, url: String) -> String {
    let webhook = Some(WebhookTarget { url, ..WebhookTarget::default() });
    let request = CreateCrawlJobRequest { urls: vec![page], webhook, ..CreateCrawlJobRequest::default() };
    clients.create(request).await.name
}

async fn deliveries(clients: &Clients, job: &str) -> Vec<Delivery> {
    let request = ListDeliveriesRequest { parent: job.to_owned(), ..ListDeliveriesRequest::default() };
    let answer = clients.webhooks.clone().list_deliveries(request).await;
    answer.map(|answer| answer.into_inner().deliveries).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_attempts_loses_nothing() {
    let soon = "[delivery]\nschedule = [\"1s\", \"1s\", \"1s\"]\nthrottle_floor = \"0s\"";
    let mut mesh = Mesh::builder().set(Service::Webhook, soon).start().await;
    let (site, inbox) = (Site::start().await, Inbox::start().await);
    inbox.answer_next([500]);
    let job = job_with_webhook(&mesh, site.url("/p/1"), inbox.url()).await;
    // Before the attempt is on record, a crash would be an attempt that never was.
    let tried = |list: &Vec<Delivery>| list.first().is_some_and(|one| !one.attempts.is_empty());
    eventually(async || deliveries(&mesh, &job).await, tried).await;
    mesh.embedded.stop_service(Service::Webhook, true).await.expect("because it runs");
    mesh.embedded.start_service(Service::Webhook).await.expect("because its port is free again");
    let delivered = |list: &Vec<Delivery>| list.first().is_some_and(|one| one.state() == State::Delivered);
    let list = eventually(async || deliveries(&mesh, &job).await, delivered).await;
    assert_eq!((list.len(), list[0].attempts.len()), (1, 2), "{list:?}");
    let received = inbox.received();
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_delays_no_other_and_a_gone_one_is_left_alone() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let (slow, quick, gone) = (Site::start().await, Inbox::start().await, Inbox::start().await);
    slow.set("/hook", testkit::site::Answer::Hang);
    gone.answer_next([410]);
    let stuck = job_with_webhook(&mesh, site.url("/p/1"), slow.url("/hook")).await;
    eventually(async || slow.hits("/hook"), |hits| *hits == 1).await;
    job_with_webhook(&mesh, site.url("/p/2"), quick.url()).await;
    eventually(async || quick.received().len(), |count| *count == 1).await;
    assert_eq!(
        deliveries(&mesh, &stuck).await[0].state(),
        State::Pending,
        "the slow one is still on its way"
    );

    let job = job_with_webhook(&mesh, site.url("/p/3"), gone.url()).await;
    let failed = |list: &Vec<Delivery>| list.first().is_some_and(|one| one.state() == State::Failed);
    let list = eventually(async || deliveries(&mesh, &job).await, failed).await;
    assert_eq!(list[0].attempts[0].http_status, Some(410));
    assert_eq!(list[0].next_attempt_time, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_forbidden_gets_nothing_and_the_attempt_says_so() {
    // The job service still allows loopback: as if the name had turned private after the job was made.
    let mesh = Mesh::builder().set(Service::Webhook, "[egress]\nallow_targets = []").start().await;
    let (site, inbox) = (Site::start().await, Inbox::start().await);
    let job = job_with_webhook(&mesh, site.url("/p/1"), inbox.url()).await;
    let tried = |list: &Vec<Delivery>| list.first().is_some_and(|one| !one.attempts.is_empty());
    let list = eventually(async || deliveries(&mesh, &job).await, tried).await;
    assert_eq!(list[0].attempts[0].error, "not_allowed");
    assert_eq!(inbox.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_has_its_own_secret_and_deliveries() {
    let (mesh, site, inbox) = (Mesh::start().await, Site::start().await, Inbox::start().await);
    let other = mesh.new_tenant("other").await;
    let mut secrets = HashSet::new();
    for clients in [&*mesh, &other] {
        let ask = async || {
            let answer = clients.webhooks.clone().get_signing_secret(GetSigningSecretRequest {}).await;
            answer.expect("because the key may").into_inner().secret
        };
        let secret = ask().await;
        assert_eq!(secret, ask().await, "it stays the same");
        secrets.insert(secret);
    }
    assert_eq!(secrets.len(), 2);
    let job = job_with_webhook(&mesh, site.url("/p/1"), inbox.url()).await;
    eventually(async || inbox.received().len(), |count| *count == 1).await;
    assert_eq!(deliveries(&other, &job).await, []);
}
