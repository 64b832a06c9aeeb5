//! Servers, buses and patience.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use domain::{Lane, Priority};
use queue::{
    Bus, Config, Delivery, Error, Puller, Work,
    server::{NatsServer, find_server},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The servers to test with. Debian's must be there; the current one is fetched by `make`.
fn binaries() -> Vec<PathBuf> {
    let installed = find_server(None).expect("these tests need nats-server: install it");
    let current = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/nats-server-current");
    if current.exists() {
        return vec![installed, current];
    }
    eprintln!("not tested with a current nats-server: .tools/nats-server-current is missing");
    vec![installed]
}

pub(crate) struct Nats {
    pub(crate) server: NatsServer,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: Config,
    pub(crate) bus: Bus,
}

/// Runs a test on each server, with a server, a store and a bus of its own.
pub(crate) async fn on_each_server(test: impl AsyncFn(Nats)) {
    for binary in binaries() {
        eprintln!("on {}", binary.display());
        test(start(&binary, |_| {}).await).await;
    }
}

/// The same with other settings.
pub(crate) async fn on_each_server_with(change: impl Fn(&mut Config), test: impl AsyncFn(Nats)) {
    for binary in binaries() {
        eprintln!("on {}", binary.display());
        test(start(&binary, &change).await).await;
    }
}

async fn start(binary: &Path, change: impl Fn(&mut Config)) -> Nats {
    let dir = tempfile::tempdir().unwrap();
    let server = NatsServer::start(binary, dir.path(), 0).await.unwrap();
    let mut config = Config {
        url: server.url(),
        prefix: "test".to_owned(),
        max_work_bytes: bytesize::ByteSize::mib(64),
        max_outcome_bytes: bytesize::ByteSize::mib(64),
        pull_wait: Duration::from_millis(500),
        ..Config::default()
    };
    change(&mut config);
    let bus = Bus::connect(&config, "test").await.unwrap();
    ready(&bus).await;
    Nats { server, dir, config, bus }
}

pub(crate) async fn ready(bus: &Bus) {
    let mut ready = bus.ready();
    let waited = tokio::time::timeout(PATIENCE, ready.wait_for(Result::is_ok)).await;
    let state = bus.ready().borrow().clone();
    assert!(waited.is_ok(), "not ready: {state:?}");
}

pub(crate) fn work(id: &str) -> Work {
    at(Priority::Normal, id)
}

pub(crate) fn at(priority: Priority, id: &str) -> Work {
    Work {
        lane: Lane::Http,
        priority,
        id: id.to_owned(),
        payload: Bytes::from(id.to_owned()),
        traceparent: None,
    }
}

/// Pulls until `count` messages came.
pub(crate) async fn take(puller: &mut Puller, count: usize) -> Vec<Delivery> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut found = Vec::new();
    while found.len() < count {
        assert!(tokio::time::Instant::now() < deadline, "{} of {count} messages", found.len());
        let pulled = puller.pull(count - found.len()).await.unwrap();
        assert!(pulled.len() <= count - found.len(), "more than asked for");
        found.extend(pulled);
    }
    found
}

pub(crate) async fn nothing(puller: &mut Puller) -> bool {
    puller.pull(10).await.unwrap().is_empty()
}

pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|d| String::from_utf8(d.payload.to_vec()).unwrap()).collect()
}

/// Tries until it works; fails the test when patience ends.
pub(crate) async fn eventually<T>(mut attempt: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "still {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// [`Delivery::lapses`] by now.
pub(crate) fn lapses(delivery: &Delivery) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the clock of this test")]
    delivery.lapses(std::time::SystemTime::now())
}
