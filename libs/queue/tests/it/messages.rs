//! What happens to one message: stored, pulled, acked, kept alive, given back.

use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::Lane;
use futures::StreamExt;
use queue::Error;

use crate::support::{eventually, lapses, nothing, on_each_server, on_each_server_with, take, texts, work};

#[tokio::test]
async fn a_message_goes_round_and_is_gone_after_its_ack() {
    on_each_server(async |nats| {
        nats.bus.publish_work(work("a")).await.unwrap();
        assert_eq!(nats.bus.backlog(Lane::Http).await.unwrap(), 1);
        assert_eq!(nats.bus.backlog(Lane::Browser).await.unwrap(), 0);
        let mut puller = nats.bus.pull(Lane::Http);
        let found = take(&mut puller, 1).await;
        assert_eq!((texts(&found), found[0].deliveries), (vec!["a".to_owned()], 1));
        assert_eq!(nats.bus.backlog(Lane::Http).await.unwrap(), 0);
        found[0].ack().await.unwrap();
        assert!(nothing(&mut puller).await);
        assert!(nothing(&mut nats.bus.pull(Lane::Browser)).await);
    })
    .await;
}

#[tokio::test]
async fn row_15_the_same_id_is_stored_once() {
    on_each_server(async |nats| {
        for _ in 0..3 {
            nats.bus.publish_work(work("same")).await.unwrap();
        }
        nats.bus.publish_outcome("same".into(), Bytes::from_static(b"1")).await.unwrap();
        nats.bus.publish_outcome("same".into(), Bytes::from_static(b"2")).await.unwrap();
        assert_eq!(nats.bus.backlog(Lane::Http).await.unwrap(), 1);
        let mut outcomes = nats.bus.outcomes("reader");
        assert_eq!(texts(&outcomes.pull(10, Duration::from_secs(5)).await.unwrap()), ["1"]);
    })
    .await;
}

