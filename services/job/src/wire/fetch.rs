//! Reads and shows `FetchOptions`: how pages are asked for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use api::job::v1::{self as pb, fetch_options};
use domain::{AddressPolicy, Lane, PageUrl, ProxyKind, ProxyServer};
use mesh::Violations;

use super::{reply::Headers, target::is_token};
use crate::spec::{Fetch, Proxy, Spec};

const MAX_HEADERS: usize = 32;
const MAX_NAME: usize = 256;
const MAX_VALUE: usize = 4096;
const MAX_COOKIES: usize = 64;
const MAX_USER_AGENT: usize = 512;
const MAX_HOSTS: usize = 100;
const MAX_SERVER: usize = 1024;
/// RFC 1929 has a byte for the length.
const MAX_CREDENTIAL: usize = 255;
const MAX_AGE: Duration = Duration::from_secs(30 * 86_400);
/// What stands in the place of a value that may be a credential.
const HIDDEN: &str = "***";
/// Those of the connection (RFC 9110, 7.6.1), and those that the crawler sets itself.
const DENIED: [&str; 14] = [
    "accept-encoding",
    "connection",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];
const DENIED_PREFIXES: [&str; 3] = ["content-", "if-", "proxy-"];

/// Reads the options, for a job of these URLs. `refused` becomes the proxy's field if the policy forbids its address.
pub(super) fn read_fetch(
    options: pb::FetchOptions,
    urls: &[(String, PageUrl)],
    policy: &AddressPolicy,
    violations: &mut Violations,
    refused: &mut Option<String>,
) -> Fetch {
    let mut fetch = Fetch {
        headers: read_headers(options.headers, violations),
        cookies: read_cookies(options.cookies, violations),
        user_agent: read_user_agent(options.user_agent, violations),
        hosts: Vec::new(),
        max_age: options.cache.map(|cache| {
            let range = (Duration::ZERO, MAX_AGE);
            if cache.max_age.is_none() {
                violations.add("config.fetch.cache.max_age", "REQUIRED", "is required");
            }
            super::read_duration(
                "config.fetch.cache.max_age",
                cache.max_age,
                Duration::ZERO,
                range,
                violations,
            )
        }),
        proxy: options.proxy.map(|proxy| read_proxy(proxy, policy, violations, refused)),
    };
    if !fetch.headers.is_empty() || !fetch.cookies.is_empty() {
        fetch.hosts = read_hosts(options.hosts, urls, violations);
    } else if !options.hosts.is_empty() {
        violations.add("config.fetch.hosts", "CONFLICT", "needs headers or cookies to send");
    }
    fetch
}

/// Refuses what the lanes of a job cannot do.
pub(super) fn check_fetch(spec: &Spec, violations: &mut Violations) {
    let Some(fetch) = &spec.fetch else { return };
    if fetch.sends() && spec.first_lane().0 == Lane::Browser {
        let description =
            "headers, cookies and user agent are those of the HTTP lane, but the job needs a browser";
        violations.add("config.fetch", "CONFLICT", description);
    }
    if fetch.max_age.is_some() && !spec.keep_html {
        violations.add("config.fetch.cache", "CONFLICT", "needs `keep_html`");
    }
}

fn read_headers(headers: HashMap<String, String>, violations: &mut Violations) -> BTreeMap<String, String> {
    if headers.len() > MAX_HEADERS {
        let description = format!("has {} headers, more than {MAX_HEADERS}", headers.len());
        violations.add("config.fetch.headers", "TOO_MANY_HEADERS", description);
        return BTreeMap::new();
    }
    let mut read = BTreeMap::new();
    for (name, value) in headers.into_iter().collect::<BTreeMap<_, _>>() {
        let lower = name.to_ascii_lowercase();
        let denied =
            DENIED.contains(&lower.as_str()) || DENIED_PREFIXES.iter().any(|it| lower.starts_with(it));
        let problem = match () {
            () if !is_token(&lower, MAX_NAME) => Some("is not the name of a header"),
            () if denied => Some("is a header that crawlmesh sets itself"),
            () if !printable(&value) => Some("has a value that is not at most 4096 bytes of printable ASCII"),
            () if read.contains_key(&lower) => Some("comes twice, in different cases"),
            () => None,
        };
        if let Some(problem) = problem {
            let field = format!("config.fetch.headers[{}]", name.escape_default());
            violations.add(field, "INVALID_HEADER", problem);
        }
        read.insert(lower, value);
    }
    read
}

fn printable(value: &str) -> bool {
    value.len() <= MAX_VALUE && value.bytes().all(|byte| byte == b'\t' || (0x20..=0x7e).contains(&byte))
}

fn read_cookies(cookies: Vec<fetch_options::Cookie>, violations: &mut Violations) -> Vec<(String, String)> {
    if cookies.len() > MAX_COOKIES {
        let description = format!("has {} cookies, more than {MAX_COOKIES}", cookies.len());
        violations.add("config.fetch.cookies", "TOO_MANY", description);
        return Vec::new();
    }
    for (index, cookie) in cookies.iter().enumerate() {
        if !is_token(&cookie.name.to_ascii_lowercase(), MAX_NAME) {
            let field = format!("config.fetch.cookies[{index}].name");
            violations.add(field, "INVALID_COOKIE", "is not the name of a cookie");
        }
        // RFC 6265, 4.1.1, and the quotes and commas that browsers let through.
        if !printable(&cookie.value) || cookie.value.contains([';', '\t']) {
            let field = format!("config.fetch.cookies[{index}].value");
            violations.add(field, "INVALID_COOKIE", "is not the value of a cookie");
        }
    }
    cookies.into_iter().map(|cookie| (cookie.name, cookie.value)).collect()
}

