//! The connection: made in the background, watched, and repaired.
//!
//! Promises: while the server is away or its streams are not as they must be, every operation fails at once; after each
//! reconnect, and whenever an operation found a stream or consumer gone, they are put back with jittered back-off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Client, ConnectOptions, Event,
    jetstream::{
        self,
        consumer::{Info, pull},
        context::ContextBuilder,
        stream::ConsumerErrorKind,
    },
};
use rand::RngExt;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use tracing::{debug, info, warn};

use crate::{
    Config, Epoch, Error,
    epoch::Source,
    metrics, subjects,
    topology::{self, Found},
};

const SLOWEST_RETRY: Duration = Duration::from_secs(5);
const REPAIR_PAUSE_MS: u64 = 1000;

/// What the client library last said about its connection.
#[derive(Debug, Clone, Default)]
struct Wire {
    up: bool,
    /// Goes up with each change, so that a quick down-and-up is seen.
    changes: u64,
}

/// One connection and what is known about it.
pub(crate) struct Link {
    pub(crate) config: Config,
    pub(crate) names: subjects::Names,
    pub(crate) client: Client,
    pub(crate) js: jetstream::Context,
    health: Arc<Health>,
    epoch: watch::Sender<Epoch>,
    /// The change of the connection since which the epoch is known to be right.
    known: AtomicU64,
    /// The highest sequence of the work stream that the server has confirmed or handed to us.
    pub(crate) confirmed: AtomicU64,
    /// See [`Link::answers_no_wait`].
    answers_no_wait: AtomicBool,
    repair: Notify,
    opened: Instant,
    /// When something was last said to be missing, in milliseconds since `opened`.
    missed: AtomicU64,
}

struct Health {
    /// Who is connected, for metrics.
    member: &'static str,
    wire: watch::Sender<Wire>,
    state: watch::Sender<Result<(), Error>>,
    ready: watch::Sender<Result<(), String>>,
}

impl Health {
    fn set(&self, state: Result<(), Error>) {
        metrics::state(self.member, &state);
        self.state.send_if_modified(|old| std::mem::replace(old, state.clone()) != state);
        let text = state.map_err(|e| e.to_string());
        self.ready.send_if_modified(|old| std::mem::replace(old, text.clone()) != text);
    }

    fn hear(&self, event: Event) {
        match event {
            Event::Connected => self.wire.send_modify(|wire| {
                wire.up = true;
                wire.changes += 1;
            }),
            Event::Disconnected | Event::Closed => {
                self.wire.send_modify(|wire| {
                    wire.up = false;
                    wire.changes += 1;
                });
                self.set(Err(Error::unavailable("disconnected")));
                warn!("disconnected from the queue");
            }
            Event::SlowConsumer(_) => warn!("a subscription of the queue overflowed"),
            Event::LameDuckMode | Event::Draining => debug!(%event, "queue"),
            // Refused credentials end here, again and again: readiness must say so.
            Event::ServerError(_) | Event::ClientError(_) => {
                warn!(%event, "queue");
                if !self.wire.borrow().up {
                    self.set(Err(Error::unavailable(event)));
                }
            }
        }
    }
}

impl Link {
    /// Starts to connect and returns; `name` is shown by the server's monitoring.
    pub(crate) async fn open(config: &Config, name: &'static str) -> Result<Arc<Self>, Error> {
        let problems = config.check();
        if !problems.is_empty() {
            return Err(Error::Config(problems.join("; ")));
        }
        let away = Err(Error::unavailable("not connected yet"));
        let health = Arc::new(Health {
            member: name,
            wire: watch::Sender::new(Wire::default()),
            ready: watch::Sender::new(away.clone().map_err(|e: Error| e.to_string())),
            state: watch::Sender::new(away),
        });
        let servers = config.servers().map_err(Error::Config)?;
        let options = options(config, name, &servers).await?;
        let heard = Arc::clone(&health);
        let client = options
            .event_callback(move |event| {
                heard.hear(event);
                std::future::ready(())
            })
            .connect(servers)
            .await
            .map_err(|e| Error::Config(e.to_string()))?;
        let js = ContextBuilder::new()
            .timeout(config.publish_timeout)
            .ack_timeout(config.publish_timeout)
            .max_ack_inflight(subjects::MAX_PUBLISHES_IN_FLIGHT)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let names = subjects::Names::new(&config.prefix);
        Ok(Arc::new(Self {
            config: config.clone(),
            names,
            client,
            js,
            health,
            epoch: watch::Sender::new(Epoch::default()),
            known: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            answers_no_wait: AtomicBool::new(false),
            repair: Notify::new(),
            opened: Instant::now(),
            missed: AtomicU64::new(0),
        }))
    }

