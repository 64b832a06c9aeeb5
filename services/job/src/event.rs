//! Events: the lines of a job's log, in the words that webhooks use.

use std::{fmt, str::FromStr};

use domain::{JobId, TenantId, lane::UnknownWord};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    change::Changes,
    job::{Counts, State, Verdicts},
};

/// What happened to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EventType {
    #[serde(rename = "job.created")]
    Created,
    #[serde(rename = "job.started")]
    Started,
    #[serde(rename = "job.progress")]
    Progress,
    #[serde(rename = "job.paused")]
    Paused,
    #[serde(rename = "job.resumed")]
    Resumed,
    #[serde(rename = "job.succeeded")]
    Succeeded,
    #[serde(rename = "job.failed")]
    Failed,
    #[serde(rename = "job.cancelled")]
    Cancelled,
}

impl EventType {
    /// Those that end a job's log.
    pub(crate) const TERMINAL: [Self; 3] = [Self::Succeeded, Self::Failed, Self::Cancelled];

    const ALL: [Self; 8] = [
        Self::Created,
        Self::Started,
        Self::Progress,
        Self::Paused,
        Self::Resumed,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word for it on every wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "job.created",
            Self::Started => "job.started",
            Self::Progress => "job.progress",
            Self::Paused => "job.paused",
            Self::Resumed => "job.resumed",
            Self::Succeeded => "job.succeeded",
            Self::Failed => "job.failed",
            Self::Cancelled => "job.cancelled",
        }
    }

    /// Whether it is the last event of its job.
    pub(crate) fn terminal(self) -> bool {
        Self::TERMINAL.contains(&self)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|event_type| event_type.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned(), "EventType"))
    }
}

/// What of a job changes, as it stood when an event was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) state: State,
    pub(crate) counts: Counts,
    pub(crate) verdicts: Verdicts,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) start_time: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) end_time: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) changes: Option<Changes>,
}

/// A line of a job's event log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) job: JobId,
    pub(crate) tenant: TenantId,
    /// From 1, without gaps, per job.
    pub(crate) sequence: i64,
    pub(crate) event_type: EventType,
    pub(crate) time: OffsetDateTime,
    /// Whether the webhook service wants to see it.
    pub(crate) has_webhook: bool,
    pub(crate) traceparent: Option<String>,
    pub(crate) snapshot: Snapshot,
}

impl Event {
    /// Its id, stable for ever.
    pub(crate) fn id(&self) -> String {
        format!("{}.{}", self.job.0.simple(), self.sequence)
    }
}
