//! Following a job: server-sent events and NDJSON from any point, and cancelling while one watches.

use api::job::v1::{CancelJobRequest, WatchJobRequest, job::State};
use std::time::Duration;
use testkit::{Mesh, Site, site::Answer};

/// `(id, event)` of each server-sent event in `text`.
fn events(text: &str) -> Vec<(u64, String)> {
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    text.split("\n\n")
        .filter_map(|block| Some((field(block, "id")?.parse().ok()?, field(block, "event")?)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events_resume_and_end_with_one_terminal_event() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let job = mesh.submit(site.pages(20)).await;
    let watch = |last: Option<u64>| {
        let mut request = mesh
            .rest
            .request(reqwest::Method::GET, &format!("/v1/{}/events", job.name))
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        testkit::rest_send(request)
    };
    let answer = watch(None).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let all = events(&answer.text);
    assert_eq!(all.first(), Some(&(1, "job.created".to_owned())), "{}", answer.text);
    let ids: Vec<_> = all.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, (1..=all.len() as u64).collect::<Vec<_>>(), "sequences have no gaps");
    let terminal = |kind: &str| matches!(kind, "job.succeeded" | "job.failed" | "job.cancelled");
    assert_eq!(all.iter().filter(|(_, kind)| terminal(kind)).count(), 1);
    assert_eq!(all.last().map(|(_, kind)| kind.as_str()), Some("job.succeeded"));

    let rest = events(&watch(Some(2)).await.text);
    assert_eq!(rest, all[2..], "Last-Event-ID resumes");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_running_pages_soon() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site.set("/hang", Answer::Hang);
    let mut urls = vec![site.url("/hang")];
    urls.extend(site.pages(3));
    let job = mesh.submit(urls).await;
    testkit::eventually(async || site.hits("/hang"), |hits| *hits == 1).await;
    let done = |job: &api::job::v1::Job| job.counts.is_some_and(|counts| counts.succeeded == 3);
    testkit::eventually(async || mesh.job(&job.name).await, done).await;

    let mut jobs = mesh.jobs.clone();
    let request = WatchJobRequest { name: job.name.clone(), after_sequence: 0 };
    let mut events = mesh.jobs.clone().watch_job(request).await.expect("because the job exists").into_inner();
    let cancelled =
        jobs.cancel_job(CancelJobRequest { name: job.name.clone() }).await.expect("because it runs");
    let cancelled = cancelled.into_inner();
    testkit::assert_adds_up(&cancelled);
    assert_eq!(cancelled.state(), State::Cancelled);
    let counts = cancelled.counts.expect("because a job has counts");
    assert_eq!((counts.succeeded, counts.cancelled), (3, 1));

    let again =
        jobs.cancel_job(CancelJobRequest { name: job.name.clone() }).await.expect("because twice is once");
    assert_eq!(again.into_inner().end_time, cancelled.end_time);

    let mut last = String::new();
    let follow = async {
        while let Some(event) = events.message().await.expect("because the stream ends in order") {
            last = event.r#type;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), follow)
        .await
        .expect("because the log has its terminal event");
    assert_eq!(last, "job.cancelled");
}