#[tokio::test]
async fn an_unacked_message_comes_back_and_one_kept_alive_does_not() {
    let fast = |config: &mut queue::Config| {
        config.ack_wait = Duration::from_secs(2);
        config.progress_interval = Duration::from_millis(200);
    };
    on_each_server_with(fast, async |nats| {
        for id in ["forgotten", "alive"] {
            nats.bus.publish_work(work(id)).await.unwrap();
        }
        let mut puller = nats.bus.pull(Lane::Http);
        let first = take(&mut puller, 2).await;
        let guard = first.iter().find(|d| d.payload == "alive").unwrap().keep_alive();
        for deliveries in 2..=3 {
            let again = take(&mut puller, 1).await;
            assert_eq!((texts(&again), again[0].deliveries), (vec!["forgotten".to_owned()], deliveries));
            assert_eq!(lapses(&again[0]), deliveries - 1);
        }
        // Without the guard the other comes back too.
        drop(guard);
        let mut seen = Vec::new();
        while !seen.contains(&"alive".to_owned()) {
            let again = take(&mut puller, 1).await;
            again[0].ack().await.unwrap();
            seen.extend(texts(&again));
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_given_back_comes_at_once_and_a_terminated_one_never() {
    let fast = |config: &mut queue::Config| {
        config.ack_wait = Duration::from_secs(2);
        config.progress_interval = Duration::from_millis(200);
    };
    on_each_server_with(fast, async |nats| {
        nats.bus.publish_work(work("a")).await.unwrap();
        let mut puller = nats.bus.pull(Lane::Http);
        let found = take(&mut puller, 1).await;
        let start = Instant::now();
        found[0].nak().await.unwrap();
        let again = take(&mut puller, 1).await;
        assert!(start.elapsed() < Duration::from_millis(1900), "before ack_wait");
        assert_eq!((again[0].deliveries, lapses(&again[0])), (2, 0));
        again[0].term().await.unwrap();
        while start.elapsed() < Duration::from_millis(4500) {
            assert!(nothing(&mut puller).await);
        }
    })
    .await;
}

#[tokio::test]
async fn row_19_a_message_that_does_not_fit_is_refused_with_the_limit() {
    on_each_server(async |nats| {
        let limit = nats.bus.max_payload();
        let fits = Bytes::from(vec![b'x'; limit]);
        nats.bus.publish_outcome("fits".into(), fits).await.unwrap();
        let too_large = Bytes::from(vec![b'x'; limit + 1]);
        let refused = nats.bus.publish_outcome("large".into(), too_large.clone()).await;
        assert_eq!(refused, Err(Error::TooLarge { limit }));
        let refused = nats.bus.publish_work(queue::Work { payload: too_large, ..work("large") }).await;
        assert_eq!(refused, Err(Error::TooLarge { limit }));
        nats.bus.publish_work(work("next")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn row_18_a_full_stream_refuses_and_keeps_what_it_has() {
    on_each_server_with(
        |config| config.max_work_messages = 3,
        async |nats| {
            let works = (0..5).map(|n| work(&n.to_string())).collect();
            let results = nats.bus.publish_work_batch(works).await;
            assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 3, "{results:?}");
            assert_eq!(results.iter().filter(|r| **r == Err(Error::Full)).count(), 2, "{results:?}");
            let mut puller = nats.bus.pull(Lane::Http);
            for delivery in take(&mut puller, 3).await {
                delivery.ack().await.unwrap();
            }
            eventually(async || nats.bus.publish_work(work("more")).await).await;
        },
    )
    .await;
}

#[tokio::test]
async fn readers_of_outcomes_share_by_name() {
    on_each_server(async |nats| {
        for n in 0..20 {
            nats.bus.publish_outcome(n.to_string(), Bytes::from(n.to_string())).await.unwrap();
        }
        let wait = Duration::from_secs(5);
        let (mut one, mut two) = (nats.bus.outcomes("job"), nats.bus.outcomes("job"));
        let mut other = nats.bus.outcomes("other");
        let first = one.pull(12, wait).await.unwrap();
        let second = two.pull(12, wait).await.unwrap();
        assert_eq!((first.len(), second.len()), (12, 8));
        assert_eq!(other.pull(100, wait).await.unwrap().len(), 20);
        assert!(one.pull(5, Duration::from_millis(200)).await.unwrap().is_empty());
        assert!(one.pull(0, wait).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn hints_reach_those_who_listen() {
    on_each_server(async |nats| {
        let (mut one, mut two) =
            (nats.bus.listen("work").await.unwrap(), nats.bus.listen("work").await.unwrap());
        let mut other = nats.bus.listen("cancel").await.unwrap();
        nats.bus.notify("work", Bytes::from_static(b"a")).await;
        nats.bus.notify("cancel", Bytes::from_static(b"b")).await;
        assert_eq!(one.next().await.unwrap(), "a");
        assert_eq!(two.next().await.unwrap(), "a");
        assert_eq!(other.next().await.unwrap(), "b");
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_messages_go_through_exactly_once() {
    on_each_server(async |nats| {
        let works = (0..10_000).map(|n| work(&n.to_string())).collect();
        let results = nats.bus.publish_work_batch(works).await;
        assert!(results.iter().all(Result::is_ok));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let bus = nats.bus.clone();
            workers.spawn(async move {
                let (mut puller, mut seen) = (bus.pull(Lane::Http), Vec::new());
                loop {
                    let found = puller.pull(64).await.unwrap();
                    assert!(found.len() <= 64);
                    if found.is_empty() {
                        return seen;
                    }
                    for delivery in &found {
                        delivery.ack().await.unwrap();
                    }
                    seen.extend(texts(&found));
                }
            });
        }
        let mut seen: Vec<String> = workers.join_all().await.concat();
        assert_eq!(seen.len(), 10_000);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
    })
    .await;
}
