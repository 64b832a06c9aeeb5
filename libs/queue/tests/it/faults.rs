//! Servers that are away, killed, wiped or set up otherwise.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use domain::Lane;
use futures::StreamExt;
use queue::{Bus, Delivery, Epoch, Error, server::NatsServer};

use crate::support::{
    Nats, PATIENCE, eventually, nothing, on_each_server, on_each_server_with, ready, take, texts, work,
};

#[tokio::test]
async fn row_08_a_killed_server_keeps_what_it_acknowledged() {
    on_each_server(async |mut nats| {
        let works = (0..100).map(|n| work(&n.to_string())).collect();
        assert!(nats.bus.publish_work_batch(works).await.iter().all(Result::is_ok));
        nats.server.kill().await.unwrap();

        let mut state = nats.bus.ready();
        tokio::time::timeout(PATIENCE, state.wait_for(Result::is_err)).await.unwrap().unwrap();
        let start = Instant::now();
        let refused = nats.bus.publish_work(work("away")).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        assert!(matches!(nats.bus.pull(Lane::Http).pull(1).await, Err(Error::Unavailable(_))));
        assert!(matches!(nats.bus.backlog(Lane::Http).await, Err(Error::Unavailable(_))));
        assert!(start.elapsed() < Duration::from_secs(4), "fails at once: {:?}", start.elapsed());

        nats.server.restart().await.unwrap();
        ready(&nats.bus).await;
        let mut puller = nats.bus.pull(Lane::Http);
        let mut seen = texts(&take(&mut puller, 100).await);
        seen.sort_by_key(|t| t.parse::<u32>().unwrap());
        assert_eq!(seen, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
        nats.bus.publish_work(work("after")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn row_09_a_wiped_server_is_set_up_again() {
    on_each_server(async |mut nats| {
        nats.bus.publish_work(work("lost")).await.unwrap();
        nats.bus.publish_outcome("lost".into(), Bytes::new()).await.unwrap();
        let mut outcomes = nats.bus.outcomes("job");
        assert_eq!(outcomes.pull(10, Duration::from_secs(5)).await.unwrap().len(), 1);
        let mut puller = nats.bus.pull(Lane::Http);
        let before = *nats.bus.epochs().borrow();

        nats.server.kill().await.unwrap();
        std::fs::remove_dir_all(nats.server.store_dir()).unwrap();
        nats.server.restart().await.unwrap();

        let after = next_epoch(&nats.bus, before).await;
        assert!(after.work_created > before.work_created, "{before:?} {after:?}");
        assert_eq!(after.rollbacks, before.rollbacks + 1);
        eventually(async || nats.bus.publish_work(work("new")).await).await;
        eventually(async || nats.bus.publish_outcome("new".into(), Bytes::from_static(b"new")).await).await;
        let found = eventually(async || some(puller.pull(10).await)).await;
        assert_eq!(texts(&found), ["new"]);
        let found = eventually(async || some(outcomes.pull(10, Duration::from_secs(1)).await)).await;
        assert_eq!(texts(&found), ["new"]);
    })
    .await;
}

/// The numbers of messages begin anew: an answer to the old one would be one to the new one.
#[tokio::test]
async fn row_09_answers_stop_at_a_store_that_was_made_anew() {
    let fast = |config: &mut queue::Config| {
        config.ack_wait = Duration::from_secs(2);
        config.progress_interval = Duration::from_millis(200);
    };
    on_each_server_with(fast, async |mut nats| {
        nats.bus.publish_work(work("old")).await.unwrap();
        let mut puller = nats.bus.pull(Lane::Http);
        let first = *nats.bus.epochs().borrow();
        let old = take(&mut puller, 1).await.remove(0);
        nats.server.kill().await.unwrap();
        let mut state = nats.bus.ready();
        tokio::time::timeout(PATIENCE, state.wait_for(Result::is_err)).await.unwrap().unwrap();
        // It would wait in the client, for whatever server comes next.
        assert!(matches!(old.ack().await, Err(Error::Unavailable(_))));
        nats.server.restart().await.unwrap();
        let second = next_epoch(&nats.bus, first).await;
        eventually(async || old.progress().await).await;

        let beat = old.keep_alive();
        nats.server.kill().await.unwrap();
        std::fs::remove_dir_all(nats.server.store_dir()).unwrap();
        nats.server.restart().await.unwrap();
        next_epoch(&nats.bus, second).await;
        ready(&nats.bus).await;
        nats.bus.publish_work(work("new")).await.unwrap();
        let new = eventually(async || some(puller.pull(1).await)).await.remove(0);
        for answer in [old.ack().await, old.progress().await, old.nak().await, old.term().await] {
            assert_eq!(answer, Err(Error::Gone));
        }
        // Nobody keeps it alive, and nobody has taken it away.
        let again = take(&mut puller, 1).await.remove(0);
        assert_eq!((&again.payload, again.deliveries), (&new.payload, 2));
        again.ack().await.unwrap();
        drop(beat);
    })
    .await;
}

/// By somebody else, and on the same connection.
#[tokio::test]
async fn row_17_answers_stop_at_a_stream_that_was_made_anew() {
    on_each_server(async |nats| {
        nats.bus.publish_work(work("old")).await.unwrap();
        nats.bus.publish_outcome("old".into(), Bytes::from_static(b"old")).await.unwrap();
        let (mut puller, mut outcomes) = (nats.bus.pull(Lane::Http), nats.bus.outcomes("job"));
        let task = take(&mut puller, 1).await.remove(0);
        let outcome = outcomes.pull(1, PATIENCE).await.unwrap().remove(0);
        // What it waits with at the consumers is told that they are gone.
        assert!(nothing(&mut puller).await);
        let before = *nats.bus.epochs().borrow();
        let js = admin(&nats).await;
        js.delete_stream("TEST_WORK").await.unwrap();
        let other = Bus::connect(&nats.config, "other").await.unwrap();
        ready(&other).await;
        other.publish_work(work("new")).await.unwrap();
        let new = eventually(async || {
            let found = puller.pull(1).await;
            if nats.bus.epochs().borrow().work_created == before.work_created {
                for early in found? {
                    early.nak().await?;
                }
                return Err(Error::Unavailable("not noticed yet".into()));
            }
            let found = some(found)?;
            found[0].progress().await.map(|()| found)
        })
        .await;
        assert_eq!(texts(&new), ["new"]);
        assert_eq!(task.ack().await, Err(Error::Gone));
        outcome.ack().await.unwrap();
        new[0].ack().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn row_10_a_store_that_was_rolled_back_is_noticed() {
    on_each_server(async |mut nats| {
        nats.bus.publish_work(work("kept")).await.unwrap();
        nats.server.kill().await.unwrap();
        let older = nats.dir.path().join("older");
        copy(&nats.server.store_dir(), &older);
        let first = *nats.bus.epochs().borrow();
        nats.server.restart().await.unwrap();
        let before = next_epoch(&nats.bus, first).await;
        assert_eq!(before, Epoch { number: before.number, ..first }, "a restart forgets nothing");
        ready(&nats.bus).await;
        nats.bus.publish_work(work("forgotten")).await.unwrap();

        nats.server.kill().await.unwrap();
        std::fs::remove_dir_all(nats.server.store_dir()).unwrap();
        std::fs::rename(&older, nats.server.store_dir()).unwrap();
        nats.server.restart().await.unwrap();
        let after = next_epoch(&nats.bus, before).await;
        assert_eq!((after.work_created, after.rollbacks), (before.work_created, before.rollbacks + 1));
        ready(&nats.bus).await;
        nats.bus.publish_work(work("new")).await.unwrap();
        assert_eq!(texts(&take(&mut nats.bus.pull(Lane::Http), 2).await), ["kept", "new"]);
    })
    .await;
}

async fn next_epoch(bus: &Bus, before: Epoch) -> Epoch {
    let mut epochs = bus.epochs();
    let next = epochs.wait_for(|epoch| epoch.number > before.number);
    *tokio::time::timeout(PATIENCE, next).await.unwrap().unwrap()
}

fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(done.success());
}

#[tokio::test]
async fn row_17_deleted_streams_and_consumers_come_back_without_a_reconnect() {
    on_each_server(async |nats| {
        let js = admin(&nats).await;
        let mut outcomes = nats.bus.outcomes("job");
        assert!(outcomes.pull(1, Duration::from_millis(50)).await.unwrap().is_empty());
        let mut puller = nats.bus.pull(Lane::Http);
        assert!(nothing(&mut puller).await);

        for stream in ["TEST_WORK", "TEST_OUTCOMES"] {
            js.delete_stream(stream).await.unwrap();
        }
        eventually(async || nats.bus.publish_work(work("a")).await).await;
        eventually(async || nats.bus.publish_outcome("a".into(), Bytes::from_static(b"a")).await).await;
        let found = eventually(async || some(puller.pull(1).await)).await;
        assert_eq!(texts(&found), ["a"]);
        found[0].ack().await.unwrap();
        let found = eventually(async || some(outcomes.pull(1, Duration::from_secs(1)).await)).await;
        assert_eq!(texts(&found), ["a"]);

        js.delete_consumer_from_stream("http-normal", "TEST_WORK").await.unwrap();
        nats.bus.publish_work(work("b")).await.unwrap();
        let found = eventually(async || some(puller.pull(1).await)).await;
        assert_eq!(texts(&found), ["b"]);

        js.delete_consumer_from_stream("job", "TEST_OUTCOMES").await.unwrap();
        nats.bus.publish_outcome("b".into(), Bytes::from_static(b"b")).await.unwrap();
        let mut seen = Vec::new();
        // A consumer made anew starts over with all outcomes that are kept.
        while !seen.contains(&"b".to_owned()) {
            seen.extend(texts(
                &eventually(async || some(outcomes.pull(10, Duration::from_secs(1)).await)).await,
            ));
        }
    })
    .await;
}

#[tokio::test]
async fn a_pull_that_waits_ends_when_the_server_dies_and_works_again_after() {
    on_each_server(async |mut nats| {
        let mut outcomes = nats.bus.outcomes("job");
        assert!(outcomes.pull(1, Duration::from_millis(50)).await.unwrap().is_empty());
        let mut waiting = tokio::task::JoinSet::new();
        waiting.spawn(async move {
            let result = outcomes.pull(1, Duration::from_secs(60)).await;
            (outcomes, result.map(|found| found.len()))
        });
        // It waits at the server once its consumer has a waiting request; a kill at any earlier point must end it as well.
        nats.server.kill().await.unwrap();
        let (mut outcomes, result) =
            tokio::time::timeout(PATIENCE, waiting.join_next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
        nats.server.restart().await.unwrap();
        ready(&nats.bus).await;
        nats.bus.publish_outcome("a".into(), Bytes::new()).await.unwrap();
        assert_eq!(eventually(async || some(outcomes.pull(1, Duration::from_secs(1)).await)).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_listener_goes_on_after_a_restart() {
    on_each_server(async |mut nats| {
        let mut listener = nats.bus.listen("event").await.unwrap();
        nats.bus.notify("event", Bytes::from_static(b"before")).await;
        assert_eq!(listener.next().await.unwrap(), "before");
        nats.server.kill().await.unwrap();
        nats.server.restart().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline);
            nats.bus.notify("event", Bytes::from_static(b"after")).await;
            let next = tokio::time::timeout(Duration::from_millis(100), listener.next()).await;
            if let Ok(hint) = next {
                assert_eq!(hint.unwrap(), "after");
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_bus_waits_for_a_server_that_starts_later() {
    on_each_server(async |mut nats| {
        nats.server.kill().await.unwrap();
        let start = Instant::now();
        let bus = Bus::connect(&nats.config, "early").await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(4));
        assert!(matches!(bus.publish_work(work("early")).await, Err(Error::Unavailable(_))));
        assert!(bus.ready().borrow().is_err());
        nats.server.restart().await.unwrap();
        ready(&bus).await;
        bus.publish_work(work("early")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_another_nature_is_refused_and_left_alone() {
    on_each_server(async |nats| {
        let js = admin(&nats).await;
        js.create_stream(stream::Config {
            name: "OTHER_WORK".into(),
            subjects: vec!["other.work.>".into()],
            retention: stream::RetentionPolicy::Limits,
            ..Default::default()
        })
        .await
        .unwrap();
        let config = queue::Config { prefix: "other".into(), ..nats.config.clone() };
        let bus = Bus::connect(&config, "other").await.unwrap();
        let named = |state: &Result<(), String>| state.as_ref().is_err_and(|e| e.contains("retention"));
        let mut state = bus.ready();
        tokio::time::timeout(PATIENCE, state.wait_for(named)).await.unwrap().unwrap();
        assert!(matches!(bus.publish_work(work("a")).await, Err(Error::Refused(_))));
        let kept = js.get_stream("OTHER_WORK").await.unwrap().cached_info().config.retention;
        assert_eq!(kept, stream::RetentionPolicy::Limits);

        // An operator who removes it needs no restart.
        js.delete_stream("OTHER_WORK").await.unwrap();
        ready(&bus).await;
        bus.publish_work(work("a")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_server_without_room_is_told_by_name_and_asked_again() {
    on_each_server(async |nats| {
        let most = bytesize::ByteSize::pib(4);
        let config = queue::Config { prefix: "large".into(), max_outcome_bytes: most, ..nats.config.clone() };
        let bus = Bus::connect(&config, "large").await.unwrap();
        let mut state = bus.state();
        let told = |state: &Result<(), Error>| state.as_ref().is_err_and(|error| error.reason() == "no_room");
        tokio::time::timeout(PATIENCE, state.wait_for(told)).await.unwrap().unwrap();
        let text = bus.ready().borrow().clone().unwrap_err();
        assert!(text.contains("has no room") && text.contains("queue.max_outcome_bytes"), "{text}");
        assert!(matches!(bus.publish_work(work("a")).await, Err(Error::NoRoom { .. })));
        // Others that need less are not harmed.
        nats.bus.publish_work(work("a")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn changed_limits_are_applied_to_the_stream_that_is_there() {
    on_each_server(async |nats| {
        let js = admin(&nats).await;
        let config =
            queue::Config { max_work_messages: 77, ack_wait: Duration::from_secs(60), ..nats.config.clone() };
        nats.bus.publish_work(work("kept")).await.unwrap();
        let bus = Bus::connect(&config, "changed").await.unwrap();
        ready(&bus).await;
        let stream = js.get_stream("TEST_WORK").await.unwrap();
        assert_eq!(stream.cached_info().config.max_messages, 77);
        assert_eq!(stream.consumer_info("http-high").await.unwrap().config.ack_wait, Duration::from_secs(60));
        assert_eq!(bus.backlog(Lane::Http).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn two_meshes_share_a_server_by_prefix() {
    on_each_server(async |nats| {
        let config = queue::Config { prefix: "second".into(), ..nats.config.clone() };
        let second = Bus::connect(&config, "second").await.unwrap();
        ready(&second).await;
        nats.bus.publish_work(work("first")).await.unwrap();
        assert!(nothing(&mut second.pull(Lane::Http)).await);
        assert_eq!(nats.bus.backlog(Lane::Http).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn row_21_a_wrong_password_is_reported_by_readiness() {
    on_each_server(async |nats| {
        let config = queue::Config {
            url: format!("nats://crawlmesh:wrong@127.0.0.1:{}", nats.server.port()),
            ..nats.config.clone()
        };
        let bus = Bus::connect(&config, "wrong").await.unwrap();
        let mut state = bus.ready();
        let told = |state: &Result<(), String>| {
            state.as_ref().is_err_and(|e| e.to_lowercase().contains("authorization") && !e.contains("wrong@"))
        };
        let waited = tokio::time::timeout(PATIENCE, state.wait_for(told)).await;
        assert!(waited.is_ok(), "{:?}", bus.ready().borrow());
    })
    .await;
}

#[tokio::test]
async fn a_server_left_behind_is_ended_by_the_next_start() {
    on_each_server(async |nats| {
        let binary = queue::server::find_server(None).unwrap();
        let mut left = nats.server;
        // As after a kill of the parent: the child runs on and nobody holds it.
        let second = NatsServer::start(&binary, nats.dir.path(), left.port()).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, left.ended()).await.unwrap().unwrap();
        assert!(!ended.success());
        let bus = Bus::connect(&queue::Config { url: second.url(), ..nats.config }, "second").await.unwrap();
        ready(&bus).await;
    })
    .await;
}

/// Nothing is not enough.
fn some(pulled: Result<Vec<Delivery>, Error>) -> Result<Vec<Delivery>, Error> {
    pulled
        .and_then(|found| if found.is_empty() { Err(Error::Unavailable("empty".into())) } else { Ok(found) })
}

/// A client of its own, to meddle with.
async fn admin(nats: &Nats) -> jetstream::Context {
    let server: async_nats::ServerAddr = nats.config.url.parse().unwrap();
    let (user, password) = (server.username().unwrap(), server.password().unwrap());
    let options = async_nats::ConnectOptions::with_user_and_password(user.into(), password.into());
    jetstream::new(options.connect(server).await.unwrap())
}
