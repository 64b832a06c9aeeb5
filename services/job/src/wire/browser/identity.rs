//! Who the browser says it is: name, language, headers, cookies, storage.

use api::job::v1 as pb;
use domain::{PageUrl, Scope};

use super::Check;
use crate::wire::target::header_problem;

const MAX_HEADERS: usize = 20;
const MAX_COOKIES: usize = 50;
const MAX_COOKIE_NAME: usize = 256;
const MAX_COOKIE_VALUE: usize = 4096;
const MAX_DOMAIN: usize = 255;
const MAX_ORIGINS: usize = 10;
const MAX_ITEMS: usize = 100;
const MAX_USER_AGENT: usize = 512;
const MAX_TIMEZONE: usize = 64;
/// Headers that say how and for whom a request was made belong to the browser.
const DENIED_PREFIXES: [&str; 2] = ["sec-", "proxy-"];

/// The scopes that a credential needs to say who is asking: the same as for plain HTTP (`config.fetch`).
pub(super) fn scopes(options: &pb::BrowserOptions) -> impl Iterator<Item = Scope> {
    let headers = !options.user_agent.is_empty() || !options.headers.is_empty();
    let cookies = !options.cookies.is_empty() || !options.local_storage.is_empty();
    headers.then_some(Scope::HeadersSet).into_iter().chain(cookies.then_some(Scope::CookiesSet))
}

/// Holds the options against the rules.
pub(super) fn check(options: &pb::BrowserOptions, check: &mut Check<'_>) {
    let agent = &options.user_agent;
    if agent.len() > MAX_USER_AGENT || !agent.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        let text = format!("must be at most {MAX_USER_AGENT} printable ASCII characters");
        check.field("user_agent", "INVALID_USER_AGENT", text);
    }
    if !options.locale.is_empty() && !locale(&options.locale) {
        check.field("locale", "INVALID_LOCALE", "must be a language tag such as `de-DE`");
    }
    if !options.timezone.is_empty() && !timezone(&options.timezone) {
        check.field(
            "timezone",
            "INVALID_TIMEZONE",
            "must be the name of a time zone such as `Europe/Berlin`",
        );
    }
    headers(options, check);
    cookies(&options.cookies, check);
    storage(&options.local_storage, check);
}

/// BCP 47, as far as its form goes: subtags of letters and digits, a language first.
fn locale(tag: &str) -> bool {
    let subtag =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let language = tag.split('-').next().unwrap_or_default();
    let alphabetic = language.bytes().all(|byte| byte.is_ascii_alphabetic());
    tag.len() <= 35 && (2..=3).contains(&language.len()) && alphabetic && tag.split('-').all(subtag)
}

/// The form of an IANA name; whether there is such a zone, the browser knows.
fn timezone(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    name.len() <= MAX_TIMEZONE && name.split('/').all(part)
}

fn headers(options: &pb::BrowserOptions, check: &mut Check<'_>) {
    if !check.count("headers", options.headers.len(), MAX_HEADERS) {
        return;
    }
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in &options.headers {
        let lower = name.to_ascii_lowercase();
        let ours = DENIED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
        let problem = header_problem(&lower, value)
            .or_else(|| ours.then_some("is a header that the browser sets itself"))
            .or_else(|| (lower == "user-agent").then_some("is set by `user_agent`"))
            .or_else(|| seen.contains(&lower).then_some("comes twice, in different cases"));
        if let Some(problem) = problem {
            check.field(&format!("headers[{}]", name.escape_default()), "INVALID_HEADER", problem);
        }
        seen.push(lower);
    }
}

fn cookies(cookies: &[pb::Cookie], check: &mut Check<'_>) {
    if !check.count("cookies", cookies.len(), MAX_COOKIES) {
        return;
    }
    // RFC 6265, 4.1.1.
    let octet = |byte: u8| (0x21..=0x7e).contains(&byte) && !b"\",;\\".contains(&byte);
    for (index, cookie) in cookies.iter().enumerate() {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let name = &cookie.name;
        if name.is_empty() || name.len() > MAX_COOKIE_NAME || !name.bytes().all(token) {
            check.field(&format!("cookies[{index}].name"), "INVALID_COOKIE", "is not the name of a cookie");
        }
        if cookie.value.len() > MAX_COOKIE_VALUE || !cookie.value.bytes().all(octet) {
            check.field(&format!("cookies[{index}].value"), "INVALID_COOKIE", "is not the value of a cookie");
        }
        let host = cookie.domain.strip_prefix('.').unwrap_or(&cookie.domain);
        let parsed = PageUrl::parse(&format!("http://{host}/"));
        if host.len() > MAX_DOMAIN || parsed.map_or(true, |url| url.host() != host.to_ascii_lowercase()) {
            check.field(&format!("cookies[{index}].domain"), "INVALID_COOKIE", "is not a host");
        }
        let path = &cookie.path;
        if !path.is_empty() && (!path.starts_with('/') || path.len() > 1024 || !path.bytes().all(octet)) {
            check.field(&format!("cookies[{index}].path"), "INVALID_COOKIE", "is not a path");
        }
    }
}

fn storage(storage: &[pb::LocalStorage], check: &mut Check<'_>) {
    if !check.count("local_storage", storage.len(), MAX_ORIGINS) {
        return;
    }
    for (index, storage) in storage.iter().enumerate() {
        let url = PageUrl::parse(&storage.origin).ok();
        let origin = url.map(|url| url.as_url().origin().ascii_serialization());
        if origin.as_deref() != Some(storage.origin.trim_end_matches('/')) {
            check.field(
                &format!("local_storage[{index}].origin"),
                "INVALID_ORIGIN",
                "is not an origin such as `https://example.com`",
            );
        }
        check.count(&format!("local_storage[{index}].items"), storage.items.len(), MAX_ITEMS);
    }
}
