//! Statuses that a program can branch on: each has an `ErrorInfo` with a reason and the domain of its service.
//!
//! `refuse` is for what the caller can mend: the message is shown and nothing is logged. `fail` is for what we must mend:
//! it is logged once with its sources, and the caller learns only that it happened.

use std::{collections::HashMap, error::Error, fmt::Write, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};
use tracing::{error, warn};

use crate::context;

/// What a caller waits before it tries again.
const RETRY: Duration = Duration::from_secs(1);
/// Statuses travel in HTTP headers, and some clients take no more than 8 KiB of them, after base64.
const MAX_MESSAGE: usize = 1_000;
const MAX_VIOLATIONS: usize = 100;
const MAX_VIOLATION_BYTES: usize = 4_000;

/// The caller's fault. The error's text is the message; nothing is logged.
#[must_use]
pub fn refuse(code: Code, reason: &'static str, error: &dyn Error) -> Status {
    refuse_with(code, reason, error.to_string(), &[])
}

/// The caller's fault, with facts for programs, e.g. `("permission", "jobs:write")`.
#[must_use]
pub fn refuse_with(
    code: Code,
    reason: &'static str,
    message: impl Into<String>,
    metadata: &[(&str, &str)],
) -> Status {
    build(code, reason, message.into(), metadata)
}

/// Our fault. Logged here with its sources, as WARN if the code is `UNAVAILABLE` and as ERROR otherwise; the message
/// tells nothing about our insides. `UNAVAILABLE` says when to try again.
#[must_use]
pub fn fail(code: Code, reason: &'static str, error: &(dyn Error + 'static)) -> Status {
    let text = chain(error);
    let message = match code {
        Code::Unavailable => {
            warn!(reason, error = text, "call failed");
            "the service cannot answer now, try again"
        }
        Code::DeadlineExceeded => {
            warn!(reason, error = text, "call failed");
            "the call took too long"
        }
        _ => {
            error!(reason, error = text, "call failed");
            "the service failed"
        }
    };
    build(code, reason, message.to_owned(), &[])
}

fn build(code: Code, reason: &'static str, message: String, metadata: &[(&str, &str)]) -> Status {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|&(key, value)| (key.to_owned(), clip(value, MAX_MESSAGE))).collect();
    let mut details = ErrorDetails::with_error_info(reason, context::error_domain(), metadata);
    if code == Code::Unavailable {
        details.set_retry_info(Some(RETRY));
    }
    add_request_id(&mut details);
    Status::with_error_details(code, clip(&message, MAX_MESSAGE), details)
}

fn add_request_id(details: &mut ErrorDetails) {
    if let Some(context) = context::current() {
        details.set_request_info(context.request_id, "");
    }
}

/// An error and its sources on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        // Many errors print their source themselves.
        if !text.contains(&part) {
            let _ = write!(text, ": {part}");
        }
        source = error.source();
    }
    text
}

