//! One page to fetch, as the queue hands it over. Pure.
//!
//! Promises: a `Task` has a page, a URL and a fence that can be used; everything else is garbage and never comes this far.

use api::crawler::v1 as pb;
use api::job::v1::page::Kind;
use domain::{JobId, PageId, PageUrl, TenantId, id, id::IdError};
use prost::Message;

/// A page to fetch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Task {
    /// The job.
    pub(crate) job: JobId,
    /// The page.
    pub(crate) page: PageId,
    /// The tenant.
    pub(crate) tenant: TenantId,
    /// Fences this dispatch.
    pub(crate) dispatch_sequence: i64,
    /// What to fetch.
    pub(crate) url: PageUrl,
    /// The version of the job's settings that this dispatch was made for.
    pub(crate) spec_version: i32,
    /// Attempts before this one.
    pub(crate) attempts: i32,
    /// Crawlers that died of this page, as far as this delivery can tell.
    pub(crate) crashes: i32,
    /// Why this lane.
    pub(crate) lane_reason: String,
    /// How often the queue delivered this dispatch, this time included.
    pub(crate) deliveries: u64,
    /// Links from a seed.
    pub(crate) depth: u32,
    /// The seed that it descends from, if that is another URL.
    pub(crate) seed: Option<PageUrl>,
    /// What it is.
    pub(crate) kind: Kind,
}

/// Why a message is no task. A newer version, or something else, wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Garbage {
    /// Not the message that it should be.
    #[error("is not a page task")]
    Message,
    /// Without a usable page name or tenant.
    #[error("has a name that {0}")]
    Name(#[from] IdError),
    /// With something that is no page's URL.
    #[error("has a URL that {0}")]
    Url(#[from] domain::UrlError),
}

impl Task {
    /// Reads a message; `lapses`: how many crawlers had it before and did not live to answer.
    pub(crate) fn decode(payload: &[u8], deliveries: u64, lapses: u64) -> Result<Self, Garbage> {
        let task = pb::PageTask::decode(payload).map_err(|_| Garbage::Message)?;
        let (job, page) = id::parse_page_name(&task.page)?;
        let lapses = i32::try_from(lapses).unwrap_or(i32::MAX);
        Ok(Self {
            job,
            page,
            tenant: TenantId::from_name(&task.tenant)?,
            dispatch_sequence: task.dispatch_sequence,
            url: PageUrl::parse(&task.url)?,
            spec_version: task.spec_version,
            attempts: task.attempts,
            crashes: task.crashes.max(0).saturating_add(lapses),
            lane_reason: task.lane_reason,
            deliveries,
            depth: u32::try_from(task.depth).unwrap_or(0),
            seed: PageUrl::parse(&task.seed).ok(),
            kind: Kind::try_from(task.kind)
                .ok()
                .filter(|kind| *kind != Kind::Unspecified)
                .unwrap_or(Kind::Page),
        })
    }

    /// The page's resource name.
    pub(crate) fn name(&self) -> String {
        id::page_name(self.job, self.page)
    }

    /// The id that makes publishing the outcome of this delivery twice the same as publishing it once.
    pub(crate) fn outcome_id(&self) -> String {
        format!("{}:{}:{}", self.page, self.dispatch_sequence, self.deliveries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> pb::PageTask {
        pb::PageTask {
            page: id::page_name(JobId::new(), PageId::new()),
            dispatch_sequence: 7,
            url: "http://example.com/a?b=c".into(),
            spec_version: 1,
            attempts: 1,
            crashes: 1,
            lane_reason: "http first".into(),
            tenant: TenantId::new().name(),
            ..Default::default()
        }
    }

    #[test]
    fn a_task_is_read_and_lapses_count_as_crashes() {
        let message = message();
        for (deliveries, lapses, crashes) in [(1, 0, 1), (2, 1, 2), (4, 2, 3), (u64::MAX, u64::MAX, i32::MAX)]
        {
            let task = Task::decode(&message.encode_to_vec(), deliveries, lapses).unwrap();
            assert_eq!((task.name(), task.crashes), (message.page.clone(), crashes), "{deliveries}");
            assert_eq!(task.outcome_id(), format!("{}:7:{deliveries}", task.page));
        }
    }

    #[test]
    fn garbage_is_named() {
        let broken = |change: fn(&mut pb::PageTask)| {
            let mut message = message();
            change(&mut message);
            Task::decode(&message.encode_to_vec(), 1, 0).unwrap_err().to_string()
        };
        assert_eq!(Task::decode(b"\xff\xff\xff", 1, 0), Err(Garbage::Message));
        assert!(broken(|m| m.page = "pages/1".into()).starts_with("has a name"));
        assert!(broken(|m| m.tenant.clear()).starts_with("has a name"));
        assert!(broken(|m| m.url = "file:///etc/passwd".into()).starts_with("has a URL"));
        assert!(broken(|m| m.url = "http://u:p@example.com/".into()).starts_with("has a URL"));
    }
}
