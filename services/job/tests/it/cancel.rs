//! Cancelling.

use api::job::v1::{job::State, page::Verdict};
use domain::Lane;
use tokio_stream::StreamExt;
use tonic::Code;

use crate::bench::{Bench, PATIENCE, ok, on_both, read, reason, state};

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_gives_every_open_page_its_verdict_and_late_outcomes_are_dropped() {
    on_both(async |bench: Bench| {
        let mut hints = bench.bus.listen("cancel").await.unwrap();
        let job =
            bench.create(&["https://example.com/a", "https://example.com/b", "https://example.com/c"]).await;
        bench.crawl(Lane::Http, 1, ok).await;
        let late = bench.tasks(Lane::Http, 1).await;
        crate::bench::eventually(|| bench.job(&job.name), |job| job.counts.unwrap().succeeded == 1).await;
        let cancelled = bench.cancel(&job.name).await.unwrap();
        let counts = cancelled.counts.unwrap();
        assert_eq!((state(&cancelled), counts.succeeded, counts.cancelled), (State::Cancelled, 1, 2));
        let hint = tokio::time::timeout(PATIENCE, hints.next()).await.unwrap().unwrap();
        assert_eq!(format!("jobs/{}", std::str::from_utf8(&hint).unwrap()), job.name);

        bench.answer(&ok(&read(&late[0])), "late").await;
        // What comes after it has been settled, too: so has the late one.
        let other = bench.create(&["https://example.com/z"]).await;
        for delivery in bench.tasks(Lane::Http, 2).await {
            let task = read(&delivery);
            bench.answer(&ok(&task), &task.page).await;
            delivery.ack().await.unwrap();
        }
        bench.ended(&other.name).await;
        let again = bench.cancel(&job.name).await.unwrap();
        assert_eq!(again, cancelled, "cancelling twice changes nothing");
        let pages = bench.pages(&job.name).await;
        assert_eq!(pages.iter().filter(|page| page.verdict() == Verdict::Cancelled).count(), 2);
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_cannot_be_cancelled() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/a"]).await;
        bench.crawl(Lane::Http, 1, ok).await;
        bench.ended(&job.name).await;
        let refused = bench.cancel(&job.name).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "JOB_FINISHED"));
        let nobody = bench.cancel(&domain::JobId::new().name()).await.unwrap_err();
        assert_eq!((nobody.code(), reason(&nobody).as_str()), (Code::NotFound, "JOB_NOT_FOUND"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_65_cancelling_races_with_outcomes_and_the_ledger_adds_up() {
    on_both(async |bench: Bench| {
        for _ in 0..10 {
            let job = bench.create(&["https://example.com/a", "https://example.com/b"]).await;
            let tasks = bench.tasks(Lane::Http, 2).await;
            let finish = async {
                for delivery in &tasks {
                    let task = read(delivery);
                    bench.answer(&ok(&task), &task.page).await;
                    delivery.ack().await.unwrap();
                }
            };
            let (cancelled, ()) = tokio::join!(bench.cancel(&job.name), finish);
            if let Err(refused) = cancelled {
                assert_eq!(reason(&refused), "JOB_FINISHED");
            }
            bench.ended(&job.name).await;
            bench.check(&job.name).await;
        }
    })
    .await;
}
