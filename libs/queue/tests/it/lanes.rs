//! Who gets what, when: priorities, limits on what is held, and pulls that wait or are dropped.

use std::time::{Duration, Instant};

use domain::{Lane, Priority};

use crate::support::{
    PATIENCE, at, lapses, nothing, on_each_server, on_each_server_with, ready, take, texts, work,
};

async fn fill(bus: &queue::Bus, each: usize) {
    for priority in [Priority::Low, Priority::Normal, Priority::High] {
        let works = (0..each).map(|n| at(priority, &format!("{priority}-{n}"))).collect();
        assert!(bus.publish_work_batch(works).await.iter().all(Result::is_ok));
    }
}

fn count(deliveries: &[queue::Delivery]) -> [usize; 3] {
    ["high", "normal", "low"].map(|p| texts(deliveries).iter().filter(|t| t.starts_with(p)).count())
}

/// One full sweep; an old server under load may answer too late for one, and then what came is given back.
async fn sweep(bus: &queue::Bus, slots: usize) -> Vec<queue::Delivery> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = bus.pull(Lane::Http).pull(slots).await.unwrap();
        if found.len() == slots {
            return found;
        }
        assert!(Instant::now() < deadline, "{} of {slots}", found.len());
        for delivery in found {
            delivery.nak().await.unwrap();
        }
    }
}

#[tokio::test]
async fn ten_slots_are_shared_by_weight_and_the_high_ones_come_first() {
    on_each_server(async |nats| {
        fill(&nats.bus, 20).await;
        let found = sweep(&nats.bus, 10).await;
        assert_eq!(count(&found), [6, 3, 1]);
        let texts = texts(&found);
        assert!(texts[..6].iter().all(|t| t.starts_with("high")), "{texts:?}");
        assert_eq!((texts[0].as_str(), texts[9].as_str()), ("high-0", "low-0"));
    })
    .await;
}

#[tokio::test]
async fn one_slot_at_a_time_starves_nobody() {
    on_each_server(async |nats| {
        fill(&nats.bus, 30).await;
        let mut puller = nats.bus.pull(Lane::Http);
        let found = {
            let mut found = Vec::new();
            for _ in 0..20 {
                found.extend(take(&mut puller, 1).await);
            }
            found
        };
        assert_eq!(count(&found), [12, 6, 2]);
    })
    .await;
}

#[tokio::test]
async fn slots_that_a_priority_does_not_need_go_to_the_others() {
    on_each_server(async |nats| {
        let works = (0..30).map(|n| at(Priority::Low, &format!("low-{n}"))).collect();
        nats.bus.publish_work_batch(works).await;
        let mut puller = nats.bus.pull(Lane::Http);
        take(&mut puller, 20).await;
        nats.bus.publish_work(at(Priority::High, "high-0")).await.unwrap();
        assert_eq!(count(&take(&mut puller, 11).await), [1, 0, 10]);
    })
    .await;
}