    /// Keeps the streams and consumers in place; runs until dropped.
    pub(crate) async fn supervise(self: Arc<Self>) {
        let mut wire = self.health.wire.subscribe();
        let (mut failures, mut ready_at) = (0, None);
        loop {
            let seen = wire.borrow_and_update().clone();
            let mut pause = None;
            if seen.up {
                match topology::ensure(&self.js, &self.config).await {
                    Ok(found) => {
                        failures = 0;
                        if found.changed || self.made_anew(&found) || ready_at != Some(seen.changes) {
                            ready_at = Some(seen.changes);
                            self.begin_epoch(&seen, &found);
                        }
                    }
                    Err(error) => {
                        if failures == 0 {
                            warn!(%error, "the queue cannot be used yet");
                        }
                        self.health.set(Err(error));
                        ready_at = None;
                        pause = Some(backoff(failures));
                        failures += 1;
                    }
                }
            }
            tokio::select! {
                changed = wire.changed() => if changed.is_err() { return },
                () = self.repair.notified() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Streams and consumers are in place: handles to those of before are void.
    fn begin_epoch(&self, seen: &Wire, found: &Found) {
        let (major, minor, patch) = subjects::ANSWERS_NO_WAIT;
        self.answers_no_wait.store(self.client.is_server_compatible(major, minor, patch), Ordering::Release);
        // Nobody publishes before the epoch has begun, so a lower sequence cannot be made up for yet. On a connection that
        // held, what came since the stream was asked is no sign of it.
        let before = self.confirmed.swap(found.work_sequence, Ordering::AcqRel);
        let reconnected = self.known.load(Ordering::Acquire) != seen.changes;
        let rolled_back = found.work_sequence < before && (reconnected || self.made_anew(found));
        self.epoch.send_modify(|epoch| {
            epoch.number += 1;
            epoch.work_created = Some(found.work_created);
            epoch.outcomes_created = Some(found.outcomes_created);
            epoch.rollbacks += u64::from(rolled_back);
        });
        self.known.store(seen.changes, Ordering::Release);
        let epoch = self.epoch();
        self.health.set(Ok(()));
        info!(epoch, server = self.client.server_info().version, "the queue is ready");
        // A connection lost meanwhile has said so before, and its word stands.
        if self.health.wire.borrow().changes != seen.changes {
            self.health.set(Err(Error::unavailable("disconnected")));
        }
    }

    /// Whether a stream is not the one that it was, whoever made it.
    fn made_anew(&self, found: &Found) -> bool {
        let epoch = *self.epoch.borrow();
        (epoch.work_created, epoch.outcomes_created)
            != (Some(found.work_created), Some(found.outcomes_created))
    }

    /// Fails unless a message that came from `source` in the epoch `since` may be answered now.
    ///
    /// After a reconnect it is not known which store the server has until streams were looked at. What is not answered comes
    /// again, if it is there at all; what is sent without a connection would go to whatever server comes next.
    pub(crate) fn answerable(&self, source: Source, since: &Epoch) -> Result<(), Error> {
        let wire = self.health.wire.borrow().clone();
        if !wire.up || wire.changes != self.known.load(Ordering::Acquire) {
            return Err(Error::unavailable("disconnected"));
        }
        if since.same_store(source, &self.epoch.borrow()) { Ok(()) } else { Err(Error::Gone) }
    }

    /// Fails at once unless the queue can be used now.
    pub(crate) fn usable(&self) -> Result<(), Error> {
        self.health.state.borrow().clone()
    }

    /// Resolves with the reason as soon as the queue cannot be used any more.
    pub(crate) async fn unusable(&self) -> Error {
        let mut state = self.health.state.subscribe();
        let reason = state.wait_for(Result::is_err).await.map(|state| state.clone());
        match reason {
            Ok(Err(error)) => error,
            _ => Error::unavailable("closed"),
        }
    }

    /// A number that changes when streams and consumers were put in place anew.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.borrow().number
    }

    /// What is known now.
    pub(crate) fn since(&self) -> Epoch {
        *self.epoch.borrow()
    }

    pub(crate) fn epochs(&self) -> watch::Receiver<Epoch> {
        self.epoch.subscribe()
    }

    /// Whether the server answers every `no_wait` pull that finds nothing.
    pub(crate) fn answers_no_wait(&self) -> bool {
        self.answers_no_wait.load(Ordering::Acquire)
    }

    /// What the server says of a consumer; one that is not there is missed.
    pub(crate) async fn consumer(&self, stream: &str, name: &str) -> Result<Info, Error> {
        let asked = self.js.get_consumer_from_stream::<pull::Config, _, _>(name, stream);
        match timeout(self.config.publish_timeout, asked).await {
            Ok(Ok(consumer)) => Ok(consumer.cached_info().clone()),
            Ok(Err(error)) => {
                if matches!(error.kind(), ConsumerErrorKind::JetStream(_)) {
                    self.missing();
                }
                Err(Error::unavailable(error))
            }
            Err(_) => Err(Error::unavailable("the server did not say in time how a consumer is")),
        }
    }

    /// Says that a stream or consumer seems to be gone. Heard once a second: those who go on missing it say so again.
    pub(crate) fn missing(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.missed.load(Ordering::Acquire);
        if now.saturating_sub(last) >= REPAIR_PAUSE_MS || last == 0 {
            self.missed.store(now.max(1), Ordering::Release);
            self.repair.notify_one();
        }
    }

    pub(crate) fn ready(&self) -> watch::Receiver<Result<(), String>> {
        self.health.ready.subscribe()
    }

    pub(crate) fn state(&self) -> watch::Receiver<Result<(), Error>> {
        self.health.state.subscribe()
    }
}

async fn options(
    config: &Config,
    name: &str,
    servers: &[async_nats::ServerAddr],
) -> Result<ConnectOptions, Error> {
    let mut options = ConnectOptions::new()
        .name(name)
        .retry_on_initial_connect()
        .connection_timeout(config.connect_timeout)
        .request_timeout(Some(config.publish_timeout))
        .ping_interval(subjects::PING_INTERVAL)
        .subscription_capacity(subjects::SUBSCRIPTION_CAPACITY)
        .reconnect_delay_callback(|attempts| {
            // The first attempt goes at once; a fleet that lost its server must not come back in step.
            if attempts <= 1 {
                Duration::ZERO
            } else {
                backoff(u32::try_from(attempts - 1).unwrap_or(u32::MAX))
            }
        });
    // The client library does not read the user of a URL by itself.
    if let Some((user, password)) = servers.iter().find_map(|s| Some((s.username()?, s.password()))) {
        options = match password {
            Some(password) => options.user_and_password(user.to_owned(), password.to_owned()),
            None => options.token(user.to_owned()),
        };
    }
    if !config.credentials_file.is_empty() {
        let unreadable = |e: std::io::Error| Error::Config(format!("credentials_file: {e}"));
        options = options.credentials_file(&config.credentials_file).await.map_err(unreadable)?;
    }
    if !config.tls_ca_file.is_empty() {
        options = options.add_root_certificates(config.tls_ca_file.clone().into()).require_tls(true);
    }
    if !config.tls_cert_file.is_empty() {
        let (cert, key) = (config.tls_cert_file.clone().into(), config.tls_key_file.clone().into());
        options = options.add_client_certificate(cert, key).require_tls(true);
    }
    Ok(options)
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// 100 ms, 200 ms, … at most 5 s, each times a random 0.5 to 1.
pub(crate) fn backoff(failures: u32) -> Duration {
    let longest =
        Duration::from_millis(100).saturating_mul(2_u32.saturating_pow(failures.min(16))).min(SLOWEST_RETRY);
    longest.mul_f64(rand::rng().random_range(0.5..1.0))
}
