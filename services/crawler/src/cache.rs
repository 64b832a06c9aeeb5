//! Pages that were stored before: what is known of one, whether it is fresh, and how a site is asked whether it still holds.

use std::time::Duration;

use api::result::v1::Document;
use bytes::Bytes;
use time::OffsetDateTime;
use url::Url;

use crate::fetch::Fetched;
use crate::outcome;

/// How a page came out of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cached {
    /// It is young enough; the site was not asked. When it was fetched.
    Fresh(OffsetDateTime),
    /// The site said that nothing changed.
    Revalidated,
}

/// A page as it was stored.
#[derive(Debug, Clone)]
pub(crate) struct Recalled {
    /// Its document, without content.
    document: Document,
    html: Bytes,
    time: OffsetDateTime,
    final_url: Url,
}

impl Recalled {
    /// A stored page. `None`: it has no time or no URL, so nothing can be made of it.
    pub(crate) fn new(document: Document, html: Bytes) -> Option<Self> {
        let stamp = document.fetch_time?;
        let time = OffsetDateTime::from_unix_timestamp(stamp.seconds).ok()?;
        let final_url = Url::parse(&document.final_url).ok()?;
        Some(Self { document, html, time, final_url })
    }

    /// That it is fresh, if it is. What is from the future is not.
    pub(crate) fn fresh(&self, max_age: Duration, now: OffsetDateTime) -> Option<Cached> {
        let age = Duration::try_from(now - self.time).ok()?;
        (age < max_age).then_some(Cached::Fresh(self.time))
    }

    /// `ETag` and `Last-Modified`.
    pub(crate) fn validators(&self) -> (Option<String>, Option<String>) {
        let header = |name: &str| self.document.response_headers.get(name).cloned();
        (header("etag"), header("last-modified"))
    }

    /// The answer as it was.
    pub(crate) fn fetched(&self) -> Fetched {
        let headers = &self.document.response_headers;
        let artifact = self.document.artifacts.iter().find(|artifact| artifact.kind == "html");
        Fetched {
            status: self.document.http_status.and_then(|it| u16::try_from(it).ok()).unwrap_or(200),
            final_url: self.final_url.clone(),
            redirects: self.document.redirects.clone(),
            headers: headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            content_type: artifact.map(|artifact| artifact.content_type.clone()),
            body: self.html.clone(),
            latency: None,
            wire_bytes: 0,
            artifacts: Vec::new(),
            changes: crate::session::Changes::default(),
            ads_blocked: 0,
        }
    }
}

impl Cached {
    /// What the document says of it.
    pub(crate) fn explain(self, document: &mut Document) {
        document.from_cache = true;
        if let Self::Fresh(time) = self {
            document.fetch_time = Some(outcome::timestamp(time));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_fresh_until_it_is_too_old() {
        let time = OffsetDateTime::from_unix_timestamp(1_000).unwrap();
        let document = Document {
            final_url: "https://example.com/".into(),
            fetch_time: Some(outcome::timestamp(time)),
            http_status: Some(203),
            response_headers: [("etag".to_owned(), "\"1\"".to_owned())].into(),
            ..Document::default()
        };
        let recalled = Recalled::new(document.clone(), Bytes::from_static(b"<p>")).unwrap();
        let fresh = |max_age: u64, after: i64| {
            recalled.fresh(Duration::from_secs(max_age), time + time::Duration::seconds(after)).is_some()
        };
        assert!(fresh(60, 0) && fresh(60, 59) && !fresh(60, 60) && !fresh(60, -1) && !fresh(0, 0));
        assert_eq!(recalled.validators(), (Some("\"1\"".to_owned()), None));
        assert_eq!((recalled.fetched().status, &recalled.fetched().body[..]), (203, &b"<p>"[..]));
        for broken in [
            Document { fetch_time: None, ..document.clone() },
            Document { final_url: "nowhere".into(), ..document },
        ] {
            assert!(Recalled::new(broken, Bytes::new()).is_none());
        }
    }
}
