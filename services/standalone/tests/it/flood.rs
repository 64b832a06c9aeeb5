//! Too much at once: a queue that is full, a thousand pages that fail, and a confirmation that is lost.

use std::time::Duration;

use api::job::v1::{CancelJobRequest, job::State};
use bytes::Bytes;
use domain::{Lane, Priority, Service};
use queue::{Bus, Work};
use testkit::{Mesh, Proxy, Site, Toxic, Way, eventually, site::Answer};

#[tokio::test(flavor = "multi_thread")]
async fn row_15_a_lost_confirmation_is_asked_for_again_under_the_same_id() {
    let (server, _folder) = testkit::nats().await;
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await;
    let url = server.url().replace(&format!(":{}", server.port()), &format!(":{}", proxy.addr().port()));
    let config =
        queue::Config { url, publish_timeout: Duration::from_millis(500), ..queue::Config::default() };
    let bus = Bus::connect(&config, "row-15").await.expect("because the settings are valid");
    let mut ready = bus.ready();
    ready.wait_for(Result::is_ok).await.expect("because the server is there");

    proxy.harm(Way::Down, Toxic::Silence);
    let work = || Work {
        lane: Lane::Http,
        priority: Priority::Normal,
        id: "once".to_owned(),
        payload: Bytes::from_static(b"once"),
        traceparent: None,
    };
    assert!(matches!(bus.publish_work(work()).await, Err(queue::Error::Unavailable(_))), "unknown, not yes");
    proxy.cut();
    proxy.heal();
    eventually(async || bus.publish_work(work()).await, Result::is_ok).await.expect("because it is back");
    assert_eq!(bus.backlog(Lane::Http).await.expect("because it is back"), 1, "one message");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_18_a_full_queue_holds_pages_back_and_loses_none() {
    let tiny = "[queue]\nmax_work_messages = 5\n";
    let mut builder = Mesh::builder().set(Service::Crawler, "[http]\nslots = 2\n");
    for service in [Service::Job, Service::Crawler, Service::Webhook] {
        builder = builder.set(service, tiny);
    }
    let (mesh, site) = (builder.start().await, Site::start().await);
    let job = mesh.submit(site.pages(100)).await;
    let done = mesh.check_job(&job.name).await;
    assert_eq!((done.state(), done.verdicts.get("ok")), (State::Succeeded, Some(&100)));
    assert_eq!(site.all_hits(), 101, "each page once, and robots.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_22_a_thousand_pages_that_fail_at_once_hold_up_nobody() {
    let mesh = Mesh::start().await;
    let (sick, well) = (Site::start().await, Site::start().await);
    for number in 0..1000 {
        sick.set(&format!("/p/{number}"), Answer::Status(500, "<p>later</p>".to_owned()));
    }
    let failing = mesh.submit(sick.pages(1000)).await;
    eventually(async || sick.all_hits(), |hits| *hits > 300).await;
    let other = mesh.new_tenant("other").await;
    for _ in 0..5 {
        let job = other.submit(well.pages(4)).await;
        assert_eq!(other.check_job(&job.name).await.state(), State::Succeeded);
    }
    let left = mesh.job(&failing.name).await.counts.expect("because a job has counts");
    assert!(left.pending + left.running > 0, "the failing job was at work all the time: {left:?}");
    let cancel = CancelJobRequest { name: failing.name.clone() };
    mesh.jobs.clone().cancel_job(cancel).await.expect("because it runs");
    mesh.check_job(&failing.name).await;
}