#[tokio::test]
async fn a_message_that_was_given_back_does_not_starve_behind_a_backlog() {
    on_each_server(async |nats| {
        nats.bus.publish_work(at(Priority::High, "high-0")).await.unwrap();
        let mut puller = nats.bus.pull(Lane::Http);
        take(&mut puller, 1).await.remove(0).nak().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "it never came again");
            // There is always a backlog of another priority.
            nats.bus.publish_work(at(Priority::Normal, "normal")).await.unwrap();
            nats.bus.publish_work(at(Priority::Normal, "normal")).await.unwrap();
            let found = take(&mut puller, 1).await;
            found[0].ack().await.unwrap();
            if count(&found)[0] == 1 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_pull_that_waited_takes_what_came_at_the_same_time() {
    on_each_server(async |nats| {
        let mut puller = nats.bus.pull(Lane::Http);
        let (found, published) = tokio::join!(
            puller.pull(20),
            nats.bus
                .publish_work_batch((0..10).map(|n| at(Priority::Normal, &format!("normal-{n}"))).collect())
        );
        assert!(published.iter().all(Result::is_ok));
        let mut texts = texts(&found.unwrap());
        while texts.len() < 10 {
            texts.extend(crate::support::texts(&take(&mut puller, 1).await));
        }
        assert_eq!(texts, (0..10).map(|n| format!("normal-{n}")).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_waiting_pull_gets_a_new_message_at_once() {
    on_each_server_with(
        |config| config.pull_wait = Duration::from_secs(5),
        async |nats| {
            let mut puller = nats.bus.pull(Lane::Http);
            let mut times = Vec::new();
            for n in 0..30 {
                let priority = [Priority::High, Priority::Normal, Priority::Low][n % 3];
                let mut pull = Box::pin(puller.pull(4));
                // Poll it until its requests wait at the server: nothing can come yet.
                assert!(tokio::time::timeout(Duration::from_millis(30), &mut pull).await.is_err());
                let start = Instant::now();
                let (published, found) =
                    tokio::join!(nats.bus.publish_work(at(priority, &n.to_string())), pull);
                times.push(start.elapsed());
                published.unwrap();
                let found = found.unwrap();
                assert_eq!(texts(&found), [n.to_string()]);
                found[0].ack().await.unwrap();
            }
            times.sort();
            assert!(times[15] < Duration::from_secs(1), "{times:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn a_pull_ends_empty_after_its_wait() {
    on_each_server(async |nats| {
        let start = Instant::now();
        assert!(nats.bus.pull(Lane::Http).pull(3).await.unwrap().is_empty());
        assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test]
async fn an_idle_worker_with_one_slot_holds_one_message() {
    on_each_server(async |nats| {
        for round in 0..10 {
            let mut puller = nats.bus.pull(Lane::Http);
            let works =
                [Priority::Low, Priority::Normal, Priority::High].map(|p| at(p, &format!("{p}-{round}")));
            let mut pull = Box::pin(puller.pull(1));
            assert!(tokio::time::timeout(Duration::from_millis(30), &mut pull).await.is_err());
            let (published, found) = tokio::join!(nats.bus.publish_work_batch(works.to_vec()), pull);
            assert!(published.iter().all(Result::is_ok));
            let found = found.unwrap();
            assert_eq!(found.len(), 1);
            // The others are not held here: another worker gets them at once. The server may count a delivery that it
            // took back itself.
            let start = Instant::now();
            let others = take(&mut nats.bus.pull(Lane::Http), 2).await;
            assert!(others.iter().all(|d| d.deliveries <= 2 && lapses(d) == 0));
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
            for delivery in found.iter().chain(&others) {
                delivery.ack().await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_pull_may_be_dropped_at_any_time() {
    on_each_server(async |nats| {
        let bus = nats.bus.clone();
        let mut publisher = tokio::task::JoinSet::new();
        publisher.spawn(async move {
            for n in 0..300 {
                bus.publish_work(work(&n.to_string())).await.unwrap();
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        });
        let (mut puller, mut seen, mut patience) = (nats.bus.pull(Lane::Http), Vec::new(), 0_u64);
        let deadline = Instant::now() + Duration::from_secs(20);
        while seen.len() < 300 {
            assert!(Instant::now() < deadline, "{} of 300: some wait for ack_wait", seen.len());
            patience = (patience + 37) % 2500;
            // Each drop is at another point of the pull.
            let Ok(found) = tokio::time::timeout(Duration::from_micros(patience), puller.pull(5)).await
            else {
                continue;
            };
            for delivery in found.unwrap() {
                assert_eq!(delivery.deliveries, 1);
                delivery.ack().await.unwrap();
                seen.push(delivery.payload);
            }
        }
        publisher.join_all().await;
        assert!(nothing(&mut puller).await);
    })
    .await;
}

#[tokio::test]
async fn many_waiting_workers_get_one_message_each() {
    on_each_server_with(
        |config| config.pull_wait = Duration::from_secs(5),
        async |nats| {
            let mut workers = tokio::task::JoinSet::new();
            for _ in 0..50 {
                let mut puller = nats.bus.pull(Lane::Http);
                workers.spawn(async move {
                    loop {
                        let found = puller.pull(1).await.unwrap();
                        if !found.is_empty() {
                            found[0].ack().await.unwrap();
                            return texts(&found);
                        }
                    }
                });
            }
            let works = (0..50).map(|n| at(Priority::ALL[n % 3], &n.to_string())).collect();
            nats.bus.publish_work_batch(works).await;
            let mut seen = workers.join_all().await.concat();
            seen.sort_by_key(|t| t.parse::<u32>().unwrap());
            assert_eq!(seen, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
        },
    )
    .await;
}

#[tokio::test]
async fn a_closed_puller_returns_what_was_on_its_way() {
    on_each_server(async |nats| {
        let mut puller = nats.bus.pull(Lane::Http);
        let mut pull = Box::pin(puller.pull(1));
        // Dropped while it waits, its request stays at the server and takes the next message.
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut pull).await.is_err());
        drop(pull);
        nats.bus.publish_work(work("a")).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while nats.bus.backlog(Lane::Http).await.unwrap() > 0 {
            assert!(Instant::now() < deadline, "nobody took it");
        }
        assert_eq!(texts(&puller.close().await), ["a"]);
    })
    .await;
}

/// What the client still holds is lost with its last handle, if that goes before the connection's task has run.
#[tokio::test]
async fn a_flushed_ack_arrives_though_its_worker_ends() {
    let ack_wait = Duration::from_secs(3);
    let soon = |config: &mut queue::Config| {
        (config.ack_wait, config.progress_interval) = (ack_wait, Duration::from_secs(1));
    };
    on_each_server_with(soon, async |nats| {
        for round in 0..10 {
            let worker = queue::Bus::connect(&nats.config, "worker").await.unwrap();
            ready(&worker).await;
            nats.bus.publish_work(work(&round.to_string())).await.unwrap();
            let found = take(&mut worker.pull(Lane::Http), 1).await;
            found[0].ack().await.unwrap();
            worker.flush().await;
        }
        let (mut puller, end) = (nats.bus.pull(Lane::Http), Instant::now() + 2 * ack_wait);
        while Instant::now() < end {
            assert!(nothing(&mut puller).await, "it comes again");
        }
    })
    .await;
}

#[tokio::test]
async fn a_closed_puller_takes_nothing_any_more() {
    on_each_server(async |nats| {
        for round in 0..20 {
            let mut puller = nats.bus.pull(Lane::Http);
            assert!(tokio::time::timeout(Duration::from_millis(50), puller.pull(4)).await.is_err());
            assert!(puller.close().await.is_empty());
            nats.bus.publish_work(work(&round.to_string())).await.unwrap();
            let found = take(&mut nats.bus.pull(Lane::Http), 1).await;
            assert_eq!((texts(&found), found[0].deliveries), (vec![round.to_string()], 1));
            found[0].ack().await.unwrap();
        }
    })
    .await;
}
