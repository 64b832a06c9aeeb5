//! What the streams and consumers must be, and putting them there.
//!
//! Promises: idempotent, safe to run from many processes at once, and after it the server's own words were read back:
//! old servers drop fields that they do not know without a word. A stream whose nature differs is refused, never replaced:
//! it may hold work.

use std::time::Duration;

use async_nats::jetstream::{
    Context, ErrorCode,
    consumer::{self, AckPolicy, DeliverPolicy, pull},
    context::{CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind},
    stream::{Config as Stream, ConsumerErrorKind, DiscardPolicy, RetentionPolicy, StorageType},
};
use bytesize::ByteSize;
use domain::Lane;
use time::OffsetDateTime;

use crate::{Config, Error, subjects};

/// A server that has less room than a stream may take says one of these.
const NO_ROOM: [ErrorCode; 2] = [ErrorCode::STORAGE_RESOURCES_EXCEEDED, ErrorCode::INSUFFICIENT_RESOURCES];

/// What was found when everything was in place.
pub(crate) struct Found {
    /// Whether anything was not as it must be.
    pub(crate) changed: bool,
    /// When the work stream was made.
    pub(crate) work_created: OffsetDateTime,
    /// When the outcome stream was.
    pub(crate) outcomes_created: OffsetDateTime,
    /// The sequence of the last message of the work stream.
    pub(crate) work_sequence: u64,
}

/// Puts all streams and work consumers there and checks them.
pub(crate) async fn ensure(js: &Context, config: &Config) -> Result<Found, Error> {
    let (major, minor, patch) = subjects::OLDEST_SERVER;
    if !js.client().is_server_compatible(major, minor, patch) {
        let version = js.client().server_info().version;
        return Err(Error::Refused(format!("nats-server {version} is older than {major}.{minor}.{patch}")));
    }
    let (mut changed, _) = ensure_stream(js, config, &work_stream(config)).await?;
    let (outcomes_changed, outcomes_created) = ensure_stream(js, config, &outcome_stream(config)).await?;
    changed |= outcomes_changed;
    let names = subjects::Names::new(&config.prefix);
    for lane in Lane::ALL {
        for priority in subjects::PRIORITIES {
            let subject = names.work_subject(*lane, priority);
            let wanted = durable(config, &names.work_consumer(*lane, priority), &subject);
            changed |= ensure_consumer(js, &names.work_stream(), wanted).await?;
        }
    }
    let work = js.get_stream(names.work_stream()).await.map_err(Error::unavailable)?;
    let info = work.cached_info();
    let (work_created, work_sequence) = (info.created, info.state.last_sequence);
    Ok(Found { changed, work_created, outcomes_created, work_sequence })
}

/// Puts the durable consumer of one reader of outcomes there and checks it.
pub(crate) async fn ensure_outcomes(js: &Context, config: &Config, reader: &str) -> Result<(), Error> {
    let names = subjects::Names::new(&config.prefix);
    let wanted = durable(config, reader, &names.outcome_subject());
    ensure_consumer(js, &names.outcome_stream(), wanted).await.map(|_| ())
}

fn work_stream(config: &Config) -> Stream {
    let names = subjects::Names::new(&config.prefix);
    Stream {
        name: names.work_stream(),
        subjects: vec![names.work_subjects()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_messages: i64::try_from(config.max_work_messages).unwrap_or(i64::MAX),
        max_bytes: i64::try_from(config.max_work_bytes.as_u64()).unwrap_or(i64::MAX),
        ..common(config)
    }
}

fn outcome_stream(config: &Config) -> Stream {
    let names = subjects::Names::new(&config.prefix);
    Stream {
        name: names.outcome_stream(),
        subjects: vec![names.outcome_subject()],
        retention: RetentionPolicy::Limits,
        // Settled outcomes stay until they age out: refusing new ones because of them would stop the mesh.
        discard: DiscardPolicy::Old,
        max_messages: -1,
        max_bytes: i64::try_from(config.max_outcome_bytes.as_u64()).unwrap_or(i64::MAX),
        max_age: config.outcome_max_age,
        ..common(config)
    }
}

fn common(config: &Config) -> Stream {
    Stream {
        storage: StorageType::File,
        num_replicas: config.replicas,
        duplicate_window: subjects::DUPLICATE_WINDOW,
        max_consumers: -1,
        max_messages_per_subject: -1,
        ..Stream::default()
    }
}

fn durable(config: &Config, name: &str, subject: &str) -> pull::Config {
    pull::Config {
        durable_name: Some(name.to_owned()),
        filter_subject: subject.to_owned(),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: config.ack_wait,
        // Counting attempts is the ledger's business: a message over this limit would stay in the stream for ever.
        max_deliver: -1,
        max_ack_pending: subjects::MAX_ACK_PENDING,
        max_waiting: subjects::MAX_WAITING,
        ..pull::Config::default()
    }
}

/// Returns whether anything was not as it must be, and when the stream was made.
async fn ensure_stream(
    js: &Context,
    config: &Config,
    wanted: &Stream,
) -> Result<(bool, OffsetDateTime), Error> {
    let found = match js.get_stream(&wanted.name).await {
        Ok(stream) => Some(stream.cached_info().clone()),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(e) if e.error_code() == ErrorCode::STREAM_NOT_FOUND => None,
            GetStreamErrorKind::JetStream(e) => return Err(Error::Refused(e.to_string())),
            _ => return Err(Error::unavailable(error)),
        },
    };
    let got = match found {
        None => {
            let created = js.create_stream(wanted.clone()).await;
            created.map_err(|error| stream_error(error, config))?.cached_info().clone()
        }
        Some(found) => {
            refuse_if(&wanted.name, nature(wanted, &found.config))?;
            if limits(wanted, &found.config).is_empty() {
                return Ok((false, found.created));
            }
            // What an operator added (placement, compression) stays.
            let update = Stream {
                subjects: wanted.subjects.clone(),
                discard: wanted.discard,
                max_messages: wanted.max_messages,
                max_bytes: wanted.max_bytes,
                max_age: wanted.max_age,
                num_replicas: wanted.num_replicas,
                duplicate_window: wanted.duplicate_window,
                ..found.config
            };
            js.update_stream(update).await.map_err(|error| stream_error(error, config))?
        }
    };
    let mut problems = nature(wanted, &got.config);
    problems.extend(limits(wanted, &got.config));
    refuse_if(&wanted.name, problems)?;
    Ok((true, got.created))
}

