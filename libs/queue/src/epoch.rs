//! What is known of the server's store: since when it is there, and whether it forgot something.
//!
//! The server knows a message by its number only, and a store that was made anew counts from one: an answer to a message of
//! the store before would take another message away, unseen, and whatever stood in it would be lost.

use time::OffsetDateTime;

/// What is known of the server since streams and consumers were last found or put in place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Counts up from 1; 0 before the first connection.
    pub number: u64,
    /// When the store of page tasks was made, by the server's clock: what was published before is not in it.
    pub work_created: Option<OffsetDateTime>,
    /// When the store of outcomes was made.
    pub outcomes_created: Option<OffsetDateTime>,
    /// How often the store of page tasks had forgotten some that the server had confirmed or handed to this process.
    pub rollbacks: u64,
}

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Work,
    Outcomes,
}

impl Epoch {
    /// Whether a message that came from `source` in this epoch may be answered in another one.
    pub(crate) fn same_store(&self, source: Source, other: &Self) -> bool {
        let created = |epoch: &Self| match source {
            Source::Work => epoch.work_created,
            Source::Outcomes => epoch.outcomes_created,
        };
        (created(self), self.rollbacks) == (created(other), other.rollbacks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reconnect_is_no_new_store() {
        let made = Some(OffsetDateTime::UNIX_EPOCH);
        let first = Epoch { number: 1, work_created: made, outcomes_created: made, rollbacks: 0 };
        let later = made.map(|made| made + time::Duration::SECOND);
        for (now, work, outcomes) in [
            (Epoch { number: 2, ..first }, true, true),
            (Epoch { rollbacks: 1, ..first }, false, false),
            (Epoch { work_created: later, ..first }, false, true),
            (Epoch { outcomes_created: later, ..first }, true, false),
        ] {
            assert_eq!(first.same_store(Source::Work, &now), work, "{now:?}");
            assert_eq!(first.same_store(Source::Outcomes, &now), outcomes, "{now:?}");
        }
    }
}
