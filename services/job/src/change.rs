//! How the pages of a job differ from those of an earlier one. No I/O.

use std::{fmt, str::FromStr};

use domain::lane::UnknownWord;
use serde::{Deserialize, Serialize};

/// How a page differs from the page of the same URL in the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The baseline has no content of it.
    New,
    /// The same text.
    Same,
    /// Another text.
    Changed,
    /// A page of the baseline that is gone.
    Removed,
}

impl Change {
    /// The word for it in tables.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "same",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Change {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::New, Self::Same, Self::Changed, Self::Removed]
            .into_iter()
            .find(|change| change.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned(), "Change"))
    }
}

/// How many pages of a job differ, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) new: i64,
    pub(crate) same: i64,
    pub(crate) changed: i64,
    /// Pages of the baseline that are gone. None: the job has not ended by itself.
    pub(crate) removed: Option<i64>,
    /// Whether pages that were not found are known to be gone.
    pub(crate) complete: bool,
}

impl Changes {
    /// Counts a page.
    pub(crate) fn add(&mut self, change: Change) {
        match change {
            Change::New => self.new += 1,
            Change::Same => self.same += 1,
            Change::Changed => self.changed += 1,
            // Counted all at once, when the job ends.
            Change::Removed => {}
        }
    }
}