fn stream_error(error: CreateStreamError, config: &Config) -> Error {
    match error.kind() {
        CreateStreamErrorKind::JetStream(e) if NO_ROOM.contains(&e.error_code()) => {
            let bytes = config.max_work_bytes.as_u64().saturating_add(config.max_outcome_bytes.as_u64());
            Error::NoRoom { needed: ByteSize(bytes), told: e.to_string() }
        }
        CreateStreamErrorKind::JetStream(e) => Error::Refused(e.to_string()),
        _ => Error::unavailable(error),
    }
}

async fn ensure_consumer(js: &Context, stream: &str, wanted: pull::Config) -> Result<bool, Error> {
    let name = wanted.durable_name.clone().unwrap_or_default();
    // Asking first: a consumer that is as it must be is not touched.
    if let Ok(found) = js.get_consumer_from_stream::<pull::Config, _, _>(&name, stream).await
        && differences(&wanted, &found.cached_info().config).is_empty()
    {
        return Ok(false);
    }
    let got =
        js.create_consumer_on_stream(wanted.clone(), stream).await.map_err(|error| match error.kind() {
            ConsumerErrorKind::JetStream(e) if e.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Error::unavailable(e)
            }
            ConsumerErrorKind::JetStream(e) => Error::Refused(format!("consumer {name}: {e}")),
            _ => Error::unavailable(error),
        })?;
    refuse_if(&name, differences(&wanted, &got.cached_info().config))?;
    Ok(true)
}

/// Fields of a consumer that matter and are not as asked for.
fn differences(wanted: &pull::Config, got: &consumer::Config) -> Vec<&'static str> {
    let same = |what: &'static str, same: bool| (!same).then_some(what);
    let differing = [
        same("filter_subject", got.filter_subject == wanted.filter_subject && got.filter_subjects.is_empty()),
        same("ack_policy", got.ack_policy == AckPolicy::Explicit),
        same("deliver_policy", got.deliver_policy == DeliverPolicy::All),
        same("ack_wait", got.ack_wait == wanted.ack_wait),
        same("max_deliver", got.max_deliver <= 0),
        same("max_ack_pending", got.max_ack_pending == wanted.max_ack_pending),
        same("backoff", got.backoff.is_empty()),
        same("inactive_threshold", got.inactive_threshold == Duration::ZERO),
        same("deliver_subject", got.deliver_subject.is_none()),
    ];
    differing.into_iter().flatten().collect()
}

/// Fields that make the stream what it is; a difference cannot be repaired in place.
fn nature(wanted: &Stream, got: &Stream) -> Vec<&'static str> {
    let mut differing = Vec::new();
    if wanted.retention != got.retention {
        differing.push("retention");
    }
    if wanted.storage != got.storage {
        differing.push("storage");
    }
    // Copies of another stream are not ours to consume.
    if got.mirror.is_some() || got.sources.as_ref().is_some_and(|s| !s.is_empty()) {
        differing.push("sources");
    }
    if got.sealed || got.no_ack {
        differing.push("sealed or no_ack");
    }
    differing
}

/// Fields that can be changed in place.
fn limits(wanted: &Stream, got: &Stream) -> Vec<&'static str> {
    let mut differing = Vec::new();
    if wanted.subjects != got.subjects {
        differing.push("subjects");
    }
    if wanted.discard != got.discard {
        differing.push("discard");
    }
    if wanted.max_messages != got.max_messages {
        differing.push("max_msgs");
    }
    if wanted.max_bytes != got.max_bytes {
        differing.push("max_bytes");
    }
    if wanted.max_age != got.max_age {
        differing.push("max_age");
    }
    if wanted.num_replicas != got.num_replicas {
        differing.push("num_replicas");
    }
    if wanted.duplicate_window != got.duplicate_window {
        differing.push("duplicate_window");
    }
    differing
}

fn refuse_if(name: &str, differing: Vec<&'static str>) -> Result<(), Error> {
    if differing.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!("{name} has other settings than asked for: {}", differing.join(", "))))
}
