//! Reads `CreateCrawlJobRequest`: everything that is wrong with it is found at once.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use api::job::v1::{self as pb, crawl_config, job};
use domain::{AddressPolicy, JobId, PageUrl, Priority, Scope, follow::Reach};
use mesh::Violations;
use prost::Message as _;
use tonic::Status;

use super::{
    browser, deep_crawl,
    fetch::{check_fetch, read_fetch},
    read_duration, read_wait, session,
    target::read_webhook,
};
use crate::{
    Sessions,
    error::Error,
    job::Job,
    spec::{self, Render, Spec, Submission},
};

const DAY: Duration = Duration::from_secs(86_400);
const DEFAULT_PAGE_TIMEOUT: Duration = Duration::from_secs(60);
const PAGE_TIMEOUT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
const MAX_DURATION: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30 * 86_400));
const RESULT_TTL: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30 * 86_400));
const DEFAULT_ATTEMPTS: i32 = 3;
const MAX_ATTEMPTS: i32 = 10;
const MAX_LABELS: usize = 32;
const MAX_LABEL_KEY: usize = 63;
const MAX_LABEL_VALUE: usize = 255;
const MAX_REQUEST_ID: usize = 255;
/// URLs of a job that somebody waits for, at most.
const INTERACTIVE: usize = 10;

/// What a submission is held against.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// URLs of one job.
    pub(crate) max_urls: usize,
    /// Pages of one job that follows links.
    pub(crate) max_pages: u32,
    /// How long sessions are kept.
    pub(crate) sessions: Sessions,
    /// Where crawlers and webhooks may go.
    pub(crate) policy: AddressPolicy,
}

#[cfg(test)]
impl Rules {
    /// Those of a test: with public targets only.
    pub(crate) fn at_most(max_urls: usize, max_pages: u32) -> Self {
        let seconds = Duration::from_secs;
        let sessions = Sessions { default_ttl: seconds(600), min_ttl: seconds(30), max_ttl: seconds(86_400) };
        Self { max_urls, max_pages, sessions, policy: AddressPolicy::default() }
    }
}

/// Why a submission is refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// `INVALID_ARGUMENT` with every violation.
    Fields(Status),
    /// A field whose target is not allowed; nothing else is wrong.
    Target(String),
}

/// Reads a submission. `INVALID_ARGUMENT` with every violation; if there is none, `PERMISSION_DENIED` for the first target
/// that is not allowed.
pub(crate) fn submission(request: pb::CreateCrawlJobRequest, rules: &Rules) -> Result<Submission, Status> {
    read(request, rules).map_err(|refused| match refused {
        Refused::Fields(status) => status,
        Refused::Target(field) => Error::TargetNotAllowed(field).into(),
    })
}

/// Reads a submission, be it a part of a request.
pub(super) fn read(request: pb::CreateCrawlJobRequest, rules: &Rules) -> Result<Submission, Refused> {
    let mut violations = Violations::new();
    let mut refused = None;
    let urls = read_urls(request.urls, rules, &mut violations, &mut refused);
    let mut scopes = Vec::new();
    let config = request.config.unwrap_or_default();
    let spec = read_config(config, &urls, rules, &mut scopes, &mut violations, &mut refused);
    if let Some(follow) = &spec.follow
        && urls.len() > usize::try_from(follow.max_pages).unwrap_or(usize::MAX)
    {
        violations.add("config.deep_crawl.max_pages", "OUT_OF_RANGE", "is less than there are `urls`");
    }
    let webhook =
        request.webhook.and_then(|target| read_webhook(target, &rules.policy, &mut violations, &mut refused));
    let labels = read_labels(request.labels, &mut violations);
    let asked = request.priority;
    let priority = read_priority(asked, &mut violations);
    let baseline = read_baseline(&request.baseline, &mut violations);
    let request_id = read_request_id(request.request_id, &mut violations);
    let wait = read_wait(request.wait, &mut violations);
    let max_duration = request.max_duration.map(|duration| {
        read_duration("max_duration", Some(duration), MAX_DURATION.1, MAX_DURATION, &mut violations)
    });
    violations.into_result().map_err(Refused::Fields)?;
    if let Some(field) = refused {
        return Err(Refused::Target(field));
    }
    let interactive = asked == 0 && !wait.is_zero() && urls.len() <= INTERACTIVE;
    let priority = if interactive { Priority::High } else { priority };
    Ok(Submission {
        urls,
        spec,
        webhook,
        labels,
        priority,
        interactive,
        request_id,
        wait,
        scopes,
        max_duration,
        retry_of: None,
        schedule: None,
        baseline,
        track_changes: baseline.is_some(),
    })
}

