//! The classification table, row by row.

use egress::{Part, Stage};
use time::macros::datetime;

use super::*;

#[test]
fn every_failure_has_its_verdict() {
    use FetchError as E;
    for (error, kind, verdict, detail) in [
        (E::NotAllowed, Kind::Final, Verdict::NotAllowed, "target not allowed"),
        (E::Dns { transient: false }, Kind::Final, Verdict::Dns, "name does not exist"),
        (E::Dns { transient: true }, Kind::Retry, Verdict::Dns, "name resolution failed"),
        (E::Connect, Kind::Retry, Verdict::Connect, "no connection, or it broke"),
        (E::Tls { why: "certificate expired" }, Kind::Final, Verdict::Tls, "certificate expired"),
        (E::Timeout { stage: Stage::Connect }, Kind::Retry, Verdict::Timeout, "connect"),
        (E::Timeout { stage: Stage::Head }, Kind::Retry, Verdict::Timeout, "head"),
        (E::Timeout { stage: Stage::Body }, Kind::Retry, Verdict::Timeout, "body"),
        (E::TooLarge { what: Part::Ratio }, Kind::Final, Verdict::TooLarge, "compression ratio"),
        (E::TooManyRedirects, Kind::Final, Verdict::HttpError, "too many redirects"),
        (E::BadRedirect, Kind::Final, Verdict::HttpError, "redirect to an invalid URL"),
        (E::Protocol, Kind::Final, Verdict::Connect, "malformed response"),
    ] {
        let judgement = failure(error);
        assert_eq!(
            (judgement.kind, judgement.verdict, judgement.detail.as_ref()),
            (kind, Some(verdict), detail),
            "{error:?}"
        );
        assert!(!judgement.shows_content(), "{error:?}");
    }
}

#[test]
fn every_status_has_its_verdict() {
    let wait = Some(Duration::from_secs(7));
    for (code, expected) in [
        (200, None),
        (204, None),
        (206, None),
        (304, Some((Kind::Final, Verdict::NotModified, None))),
        (302, Some((Kind::Final, Verdict::HttpError, None))),
        (400, Some((Kind::Final, Verdict::HttpError, None))),
        (401, Some((Kind::Final, Verdict::HttpError, None))),
        (403, Some((Kind::Final, Verdict::Blocked, None))),
        (404, Some((Kind::Final, Verdict::HttpError, None))),
        (410, Some((Kind::Final, Verdict::HttpError, None))),
        (451, Some((Kind::Final, Verdict::HttpError, None))),
        (408, Some((Kind::Retry, Verdict::HttpError, wait))),
        (425, Some((Kind::Retry, Verdict::HttpError, wait))),
        (429, Some((Kind::Retry, Verdict::Blocked, wait))),
        (500, Some((Kind::Retry, Verdict::HttpError, wait))),
        (503, Some((Kind::Retry, Verdict::HttpError, wait))),
        (599, Some((Kind::Retry, Verdict::HttpError, wait))),
        (999, Some((Kind::Final, Verdict::HttpError, None))),
    ] {
        let judgement = status(code, wait);
        let found = judgement.map(|j| {
            assert_eq!(j.detail, format!("HTTP {code}"));
            (j.kind, j.verdict, j.retry_after)
        });
        assert_eq!(found, expected.map(|(kind, verdict, wait)| (kind, Some(verdict), wait)), "{code}");
    }
}

#[test]
fn content_that_is_not_meant_is_shown_but_is_no_success() {
    for (page, verdict) in [
        (PageStatus::Ok, Verdict::Ok),
        (PageStatus::Empty, Verdict::Empty),
        (PageStatus::Soft404("page not found".into()), Verdict::Soft404),
        (PageStatus::Blocked("captcha".into()), Verdict::Blocked),
        (PageStatus::LoginWall("sign in".into()), Verdict::LoginWall),
    ] {
        let judgement = content(&page);
        assert_eq!((judgement.kind, judgement.verdict), (Kind::Final, Some(verdict)));
        assert!(judgement.shows_content(), "{page:?}");
    }
    let judgement = unreadable(&extract::Error::UnsupportedType("image/png".into()));
    assert_eq!((judgement.verdict, judgement.shows_content()), (Some(Verdict::UnsupportedType), false));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = datetime!(2026-11-21 10:00 UTC);
    for (value, expected) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("Sat, 21 Nov 2026 10:01:30 GMT", Some(90)),
        ("Sat, 21 Nov 2026 09:00:00 GMT", Some(0)),
        ("99999999999", Some(24 * 3600)),
        ("-1", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value:?}");
    }
}

#[test]
fn a_detail_is_one_short_line() {
    let judgement = content(&PageStatus::Soft404(format!("a\nb{}", "ü".repeat(1000))));
    assert!(judgement.detail.starts_with("a bü") && judgement.detail.chars().count() == 200);
}
