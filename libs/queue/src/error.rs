//! What can go wrong on the bus: one variant for each thing that a caller does differently.

use async_nats::jetstream::context::{PublishError, PublishErrorKind};

/// Why an operation on the bus failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server is away or did not answer in time. What was published may or may not be stored: publish again with the same id.
    #[error("the queue is not reachable: {0}")]
    Unavailable(String),
    /// The server is there, but its streams cannot be what they must be. An operator must look.
    #[error("the queue is not usable: {0}")]
    Refused(String),
    /// The server is there, and has not the room that its streams may take. An operator must look.
    #[error(
        "the queue has no room: nats-server has not the {needed} that its streams may take ({told}); free its disk, or lower \
         queue.max_work_bytes and queue.max_outcome_bytes"
    )]
    NoRoom {
        /// What the streams may take together.
        needed: bytesize::ByteSize,
        /// The server's words.
        told: String,
    },
    /// The stream is at its limit and takes no more until work is done.
    #[error("the queue is full")]
    Full,
    /// The store that held the message is gone: an answer would be to another message, and was not sent.
    #[error("the queue that held the message is gone")]
    Gone,
    /// The message does not fit; publishing it again cannot help.
    #[error("the message exceeds {limit} bytes")]
    TooLarge {
        /// Payload bytes that fit.
        limit: usize,
    },
    /// The settings cannot be used, such as an unreadable credentials file.
    #[error("the queue settings cannot be used: {0}")]
    Config(String),
}

impl Error {
    /// The words of [`Error::reason`] for a queue that cannot be used.
    pub(crate) const UNUSABLE: [&str; 3] = ["unavailable", "refused", "no_room"];

    /// A word for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
            Self::NoRoom { .. } => "no_room",
            Self::Full => "full",
            Self::Gone => "gone",
            Self::TooLarge { .. } => "too_large",
            Self::Config(_) => "config",
        }
    }

    /// The server answered nothing, or nothing useful.
    pub(crate) fn unavailable(error: impl std::fmt::Display) -> Self {
        Self::Unavailable(error.to_string())
    }

    /// Reads a refused publish. `limit` is the payload limit in bytes.
    pub(crate) fn publish(error: &PublishError, limit: usize) -> Self {
        if error.kind() == PublishErrorKind::MaxPayloadExceeded {
            return Self::TooLarge { limit };
        }
        let source =
            std::error::Error::source(error).and_then(|s| s.downcast_ref::<async_nats::jetstream::Error>());
        match source.map(|e| (e.error_code().0, e)) {
            // 10077 is any failure to store; with `discard new` a limit says which maximum. 10167: too many on their way in.
            Some((10077, e)) if e.to_string().contains("maximum") => Self::Full,
            Some((10167, _)) => Self::Full,
            Some((_, e)) => Self::unavailable(e),
            None => Self::unavailable(error),
        }
    }
}