fn read_baseline(name: &str, violations: &mut Violations) -> Option<JobId> {
    if name.is_empty() {
        return None;
    }
    let job = JobId::from_name(name);
    job.map_err(|error| violations.add("baseline", "INVALID_NAME", error.to_string())).ok()
}

/// Holds an earlier job against the settings of one whose pages are to be compared with its. None: there is no such job.
pub(crate) fn check_baseline(field: &str, spec: &Spec, baseline: Option<&Job>) -> Result<(), Status> {
    let Some(job) = baseline else {
        return Err(super::violation(field, "JOB_NOT_FOUND", "is no job"));
    };
    if !job.state.terminal() {
        return Err(super::violation(field, "JOB_NOT_ENDED", "has not ended"));
    }
    if job.spec.follow.is_some() != spec.follow.is_some() {
        let description =
            "one of the two follows links and the other does not: their pages are told apart otherwise";
        return Err(super::violation(field, "CONFLICT", description));
    }
    Ok(())
}

fn read_urls(
    urls: Vec<String>,
    rules: &Rules,
    violations: &mut Violations,
    refused: &mut Option<String>,
) -> Vec<(String, PageUrl)> {
    if urls.is_empty() {
        violations.add("urls", "REQUIRED", "is required");
    }
    if urls.len() > rules.max_urls {
        let description = format!("has {} URLs, more than {}", urls.len(), rules.max_urls);
        violations.add("urls", "TOO_MANY_URLS", description);
        return Vec::new();
    }
    let mut read = Vec::with_capacity(urls.len());
    for (index, text) in urls.into_iter().enumerate() {
        match PageUrl::parse(&text) {
            Err(error) => violations.add(format!("urls[{index}]"), error.reason(), error.to_string()),
            Ok(url) => {
                if refused.is_none() && rules.policy.check_url(url.as_url()).is_err() {
                    *refused = Some(format!("urls[{index}]"));
                }
                read.push((text.trim().to_owned(), url));
            }
        }
    }
    read
}

fn read_config(
    config: pb::CrawlConfig,
    urls: &[(String, PageUrl)],
    rules: &Rules,
    scopes: &mut Vec<Scope>,
    violations: &mut Violations,
    refused: &mut Option<String>,
) -> Spec {
    use crawl_config::Render as Pb;
    let render = match Pb::try_from(config.render) {
        Ok(Pb::Unspecified | Pb::Auto) => Render::Auto,
        Ok(Pb::Http) => Render::Http,
        Ok(Pb::Browser) => Render::Browser,
        Err(_) => {
            violations.add("config.render", "UNKNOWN_VALUE", "is not a known value");
            Render::Auto
        }
    };
    if config.screenshot && render == Render::Http {
        for field in ["config.screenshot", "config.render"] {
            violations.add(field, "CONFLICT", "a screenshot needs the browser, but `render` is `HTTP`");
        }
    }
    let max_attempts = config.max_attempts.unwrap_or(DEFAULT_ATTEMPTS);
    if !(1..=MAX_ATTEMPTS).contains(&max_attempts) {
        violations.add("config.max_attempts", "OUT_OF_RANGE", format!("must be from 1 to {MAX_ATTEMPTS}"));
    }
    let page_timeout = read_duration(
        "config.page_timeout",
        config.page_timeout,
        DEFAULT_PAGE_TIMEOUT,
        PAGE_TIMEOUT,
        violations,
    );
    let result_ttl = read_duration("config.result_ttl", config.result_ttl, 7 * DAY, RESULT_TTL, violations);
    let keep_html = config.keep_html.unwrap_or(true);
    let respect_robots = config.respect_robots.unwrap_or(true);
    let extraction = config.extraction.map(|options| extraction(&options, violations));
    if !respect_robots {
        scopes.push(Scope::RobotsIgnore);
    }
    let asked = browser::Asked { render, screenshot: config.screenshot };
    let browser = config.browser.and_then(|options| browser::read(*options, &asked, scopes, violations));
    let follow = config
        .deep_crawl
        .map(|message| deep_crawl::read("config.deep_crawl", message, rules.max_pages, violations));
    if let Some(follow) = &follow {
        scopes.push(Scope::CrawlDeep);
        if follow.reach == Reach::Any {
            scopes.push(Scope::CrawlExternal);
        }
    }
    let fetch = config.fetch.map(|options| read_fetch(*options, urls, &rules.policy, violations, refused));
    scopes.extend(fetch.iter().flat_map(|fetch| fetch.scopes()));
    let session = config.session.and_then(|options| session::read(options, &rules.sessions, violations));
    scopes.extend(session.as_ref().map(|_| Scope::SessionUse));
    let spec = Spec {
        render,
        page_timeout,
        max_attempts,
        screenshot: config.screenshot,
        keep_html,
        result_ttl,
        respect_robots,
        extraction,
        browser,
        follow,
        fetch,
        session,
    };
    check_fetch(&spec, violations);
    session::check(&spec, violations);
    spec
}

