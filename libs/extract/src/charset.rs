//! Bytes to text: which character encoding a body is in. In order of trust: byte order mark, `Content-Type`,
//! `<meta>` or XML declaration in the first 1024 bytes, guess (WHATWG HTML §13.2.3).

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Where a declaration inside the document is looked for.
const PRESCAN_BYTES: usize = 1024;
/// How much is read to guess; more does not make the guess better.
const GUESS_BYTES: usize = 256 * 1024;

/// The text of a body and its encoding. Bytes that fit no character become U+FFFD; a byte order mark is dropped.
pub(crate) fn decode<'a>(
    bytes: &'a [u8],
    header: Option<&str>,
    host: Option<&str>,
) -> (Cow<'a, str>, &'static Encoding) {
    let (encoding, skip) = match Encoding::for_bom(bytes) {
        Some((encoding, length)) => (encoding, length),
        None => (declared(bytes, header).unwrap_or_else(|| guess(bytes, host)), 0),
    };
    let (text, _) = encoding.decode_without_bom_handling(&bytes[skip..]);
    (text, encoding)
}

fn declared(bytes: &[u8], header: Option<&str>) -> Option<&'static Encoding> {
    let label = header.and_then(charset_parameter).and_then(|label| Encoding::for_label(label.as_bytes()));
    label.or_else(|| prescan(&bytes[..bytes.len().min(PRESCAN_BYTES)]))
}

/// The `charset` parameter of a `Content-Type`, without quotes.
fn charset_parameter(header: &str) -> Option<&str> {
    let at = find_ignore_case(header.as_bytes(), b"charset")?;
    let value = header.get(at + 7..)?.trim_start().strip_prefix('=')?.trim_start();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value[1..].split(quote).next()?,
        _ => value.split([';', ' ', '\t', ',', '"', '\'']).next()?,
    };
    Some(value.trim()).filter(|label| !label.is_empty())
}

fn prescan(head: &[u8]) -> Option<&'static Encoding> {
    if head.starts_with(b"<?xml") {
        let end = head.iter().position(|byte| *byte == b'>').unwrap_or(head.len());
        let label =
            find_ignore_case(&head[..end], b"encoding").and_then(|at| value_after(&head[at + 8..end]));
        if let Some(encoding) = label.as_deref().and_then(document_label) {
            return Some(encoding);
        }
    }
    let mut rest = head;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        rest = &rest[at..];
        if rest.starts_with(b"<!--") {
            rest = &rest[find_ignore_case(rest, b"-->")?..];
        } else if rest.len() > 5 && rest[..5].eq_ignore_ascii_case(b"<meta") {
            let end = rest.iter().position(|byte| *byte == b'>').unwrap_or(rest.len());
            if let Some(encoding) = meta(&rest[5..end]) {
                return Some(encoding);
            }
        }
        rest = &rest[1..];
    }
    None
}

/// `charset="x"`, or `http-equiv="content-type" content="text/html; charset=x"`.
fn meta(attributes: &[u8]) -> Option<&'static Encoding> {
    let at = find_ignore_case(attributes, b"charset")?;
    let inside_content = find_ignore_case(&attributes[..at], b"content=").is_some();
    if inside_content && find_ignore_case(attributes, b"content-type").is_none() {
        return None;
    }
    document_label(&value_after(&attributes[at + 7..])?)
}

/// A label inside the document cannot be UTF-16: it was read as ASCII.
fn document_label(label: &str) -> Option<&'static Encoding> {
    let encoding = Encoding::for_label(label.as_bytes())?;
    if encoding == UTF_16BE || encoding == UTF_16LE {
        return Some(UTF_8);
    }
    Some(if encoding.name() == "x-user-defined" { WINDOWS_1252 } else { encoding })
}

/// The label in ` = "label"`, with or without quotes.
fn value_after(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let value = text.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    let end = value.find(|c: char| c.is_ascii_whitespace() || "\"';>/".contains(c)).unwrap_or(value.len());
    Some(value[..end].to_owned()).filter(|label| !label.is_empty())
}

fn guess(bytes: &[u8], host: Option<&str>) -> &'static Encoding {
    let sample = &bytes[..bytes.len().min(GUESS_BYTES)];
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(sample, sample.len() == bytes.len());
    let tld = host.and_then(|host| host.rsplit('.').next());
    let tld = tld.filter(|tld| !tld.is_empty() && tld.bytes().all(|byte| byte.is_ascii_lowercase()));
    detector.guess(tld.map(str::as_bytes), Utf8Detection::Allow)
}

/// Position of an ASCII needle, given in lower case.
pub(crate) fn find_ignore_case(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle))
}
