//! What is known of a kept page: whose it is, which dispatch fetched it, where its bytes are, until when. No I/O.

use bytes::Bytes;
use domain::{JobId, PageId, TenantId, Verdict};
use time::OffsetDateTime;

/// Which page of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageKey {
    pub(crate) tenant: TenantId,
    pub(crate) job: JobId,
    pub(crate) page: PageId,
}

/// What is kept beside a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Html,
    Screenshot,
    Pdf,
    Mhtml,
    Har,
    Console,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 6] =
        [Self::Html, Self::Screenshot, Self::Pdf, Self::Mhtml, Self::Har, Self::Console];

    /// The word for it in requests and tables.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Screenshot => "screenshot",
            Self::Pdf => "pdf",
            Self::Mhtml => "mhtml",
            Self::Har => "har",
            Self::Console => "console",
        }
    }

    /// Reads a word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether its bytes are compressed with zstd. Images and PDF already are compressed.
    pub(crate) const fn compressed(self) -> bool {
        match self {
            Self::Html | Self::Mhtml | Self::Har | Self::Console => true,
            Self::Screenshot | Self::Pdf => false,
        }
    }

    /// The name of its object.
    pub(crate) const fn object(self) -> &'static str {
        match self {
            Self::Html => "html.zst",
            Self::Screenshot => "screenshot",
            Self::Pdf => "pdf",
            Self::Mhtml => "mhtml.zst",
            Self::Har => "har.zst",
            Self::Console => "console.zst",
        }
    }
}

/// The name of a document's object: protobuf, compressed with zstd.
pub(crate) const DOCUMENT_OBJECT: &str = "document.bin.zst";

/// A document or artifact as it is kept, with the name of its object.
pub(crate) type Part = (&'static str, Bytes);

/// An artifact that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact {
    pub(crate) kind: Kind,
    pub(crate) content_type: String,
    /// Bytes, uncompressed.
    pub(crate) size: u64,
}

/// A kept page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: PageKey,
    pub(crate) dispatch_seq: i64,
    pub(crate) verdict: Verdict,
    /// Bytes of the document, uncompressed.
    pub(crate) size: u64,
    /// Where its objects are. Never used twice: two crawlers that store the same dispatch at once must not mix their bytes.
    /// Empty: it has no objects, its parts are in the database.
    pub(crate) folder: String,
    pub(crate) artifacts: Vec<Artifact>,
    pub(crate) store_time: OffsetDateTime,
    pub(crate) expire_time: OffsetDateTime,
    /// The key under which it is found again by its crawlers; known only while it is being stored.
    pub(crate) cache_key: Option<CacheKey>,
}

impl Record {
    /// Where its bytes are: no other record has the same place.
    pub(crate) fn place(&self) -> (&str, i64) {
        (&self.folder, self.dispatch_seq)
    }
}

/// Which page in which form: a hash that crawlers make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheKey(pub(crate) [u8; 32]);

impl CacheKey {
    /// Reads a key.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// What became of an attempt to store a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is what readers see now.
    Stored,
    /// The same dispatch was stored before.
    Duplicate,
    /// A later dispatch was stored before.
    Outdated,
}

impl Kept {
    /// What an attempt with `dispatch_seq` means where `existing` is kept.
    pub(crate) fn beside(existing: i64, dispatch_seq: i64) -> Self {
        match dispatch_seq.cmp(&existing) {
            std::cmp::Ordering::Greater => Self::Stored,
            std::cmp::Ordering::Equal => Self::Duplicate,
            std::cmp::Ordering::Less => Self::Outdated,
        }
    }

    /// The word for it in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Outdated => "outdated",
        }
    }
}

/// Times are kept in whole seconds, so that SQLite, which compares them as text, orders them rightly.
pub(crate) fn whole_second(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_nanosecond(0).unwrap_or(time)
}

/// How many of `sizes` go into one answer: as many as fit into `budget` bytes, and at least one.
pub(crate) fn fitting(sizes: impl IntoIterator<Item = u64>, budget: u64) -> usize {
    let mut total: u64 = 0;
    let mut count = 0;
    for size in sizes {
        total = total.saturating_add(size);
        if count > 0 && total > budget {
            break;
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_dispatch_never_replaces_a_later_one() {
        for (existing, seq, expected) in [
            (1, 2, Kept::Stored),
            (2, 2, Kept::Duplicate),
            (3, 2, Kept::Outdated),
            (i64::MAX, i64::MIN, Kept::Outdated),
        ] {
            assert_eq!(Kept::beside(existing, seq), expected);
        }
    }

    #[test]
    fn an_answer_ends_at_its_budget_and_is_never_stuck() {
        let cases: [(&[u64], usize); 6] = [
            (&[], 0),
            (&[200], 1),
            (&[200, 1], 1),
            (&[50, 50], 2),
            (&[50, 50, 1], 2),
            (&[1, u64::MAX, u64::MAX], 1),
        ];
        for (sizes, expected) in cases {
            assert_eq!(fitting(sizes.iter().copied(), 100), expected, "{sizes:?}");
        }
    }

    #[test]
    fn kinds_are_read_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("markdown"), None);
    }
}