/// Options that a crawler will read as they stand, so they are checked by what reads them.
fn extraction(options: &pb::Extraction, violations: &mut Violations) -> spec::Message {
    for refusal in extract::options(options).err().unwrap_or_default() {
        let field = format!("config.extraction.{}", refusal.field);
        violations.add(field, refusal.reason, refusal.description);
    }
    spec::Message(options.encode_to_vec())
}

pub(super) fn read_labels(
    labels: HashMap<String, String>,
    violations: &mut Violations,
) -> BTreeMap<String, String> {
    if labels.len() > MAX_LABELS {
        let description = format!("has {} labels, more than {MAX_LABELS}", labels.len());
        violations.add("labels", "TOO_MANY_LABELS", description);
        return BTreeMap::new();
    }
    let labels: BTreeMap<String, String> = labels.into_iter().collect();
    for (key, value) in &labels {
        let field = || format!("labels[{}]", key.escape_default());
        if !(1..=MAX_LABEL_KEY).contains(&key.chars().count()) {
            violations.add(
                field(),
                "INVALID_LABEL",
                format!("key must have 1 to {MAX_LABEL_KEY} characters"),
            );
        }
        if value.chars().count() > MAX_LABEL_VALUE {
            let description = format!("value has more than {MAX_LABEL_VALUE} characters");
            violations.add(field(), "INVALID_LABEL", description);
        }
        // Postgres stores no NUL.
        if key.contains('\0') || value.contains('\0') {
            violations.add(field(), "INVALID_LABEL", "contains a NUL character");
        }
    }
    labels
}

/// Reads a priority that must be named.
pub(crate) fn priority(number: i32) -> Result<Priority, Status> {
    let mut violations = Violations::new();
    if number == 0 {
        violations.add("priority", "REQUIRED", "is required");
    }
    let priority = read_priority(number, &mut violations);
    violations.into_result()?;
    Ok(priority)
}

/// Checks the request id of a call that may create a job.
pub(crate) fn request_id(id: &str) -> Result<(), Status> {
    let mut violations = Violations::new();
    read_request_id(id.to_owned(), &mut violations);
    violations.into_result()
}

fn read_priority(number: i32, violations: &mut Violations) -> Priority {
    match job::Priority::try_from(number) {
        Ok(job::Priority::Low) => Priority::Low,
        Ok(job::Priority::Unspecified | job::Priority::Normal) => Priority::Normal,
        Ok(job::Priority::High) => Priority::High,
        Err(_) => {
            violations.add("priority", "UNKNOWN_VALUE", "is not a known value");
            Priority::Normal
        }
    }
}

fn read_request_id(id: String, violations: &mut Violations) -> Option<String> {
    if id.is_empty() {
        return None;
    }
    if id.len() > MAX_REQUEST_ID || !id.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        let description = format!("must be 1 to {MAX_REQUEST_ID} printable ASCII characters");
        violations.add("request_id", "INVALID_REQUEST_ID", description);
    }
    Some(id)
}