fn read_user_agent(user_agent: String, violations: &mut Violations) -> Option<String> {
    if user_agent.len() > MAX_USER_AGENT || !printable(&user_agent) {
        let description = format!("must be at most {MAX_USER_AGENT} bytes of printable ASCII");
        violations.add("config.fetch.user_agent", "INVALID_HEADER", description);
    }
    Some(user_agent).filter(|agent| !agent.is_empty())
}

fn read_proxy(
    proxy: fetch_options::Proxy,
    policy: &AddressPolicy,
    violations: &mut Violations,
    refused: &mut Option<String>,
) -> Proxy {
    let fetch_options::Proxy { server, username, password } = proxy;
    if server.len() > MAX_SERVER {
        let description = format!("is longer than {MAX_SERVER} bytes");
        violations.add("config.fetch.proxy.server", "URL_TOO_LONG", description);
        return Proxy { server: String::new(), username, password };
    }
    let read = ProxyServer::parse(&server);
    match &read {
        Err(error) => violations.add("config.fetch.proxy.server", error.reason(), error.to_string()),
        Ok(server) if refused.is_none() && server.check(policy).is_err() => {
            *refused = Some("config.fetch.proxy.server".to_owned());
        }
        Ok(_) => {}
    }
    for (field, value) in [("username", &username), ("password", &password)] {
        if value.len() > MAX_CREDENTIAL || !printable(value) {
            let description = format!("must be at most {MAX_CREDENTIAL} bytes of printable ASCII");
            violations.add(format!("config.fetch.proxy.{field}"), "INVALID_PROXY", description);
        }
    }
    let kind = read.as_ref().ok().map(ProxyServer::kind);
    if kind.is_some_and(ProxyKind::http) && username.contains(':') {
        let description = "must not have a colon, which ends it on the way to an HTTP proxy";
        violations.add("config.fetch.proxy.username", "INVALID_PROXY", description);
    }
    if !password.is_empty() && kind.is_some_and(|kind| !kind.takes_password()) {
        let description = "must be empty: a SOCKS4 proxy knows users, but no passwords";
        violations.add("config.fetch.proxy.password", "INVALID_PROXY", description);
    }
    if username.is_empty() && !password.is_empty() {
        violations.add("config.fetch.proxy.username", "REQUIRED", "is required with a password");
    }
    let server = read.map(|server| server.to_string()).unwrap_or_default();
    Proxy { server, username, password }
}

fn read_hosts(hosts: Vec<String>, urls: &[(String, PageUrl)], violations: &mut Violations) -> Vec<String> {
    let given = !hosts.is_empty();
    let read: BTreeSet<String> = if given {
        let mut read = BTreeSet::new();
        for (index, host) in hosts.iter().enumerate().take(MAX_HOSTS + 1) {
            // A URL's own rules: lower case, Punycode, addresses in their one spelling.
            match PageUrl::parse(&format!("http://{host}/")) {
                Ok(url) if url.as_url().path() == "/" && url.as_url().port().is_none() => {
                    read.extend(url.as_url().host_str().map(str::to_owned));
                }
                _ => {
                    let field = format!("config.fetch.hosts[{index}]");
                    violations.add(field, "INVALID_DOMAIN", "is not the name of a host");
                }
            }
        }
        read
    } else {
        urls.iter().filter_map(|(_, url)| url.as_url().host_str().map(str::to_owned)).collect()
    };
    if read.len().max(hosts.len()) > MAX_HOSTS {
        let description =
            format!("has more than {MAX_HOSTS} hosts{}", if given { "" } else { ", taken from `urls`" });
        violations.add("config.fetch.hosts", "TOO_MANY", description);
    }
    read.into_iter().take(MAX_HOSTS).collect()
}

/// The options as crawlers get them, or as everyone else sees them.
pub(super) fn fetch(fetch: &Fetch, headers: Headers) -> pb::FetchOptions {
    let shown = |value: &String| if headers == Headers::Shown { value.clone() } else { HIDDEN.to_owned() };
    pb::FetchOptions {
        headers: fetch.headers.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
        cookies: fetch
            .cookies
            .iter()
            .map(|(name, value)| fetch_options::Cookie { name: name.clone(), value: shown(value) })
            .collect(),
        user_agent: fetch.user_agent.clone().unwrap_or_default(),
        hosts: fetch.hosts.clone(),
        cache: fetch
            .max_age
            .map(|max_age| fetch_options::Cache { max_age: prost_types::Duration::try_from(max_age).ok() }),
        proxy: fetch.proxy.as_ref().map(|proxy| {
            let shown = |value: &String| if value.is_empty() { String::new() } else { shown(value) };
            fetch_options::Proxy {
                server: proxy.server.clone(),
                username: shown(&proxy.username),
                password: shown(&proxy.password),
            }
        }),
    }
}
