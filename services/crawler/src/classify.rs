//! What the ledger is told: from how a fetch failed, what the site answered and what the content is. Pure.
//!
//! Promises: permanent failures are final at once, what may pass is retried, and our own faults never cost the page an
//! attempt (the table is that of the reliability notes, "error classification").

use std::borrow::Cow;
use std::time::Duration;

use domain::Verdict;
use egress::FetchError;
use extract::PageStatus;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// Longest `Retry-After` that is passed on.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Longest detail, in characters.
const MAX_DETAIL: usize = 200;
/// RFC 9110, 5.6.7; the two obsolete forms are not worth their code.
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// What the ledger should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The page has its verdict.
    Final,
    /// The attempt failed in a way that may pass.
    Retry,
    /// crawlmesh itself failed.
    Infra,
    /// The page needs the browser lane.
    Escalate,
    /// The crawler shuts down.
    Release,
}

/// What became of an attempt at a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// What the ledger should do.
    pub(crate) kind: Kind,
    /// How the page ended, or would end if no attempt were left. `None`: there is none in this.
    pub(crate) verdict: Option<Verdict>,
    /// Why, in a few words; no address, no secret.
    pub(crate) detail: Cow<'static, str>,
    /// When the site wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
}

impl Judgement {
    fn new(kind: Kind, verdict: Option<Verdict>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, verdict, detail: short(detail.into()), retry_after: None }
    }

    /// The page has its verdict.
    pub(crate) fn done(verdict: Verdict, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Final, Some(verdict), detail)
    }

    /// It may go better the next time.
    pub(crate) fn retry(verdict: Verdict, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Retry, Some(verdict), detail)
    }

    /// Our own fault.
    pub(crate) fn infra(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Infra, Some(Verdict::Infra), detail)
    }

    /// The page needs the browser lane.
    pub(crate) fn escalate(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Escalate, None, reason)
    }

    /// Handed back unfinished.
    pub(crate) fn release() -> Self {
        Self::new(Kind::Release, None, "the crawler shuts down")
    }

    /// Out of time at `stage`.
    pub(crate) fn late(stage: &'static str) -> Self {
        Self::retry(Verdict::Timeout, stage)
    }

    /// Whether there is a document to show: the site answered with content, whatever it is worth.
    pub(crate) fn shows_content(&self) -> bool {
        self.kind == Kind::Final
            && self.verdict.is_some_and(|verdict| {
                use Verdict::{Blocked, Empty, LoginWall, NotModified, Ok, Soft404};
                matches!(verdict, Ok | NotModified | Empty | Soft404 | Blocked | LoginWall)
            })
    }
}

/// A fetch without an answer.
pub(crate) fn failure(error: FetchError) -> Judgement {
    if error.retryable() {
        Judgement::retry(error.verdict(), error.detail())
    } else {
        Judgement::done(error.verdict(), error.detail())
    }
}

/// An answer without content to read. `None`: a success, whose content decides.
pub(crate) fn status(status: u16, retry_after: Option<Duration>) -> Option<Judgement> {
    let detail = format!("HTTP {status}");
    let judgement = match status {
        200..=299 => return None,
        304 => Judgement::done(Verdict::NotModified, detail),
        403 => Judgement::done(Verdict::Blocked, detail),
        429 => Judgement::retry(Verdict::Blocked, detail),
        408 | 425 | 500..=599 => Judgement::retry(Verdict::HttpError, detail),
        _ => Judgement::done(Verdict::HttpError, detail),
    };
    let retry_after = retry_after.filter(|_| judgement.kind == Kind::Retry);
    Some(Judgement { retry_after, ..judgement })
}

/// The content of a success.
pub(crate) fn content(page: &PageStatus) -> Judgement {
    let (verdict, detail) = match page {
        PageStatus::Ok => (Verdict::Ok, String::new()),
        PageStatus::Empty => (Verdict::Empty, "no visible content".to_owned()),
        PageStatus::Soft404(evidence) => (Verdict::Soft404, evidence.clone()),
        PageStatus::Blocked(evidence) => (Verdict::Blocked, evidence.clone()),
        PageStatus::LoginWall(evidence) => (Verdict::LoginWall, evidence.clone()),
    };
    Judgement::done(verdict, detail)
}

/// Content that became no document.
pub(crate) fn unreadable(error: &extract::Error) -> Judgement {
    match error {
        extract::Error::UnsupportedType(media) => Judgement::done(Verdict::UnsupportedType, media.clone()),
    }
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(value: &str, now: OffsetDateTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = time::PrimitiveDateTime::parse(value, HTTP_DATE).ok()?.assume_utc();
            Duration::try_from(date - now).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// Details may quote a page: they are cut, and hold one line.
fn short(text: Cow<'static, str>) -> Cow<'static, str> {
    if text.len() <= MAX_DETAIL && !text.chars().any(char::is_control) {
        return text;
    }
    let line = text.chars().take(MAX_DETAIL).map(|c| if c.is_control() { ' ' } else { c });
    Cow::Owned(line.collect())
}

#[cfg(test)]
mod tests;
