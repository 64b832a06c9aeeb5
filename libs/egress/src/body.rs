//! Reading a body within its limits: bytes on the wire, bytes after decompression, their ratio, rate and time.
//!
//! Promises: never holds more than `max_decompressed` and one buffer, whatever `Content-Length` says, and ends by the
//! deadline. The waits need no ticking: each byte moves the moment at which the average becomes too slow.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use tokio_util::io::StreamReader;

use crate::decode::Coding;
use crate::{Config, FetchError, Part, Request, Stage, classify};

/// Below this many decompressed bytes the ratio is no sign of a bomb.
const RATIO_FROM: u64 = 1 << 20;
const READ_BYTES: usize = 16 * 1024;
/// Memory that is reserved on the word of a `Content-Length` alone.
const TRUSTED_LENGTH: u64 = 256 * 1024;

/// The limits of one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    wire: u64,
    decompressed: u64,
    ratio: u64,
    rate: u64,
    grace: Duration,
    truncate: bool,
}

/// A body that was read.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) wire_bytes: u64,
    pub(crate) truncated: bool,
}

impl Limits {
    pub(crate) fn of(config: &Config, request: &Request) -> Self {
        Self {
            wire: request.max_body.unwrap_or(config.max_body.as_u64()),
            decompressed: request.max_decompressed.unwrap_or(config.max_decompressed.as_u64()),
            ratio: config.max_ratio,
            rate: config.min_rate.as_u64(),
            grace: config.min_rate_grace,
            truncate: request.truncate_body,
        }
    }

    /// How long after the start of the body `bytes` are fast enough.
    fn patience(&self, bytes: u64) -> Duration {
        match self.rate {
            0 => Duration::from_secs(u32::MAX.into()),
            rate => self.grace.max(Duration::from_secs_f64(bytes as f64 / rate as f64)),
        }
    }

    fn check(&self, decompressed: u64, wire: u64) -> Result<(), FetchError> {
        if decompressed > self.decompressed {
            return Err(FetchError::TooLarge { what: Part::Decompressed });
        }
        if decompressed > RATIO_FROM && decompressed > wire.saturating_mul(self.ratio) {
            return Err(FetchError::TooLarge { what: Part::Ratio });
        }
        Ok(())
    }
}

/// Reads the body of `response` until `deadline`.
pub(crate) async fn read(
    response: reqwest::Response,
    limits: Limits,
    deadline: Instant,
) -> Result<Body, FetchError> {
    let coding = Coding::of(response.headers())?;
    // A length says something only where a body follows: HEAD and 304 answer with one as well.
    let announced = response.content_length().unwrap_or(0);
    if announced > limits.wire && !limits.truncate {
        return Err(FetchError::TooLarge { what: Part::Body });
    }
    let wire_bytes = Arc::new(AtomicU64::new(0));
    let mut bytes = BytesMut::with_capacity(announced.min(TRUSTED_LENGTH) as usize);
    let chunks = wire(response, limits, deadline, wire_bytes.clone());
    let end = fill(&mut bytes, chunks, coding, limits, &wire_bytes).await;
    let wire_bytes = wire_bytes.load(Ordering::Relaxed);
    match end {
        Ok(()) => Ok(Body { bytes: bytes.freeze(), wire_bytes, truncated: false }),
        Err(_) if limits.truncate => {
            bytes.truncate(usize::try_from(limits.decompressed).unwrap_or(usize::MAX));
            Ok(Body { bytes: bytes.freeze(), wire_bytes, truncated: true })
        }
        Err(error) => Err(error),
    }
}

/// Decodes `chunks` into `bytes` until their end or a limit.
async fn fill<S>(
    bytes: &mut BytesMut,
    chunks: S,
    coding: Coding,
    limits: Limits,
    wire_bytes: &AtomicU64,
) -> Result<(), FetchError>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let wire = StreamReader::new(Box::pin(chunks));
    let mut reader = coding.decode(wire).await.map_err(|error| classify::body_error(&error))?;
    loop {
        bytes.reserve(READ_BYTES);
        if reader.read_buf(bytes).await.map_err(|error| classify::body_error(&error))? == 0 {
            return Ok(());
        }
        limits.check(bytes.len() as u64, wire_bytes.load(Ordering::Relaxed))?;
        // Decompressing is work without a wait: other tasks want their turn.
        tokio::task::consume_budget().await;
    }
}

/// The chunks of the body as they come in, counted; an error once there are too many or they come too slowly.
fn wire(
    response: reqwest::Response,
    limits: Limits,
    deadline: Instant,
    count: Arc<AtomicU64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let started = Instant::now();
    stream::try_unfold((response, false), move |(mut response, full)| {
        let count = count.clone();
        async move {
            if full {
                return Err(io::Error::other(FetchError::TooLarge { what: Part::Body }));
            }
            let seen = count.load(Ordering::Relaxed);
            let until = deadline.min(started + limits.patience(seen));
            let late = |_| io::Error::other(FetchError::Timeout { stage: Stage::Body });
            let chunk = tokio::time::timeout_at(until, response.chunk()).await.map_err(late)?;
            let chunk = chunk.map_err(|error| classify::request_error(&error, Stage::Body));
            let Some(mut chunk) = chunk.map_err(io::Error::other)? else {
                return Ok(None);
            };
            // The part that fits is passed on, for bodies that are to be cut and not refused.
            let room = usize::try_from(limits.wire - seen).unwrap_or(usize::MAX);
            let full = chunk.len() > room;
            chunk.truncate(room);
            count.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            Ok(Some((chunk, (response, full))))
        }
    })
}
