//! Verdicts: how a page ended. Every URL of a job ends in exactly one.

use crate::lane::words;

words! {
    /// How a page ended. The same words in protos, tables, metrics and webhooks.
    Verdict {
        /// Fetched, and its content is what the site meant to show.
        Ok = "ok",
        /// The site says that nothing changed since the copy we have (HTTP 304).
        NotModified = "not_modified",
        /// The site answered with an HTTP error.
        HttpError = "http_error",
        /// A captcha or bot wall, or 403 or 429 after all retries.
        Blocked = "blocked",
        /// HTTP success with the content of an error page.
        Soft404 = "soft_404",
        /// HTTP success without content.
        Empty = "empty",
        /// The site asks to log in.
        LoginWall = "login_wall",
        /// robots.txt forbids it (RFC 9309).
        Robots = "robots",
        /// The address policy forbids the target.
        NotAllowed = "not_allowed",
        /// The name did not resolve.
        Dns = "dns",
        /// No connection, or it broke.
        Connect = "connect",
        /// TLS failed, e.g. an expired certificate.
        Tls = "tls",
        /// Out of time; the detail says at which stage.
        Timeout = "timeout",
        /// Larger than the limit.
        TooLarge = "too_large",
        /// A content type that crawlmesh cannot read.
        UnsupportedType = "unsupported_type",
        /// The same page as another one of the job.
        Duplicate = "duplicate",
        /// Outside the job's page budget.
        Budget = "budget",
        /// The job was cancelled first.
        Cancelled = "cancelled",
        /// It killed its crawler three times.
        Poison = "poison",
        /// Our fault: the mesh could not do its work.
        Infra = "infra",
        /// What was asked of the page in the browser failed in it; the detail says what.
        Interaction = "interaction",
    }
}

words! {
    /// Where a verdict is counted: `found = succeeded + failed + skipped + cancelled + pending + running`.
    Outcome {
        /// There is a document.
        Succeeded = "succeeded",
        /// It was tried, in vain.
        Failed = "failed",
        /// It was not tried, by rule.
        Skipped = "skipped",
        /// The job was cancelled first.
        Cancelled = "cancelled",
    }
}

impl Verdict {
    /// The ledger column that counts it.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Ok | Self::NotModified => Outcome::Succeeded,
            Self::HttpError
            | Self::Blocked
            | Self::Soft404
            | Self::Empty
            | Self::LoginWall
            | Self::Dns
            | Self::Connect
            | Self::Tls
            | Self::Timeout
            | Self::TooLarge
            | Self::UnsupportedType
            | Self::Poison
            | Self::Infra
            | Self::Interaction => Outcome::Failed,
            Self::Robots | Self::NotAllowed | Self::Duplicate | Self::Budget => Outcome::Skipped,
            Self::Cancelled => Outcome::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for verdict in Verdict::ALL {
            assert_eq!(verdict.as_str().parse(), Ok(*verdict));
        }
        assert!("OK".parse::<Verdict>().is_err());
    }
}
