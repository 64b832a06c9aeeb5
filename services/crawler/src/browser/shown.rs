//! What a page shows, and how it is read: the probe that runs in the page, and what its answers mean.

use egress::FetchError;
use serde::Deserialize;
use url::Url;

use super::net_error;
use super::progress::{Progress, Response};
use crate::fetch::{Artifact, Failure};
use crate::session::Changes;

/// Elements of a page; more are not turned into HTML.
const MAX_ELEMENTS: usize = 500_000;

/// What the filter proxy knows of a URL: why the last connection to its host failed.
pub(super) type ProxyLog<'a> = &'a (dyn Fn(&str) -> Option<FetchError> + Sync);

/// What a page shows.
#[derive(Debug)]
pub(super) struct Shown {
    /// The response of its document.
    pub(super) response: Response,
    /// Its URL, after what its scripts made of it.
    pub(super) url: Url,
    /// Its DOM as HTML, or its text if it is no HTML. Empty unless the status is a success.
    pub(super) body: String,
    /// Content type of `body`.
    pub(super) body_type: String,
    /// The URLs that led to it.
    pub(super) redirects: Vec<String>,
    /// Bytes received.
    pub(super) bytes: u64,
    /// What was taken of it beside its content.
    pub(super) artifacts: Vec<Artifact>,
    /// What it has changed of its session.
    pub(super) changes: Changes,
    /// Requests that were not made because they were ads.
    pub(super) ads: usize,
}

/// What the probe in the page says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Dom {
    /// Its URL, as its scripts left it.
    pub(super) url: String,
    /// Whether it holds nothing that could change it after loading.
    #[serde(default)]
    pub(super) inert: bool,
    /// Whether it is larger than may be read.
    #[serde(default)]
    pub(super) large: bool,
    /// Its HTML or text.
    #[serde(default)]
    pub(super) body: String,
}

/// Scripts, handlers and frames that run by themselves, and `<meta http-equiv=refresh>` can change a page after loading.
const PROBE: &str = "(() => {
    const url = document.URL, root = document.documentElement;
    if (!root) return { url };
    if (document.getElementsByTagName('*').length > $MAX_ELEMENTS) return { url, large: true };
    const script = [...document.scripts].some(s => !s.type || /javascript|ecmascript|module/i.test(s.type));
    const inert = !script && !document.querySelector('[onload], [onerror], iframe, meta[http-equiv=refresh i]');
    if ($ONLY_INERT && !inert) return { url };
    const body = $BODY;
    return body.length > $MAX_LENGTH ? { url, inert, large: true } : { url, inert, body };
})()";

/// Serialises a DOM with frames and shadow roots in it.
pub(super) const FLATTEN: &str = include_str!("js/flatten.js");

/// How a page is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) content: Content,
    /// Most characters.
    pub(super) max_dom: usize,
    /// With the content of frames in it.
    pub(super) frames: bool,
    /// With that of open shadow roots in it.
    pub(super) shadow: bool,
    /// Only if it is inert: whatever else a page holds now is not what it will show.
    pub(super) only_inert: bool,
}

/// The code that reads a page.
pub(super) fn probe(reading: Reading) -> String {
    let Reading { content, max_dom, frames, shadow, only_inert } = reading;
    let body = match content {
        Content::Html if frames || shadow => {
            format!("({FLATTEN})(root, {frames}, {shadow}, globalThis.contents)")
        }
        Content::Html => "root.outerHTML".to_owned(),
        Content::Text => "(document.querySelector('body > pre') || root).textContent".to_owned(),
    };
    PROBE
        .replace("$BODY", &body)
        .replace("$ONLY_INERT", &only_inert.to_string())
        .replace("$MAX_ELEMENTS", &MAX_ELEMENTS.to_string())
        .replace("$MAX_LENGTH", &max_dom.to_string())
}

/// How a document is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Its DOM.
    Html,
    /// Its text, as the browser shows it.
    Text,
}

impl Content {
    pub(super) fn of(mime: &str) -> Option<Self> {
        match mime {
            "text/html" | "application/xhtml+xml" | "text/xml" | "application/xml" | "" => Some(Self::Html),
            _ if mime.ends_with("+xml") && !mime.starts_with("image/") => Some(Self::Html),
            "application/json" => Some(Self::Text),
            _ if mime.starts_with("text/") || mime.ends_with("+json") => Some(Self::Text),
            _ => None,
        }
    }
}

/// A type that the browser shows and we cannot read (an image, a PDF): extraction names it.
pub(super) fn unreadable(shown: Shown) -> Shown {
    Shown { body_type: shown.response.mime.clone(), body: "\0".to_owned(), ..shown }
}

/// For plain http, the filter proxy's own answers look like the site's; it knows which were its own.
pub(super) fn refused_by_proxy(response: &Response, proxy: ProxyLog<'_>) -> Option<FetchError> {
    let ours = matches!(response.status, 403 | 502 | 504) && response.url.starts_with("http:");
    if ours { proxy(&response.url) } else { None }
}

/// A main request that failed; an error status without a body is no failure but an answer.
pub(super) fn failed(error: &str, progress: &Progress, proxy: ProxyLog<'_>) -> Result<(), Failure> {
    let answered =
        progress.response().is_some_and(|response| response.status >= 400 || response.status == 204);
    if answered && matches!(error, "net::ERR_HTTP_RESPONSE_CODE_FAILURE" | "net::ERR_ABORTED") {
        return Ok(());
    }
    Err(net_error::failure(error, progress.asked().and_then(proxy)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_is_known_by_its_type() {
        for (mime, expected) in [
            ("text/html", Some(Content::Html)),
            ("application/xhtml+xml", Some(Content::Html)),
            ("application/atom+xml", Some(Content::Html)),
            ("text/plain", Some(Content::Text)),
            ("application/json", Some(Content::Text)),
            ("application/ld+json", Some(Content::Text)),
            ("image/png", None),
            ("image/svg+xml", None),
            ("application/pdf", None),
            ("application/octet-stream", None),
        ] {
            assert_eq!(Content::of(mime), expected, "{mime}");
        }
    }
}