fn clip(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// Everything that is wrong with the fields of a request, told at once.
#[derive(Debug, Default)]
pub struct Violations {
    list: Vec<FieldViolation>,
    bytes: usize,
    left_out: usize,
}

impl Violations {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a violation: the path of the field, a reason for programs, a description for humans.
    ///
    /// The first 100 are kept, as far as they fit into a status; the rest is counted.
    pub fn add(&mut self, field: impl Into<String>, reason: &'static str, description: impl Into<String>) {
        let (field, description) = (clip(&field.into(), 200), clip(&description.into(), 300));
        let mut violation = FieldViolation::new(field, description);
        reason.clone_into(&mut violation.reason);
        self.push(violation);
    }

    /// Takes over what is wrong with a part of the request, whose fields are below `path`. Gives back any other refusal.
    pub fn adopt(&mut self, path: &str, refusal: Status) -> Result<(), Status> {
        let Some(request) = refusal.get_details_bad_request() else { return Err(refusal) };
        for mut violation in request.field_violations {
            violation.field = clip(&format!("{path}.{}", violation.field), 200);
            self.push(violation);
        }
        Ok(())
    }

    fn push(&mut self, violation: FieldViolation) {
        self.bytes += violation.field.len() + violation.description.len() + violation.reason.len();
        if self.list.len() >= MAX_VIOLATIONS || (self.bytes > MAX_VIOLATION_BYTES && !self.list.is_empty()) {
            self.left_out += 1;
            return;
        }
        self.list.push(violation);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// `INVALID_ARGUMENT` with all violations, if there is one. The reason is theirs if they share one, else
    /// `INVALID_FIELD`.
    pub fn into_result(self) -> Result<(), Status> {
        let Some(first) = self.list.first() else { return Ok(()) };
        let shared = self.list.iter().all(|violation| violation.reason == first.reason);
        let reason = if shared { first.reason.clone() } else { "INVALID_FIELD".to_owned() };
        let mut message = format!("{}: {}", first.field, first.description);
        let more = self.list.len() - 1 + self.left_out;
        if more > 0 {
            let _ = write!(message, " (and {more} more)");
        }
        let mut details = ErrorDetails::with_error_info(reason, context::error_domain(), HashMap::new());
        details.set_bad_request(self.list);
        add_request_id(&mut details);
        Err(Status::with_error_details(Code::InvalidArgument, message, details))
    }
}

/// The reason of a status, if it has one.
#[must_use]
pub fn error_reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_refusal_shows_its_message_and_a_failure_does_not() {
        let error = io::Error::other("row 7 of table secret");
        let refused = refuse(Code::NotFound, "JOB_NOT_FOUND", &error);
        assert_eq!(refused.message(), "row 7 of table secret");
        assert_eq!(error_reason(&refused).as_deref(), Some("JOB_NOT_FOUND"));
        assert!(refused.get_details_retry_info().is_none());

        let failed = fail(Code::Unavailable, "JOB_STORE_UNREACHABLE", &error);
        assert!(!failed.message().contains("secret"));
        assert_eq!(failed.get_details_retry_info().and_then(|info| info.retry_delay), Some(RETRY));
        assert_eq!(failed.get_details_error_info().map(|info| info.domain).as_deref(), Some("crawlmesh"));
    }

    #[test]
    fn violations_share_their_reason_or_get_the_general_one() {
        assert!(Violations::new().into_result().is_ok());
        let mut same = Violations::new();
        same.add("urls[0]", "INVALID_URL", "is not a URL");
        same.add("urls[1]", "INVALID_URL", "is not a URL");
        let status = same.into_result().unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(error_reason(&status).as_deref(), Some("INVALID_URL"));
        assert_eq!(status.message(), "urls[0]: is not a URL (and 1 more)");

        let mut mixed = Violations::new();
        mixed.add("urls[0]", "INVALID_URL", "is not a URL");
        mixed.add("labels", "TOO_MANY", "has more than 16 entries");
        let status = mixed.into_result().unwrap_err();
        assert_eq!(error_reason(&status).as_deref(), Some("INVALID_FIELD"));
        let fields: Vec<_> = status
            .get_details_bad_request()
            .unwrap()
            .field_violations
            .into_iter()
            .map(|v| v.reason)
            .collect();
        assert_eq!(fields, ["INVALID_URL", "TOO_MANY"]);
    }

    #[test]
    fn a_status_fits_into_headers() {
        let mut violations = Violations::new();
        for index in 0..10_000 {
            violations.add(format!("urls[{index}]"), "INVALID_URL", "x".repeat(1_000));
        }
        let status = violations.into_result().unwrap_err();
        assert!(status.details().len() < 6_000, "{}", status.details().len());
        assert!(status.message().ends_with("more)"));
        assert!(refuse_with(Code::Internal, "X", "é".repeat(5_000), &[]).message().len() < 1_010);
    }

    #[test]
    fn sources_are_on_one_line_and_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("reach the job store")]
        struct Outer(#[source] io::Error);
        assert_eq!(chain(&Outer(io::Error::other("refused"))), "reach the job store: refused");
    }
}
