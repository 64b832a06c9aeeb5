//! Reads `WebhookTarget`: whom to tell, and what may stand in the request that tells.

use std::collections::{BTreeMap, HashMap};

use api::job::v1::{self as pb, webhook_target};
use domain::{AddressPolicy, PageUrl};
use mesh::Violations;

use crate::{
    event::EventType,
    spec::{Format, Webhook},
};

const MAX_URL: usize = 2048;
const MAX_HEADERS: usize = 20;
const MAX_HEADER_NAME: usize = 256;
const MAX_HEADER_VALUE: usize = 2048;
const MAX_EVENT_TYPES: usize = 16;
/// Hop-by-hop (RFC 9110, 7.6.1) and those that the delivery sets itself.
const DENIED_HEADERS: [&str; 12] = [
    "connection",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const DENIED_PREFIXES: [&str; 2] = ["content-", "webhook-"];

/// Reads a target. None if its URL is not one.
pub(super) fn read_webhook(
    target: pb::WebhookTarget,
    policy: &AddressPolicy,
    violations: &mut Violations,
    refused: &mut Option<String>,
) -> Option<Webhook> {
    let headers = read_headers(target.headers, violations);
    let event_types = read_event_types(&target.event_types, violations);
    let format = match webhook_target::Format::try_from(target.format) {
        Ok(webhook_target::Format::Unspecified | webhook_target::Format::Standard) => Format::Standard,
        Ok(webhook_target::Format::Crawl4ai) => Format::Crawl4ai,
        Err(_) => {
            violations.add("webhook.format", "UNKNOWN_VALUE", "is not a known value");
            Format::Standard
        }
    };
    let url = read_url(&target.url, policy, violations, refused)?;
    Some(Webhook { url, headers, event_types, format })
}

fn read_url(
    text: &str,
    policy: &AddressPolicy,
    violations: &mut Violations,
    refused: &mut Option<String>,
) -> Option<String> {
    if text.len() > MAX_URL {
        violations.add("webhook.url", "URL_TOO_LONG", format!("is longer than {MAX_URL} bytes"));
        return None;
    }
    let url = PageUrl::parse(text)
        .map_err(|error| violations.add("webhook.url", error.reason(), error.to_string()))
        .ok()?;
    if refused.is_none() && policy.check_url(url.as_url()).is_err() {
        *refused = Some("webhook.url".to_owned());
    }
    Some(text.trim().to_owned())
}

fn read_headers(headers: HashMap<String, String>, violations: &mut Violations) -> BTreeMap<String, String> {
    if headers.len() > MAX_HEADERS {
        let description = format!("has {} headers, more than {MAX_HEADERS}", headers.len());
        violations.add("webhook.headers", "TOO_MANY_HEADERS", description);
        return BTreeMap::new();
    }
    let headers: BTreeMap<String, String> = headers.into_iter().collect();
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in &headers {
        let lower = name.to_ascii_lowercase();
        let problem = header_problem(&lower, value)
            .or_else(|| seen.contains(&lower).then_some("comes twice, in different cases"));
        if let Some(problem) = problem {
            violations.add(format!("webhook.headers[{}]", name.escape_default()), "INVALID_HEADER", problem);
        }
        seen.push(lower);
    }
    headers
}

/// Whether a text is a token (RFC 9110, 5.6.2) of at most so many bytes.
pub(super) fn is_token(text: &str, longest: usize) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=longest).contains(&text.len()) && text.bytes().all(token)
}

/// What is wrong with a header, its name in lower case. Its value is not shown: it may be a credential.
pub(super) fn header_problem(name: &str, value: &str) -> Option<&'static str> {
    if !is_token(name, MAX_HEADER_NAME) {
        return Some("is not the name of a header");
    }
    if DENIED_HEADERS.contains(&name) || DENIED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Some("is a header that crawlmesh sets itself");
    }
    if value.len() > MAX_HEADER_VALUE {
        return Some("has a value longer than 2048 bytes");
    }
    if !value.bytes().all(|byte| byte == b'\t' || (0x20..=0x7e).contains(&byte)) {
        return Some("has a value with characters other than printable ASCII");
    }
    None
}

fn read_event_types(words: &[String], violations: &mut Violations) -> Vec<EventType> {
    if words.is_empty() {
        return EventType::TERMINAL.to_vec();
    }
    if words.len() > MAX_EVENT_TYPES {
        let description = format!("has {} types, more than {MAX_EVENT_TYPES}", words.len());
        violations.add("webhook.event_types", "TOO_MANY_EVENT_TYPES", description);
        return Vec::new();
    }
    let mut types = Vec::new();
    for (index, word) in words.iter().enumerate() {
        match word.parse() {
            Ok(event_type) if !types.contains(&event_type) => types.push(event_type),
            Ok(_) => {}
            Err(_) => {
                let field = format!("webhook.event_types[{index}]");
                violations.add(field, "UNKNOWN_EVENT_TYPE", "is not the type of an event");
            }
        }
    }
    types
}
