//! Which spellings of a URL are one page: what a crawl that follows links fetches, and the key that keeps it from coming twice.
//!
//! Folded: fragment, default port, case of the host (by the parser), tracking and session parameters, the order of parameters,
//! needless percent-encoding, a slash at the end of the path. Kept apart: scheme, `www.`, `index.html`, everything else.

use std::borrow::Cow;

use crate::PageUrl;

/// Query parameters that say where a visitor came from, or who he is, and never what is shown. Lower case, sorted.
const TRACKING: &[&str] = &[
    "_ga",
    "_gl",
    "_hsenc",
    "_hsmi",
    "dclid",
    "epik",
    "fbclid",
    "gad_source",
    "gbraid",
    "gclid",
    "gclsrc",
    "igsh",
    "igshid",
    "irclickid",
    "jsessionid",
    "li_fat_id",
    "mc_cid",
    "mc_eid",
    "mkt_tok",
    "msclkid",
    "oly_anon_id",
    "oly_enc_id",
    "phpsessid",
    "s_cid",
    "sc_cid",
    "srsltid",
    "ttclid",
    "twclid",
    "vero_id",
    "wbraid",
    "wickedid",
    "yclid",
];
const TRACKING_PREFIXES: [&str; 4] = ["utm_", "mtm_", "pk_", "hsa_"];
const SESSION: &str = ";jsessionid=";

impl PageUrl {
    /// The URL as a crawl fetches it: without fragment, tracking parameters and session ids.
    #[must_use]
    pub fn cleaned(&self) -> Self {
        let mut url = self.as_url().clone();
        url.set_fragment(None);
        if let Some(at) = find_ignoring_case(url.path(), SESSION) {
            let path = url.path()[..at].to_owned();
            url.set_path(&path);
        }
        if let Some(query) = url.query() {
            let kept: Vec<&str> = parameters(query).collect();
            let kept = (!kept.is_empty()).then(|| kept.join("&"));
            url.set_query(kept.as_deref());
        }
        // Removing parts makes no other host, scheme or port.
        Self::try_from(url).unwrap_or_else(|_| self.clone())
    }

    /// The one spelling of all URLs that are taken for the same page.
    #[must_use]
    pub fn normal(&self) -> String {
        let url = self.cleaned().as_url().clone();
        let mut text = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        if let Some(port) = url.port() {
            text.push_str(&format!(":{port}"));
        }
        let path = decoded(url.path());
        text.push_str(path.trim_end_matches('/'));
        if let Some(query) = url.query() {
            let mut parameters: Vec<Cow<'_, str>> = parameters(query).map(decoded).collect();
            parameters.sort_unstable();
            text.push('?');
            text.push_str(&parameters.join("&"));
        }
        text
    }

    /// A short key of [`Self::normal`]: the first 16 bytes of its BLAKE3 hash.
    #[must_use]
    pub fn normal_key(&self) -> [u8; 16] {
        short_hash(self.normal().as_bytes())
    }
}

/// The first 16 bytes of a BLAKE3 hash.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let hash = blake3::hash(bytes);
    let mut key = [0; 16];
    key.copy_from_slice(&hash.as_bytes()[..16]);
    key
}

/// The parameters of a query that may matter, as they are written.
fn parameters(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|parameter| {
        let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
        let tracking = TRACKING.binary_search(&name.as_str()).is_ok()
            || TRACKING_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        !parameter.is_empty() && !tracking
    })
}

fn find_ignoring_case(text: &str, lower: &str) -> Option<usize> {
    text.as_bytes().windows(lower.len()).position(|part| part.eq_ignore_ascii_case(lower.as_bytes()))
}

/// Percent-encoding only where it is needed, with capitals (RFC 3986, 6.2.2).
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let hex = rest.get(1..3).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                plain.push(char::from(byte));
                rest = &rest[3..];
            }
            Some(byte) => {
                plain.push_str(&format!("%{byte:02X}"));
                rest = &rest[3..];
            }
            // A sign that stands for itself: with what follows, once decoded, it could be read as a code.
            None => {
                plain.push_str("%25");
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> PageUrl {
        PageUrl::parse(text).expect("because it is a URL")
    }

    #[test]
    fn tracking_words_are_sorted() {
        assert!(TRACKING.is_sorted());
    }

    #[test]
    fn spellings_of_one_page_are_one() {
        for (a, b) in [
            ("http://Example.com:80/a#x", "http://example.com/a"),
            ("https://example.com", "https://example.com/"),
            ("https://example.com/a/", "https://example.com/a"),
            ("https://example.com/a?utm_source=x&b=1", "https://example.com/a?b=1"),
            ("https://example.com/a?GCLID=x", "https://example.com/a"),
            ("https://example.com/a?b=1&a=2", "https://example.com/a?a=2&b=1"),
            ("https://example.com/%7Eme/%c3%a4", "https://example.com/~me/ä"),
            ("https://example.com/a;jsessionid=0A1B?x=1", "https://example.com/a?x=1"),
            ("https://example.com/a?", "https://example.com/a"),
            ("https://example.com/%%30a", "https://example.com/%250a"),
            ("https://example.com/100%", "https://example.com/100%25"),
        ] {
            assert_eq!(url(a).normal_key(), url(b).normal_key(), "{a} {b}");
        }
        for (a, b) in [
            ("http://example.com/", "https://example.com/"),
            ("https://example.com/a", "https://example.com/b"),
            ("https://example.com/a?b=1", "https://example.com/a?b=2"),
            ("https://example.com/a%2Fb", "https://example.com/a/b"),
            ("https://www.example.com/", "https://example.com/"),
            ("https://example.com/?ref=a", "https://example.com/"),
            ("https://example.com/%%30a", "https://example.com/%0a"),
            ("https://example.com/%+1", "https://example.com/%01"),
        ] {
            assert_ne!(url(a).normal_key(), url(b).normal_key(), "{a} {b}");
        }
    }

    #[test]
    fn what_is_fetched_keeps_what_matters() {
        assert_eq!(
            url("https://example.com/a/?b=2&utm_id=1&a=%20#top").cleaned().as_str(),
            "https://example.com/a/?b=2&a=%20"
        );
        assert_eq!(url("https://example.com/?fbclid=1").cleaned().as_str(), "https://example.com/");
    }

    proptest! {
        #[test]
        fn cleaning_twice_is_cleaning_once(path in "(/[a-z%0-9;=]{0,8}){0,4}/?", query in "([a-zA-Z_%0-9]{0,6}=?[a-z0-9]{0,3}&?){0,5}") {
            let Ok(url) = PageUrl::parse(&format!("https://example.com{path}?{query}#f")) else { return Ok(()) };
            let cleaned = url.cleaned();
            prop_assert_eq!(cleaned.normal(), url.normal());
            prop_assert_eq!(cleaned.cleaned(), cleaned);
        }

        #[test]
        fn the_normal_form_is_its_own(path in "(/[a-z%0-9A-F]{0,8}){0,4}/?", query in "([a-z]{1,3}=[a-z0-9]{0,3}&?){0,5}") {
            let Ok(url) = PageUrl::parse(&format!("https://example.com{path}?{query}")) else { return Ok(()) };
            let normal = PageUrl::parse(&url.normal()).expect("because it is a URL again");
            prop_assert_eq!(normal.normal(), url.normal());
        }
    }
}
