//! Reads and shows `SessionOptions`: the state that pages begin with.

use api::job::v1 as pb;
use mesh::Violations;

use super::read_duration;
use crate::{
    Sessions,
    spec::{Session, Spec},
};

/// Reads the options. `None`: they are wrong, and it is said how.
pub(super) fn read(
    options: pb::SessionOptions,
    rules: &Sessions,
    violations: &mut Violations,
) -> Option<Session> {
    let (range, default) = ((rules.min_ttl, rules.max_ttl), rules.default_ttl);
    let ttl = read_duration("config.session.ttl", options.ttl, default, range, violations);
    if options.name.is_empty() {
        violations.add("config.session.name", "REQUIRED", "is required");
        return None;
    }
    let name = options.name.parse();
    let name = name.map_err(|error: domain::SessionError| {
        violations.add("config.session.name", "INVALID_NAME", error.to_string());
    });
    Some(Session { name: name.ok()?, ttl })
}

/// Refuses what does not go together with a session.
pub(super) fn check(spec: &Spec, violations: &mut Violations) {
    let cached = spec.fetch.as_ref().is_some_and(|fetch| fetch.max_age.is_some());
    if spec.session.is_some() && cached {
        let description =
            "a page is another one before and after a login: with `config.session` none is used again";
        violations.add("config.fetch.cache", "CONFLICT", description);
    }
}

/// The options as they hold.
pub(super) fn show(session: &Session) -> pb::SessionOptions {
    pb::SessionOptions {
        name: session.name.to_string(),
        ttl: prost_types::Duration::try_from(session.ttl).ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::{Headers, Rules, config, submission};

    fn read_config(config: pb::CrawlConfig) -> Result<crate::spec::Submission, tonic::Status> {
        let urls = vec!["https://example.com/".to_owned()];
        let request = pb::CreateCrawlJobRequest { urls, config: Some(config), ..Default::default() };
        submission(request, &Rules::at_most(5, 10))
    }

    fn session(name: &str, seconds: Option<i64>) -> pb::CrawlConfig {
        let ttl = seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        let session = Some(pb::SessionOptions { name: name.to_owned(), ttl });
        pb::CrawlConfig { session, ..pb::CrawlConfig::default() }
    }

    #[test]
    fn a_session_needs_its_scope_and_is_shown_as_it_holds() {
        let submission = read_config(session("Shop.1", None)).unwrap();
        assert_eq!(submission.scopes, [domain::Scope::SessionUse]);
        let shown = config(&submission.spec, Headers::Hidden).session.unwrap();
        assert_eq!((shown.name.as_str(), shown.ttl.unwrap().seconds), ("Shop.1", 600));
        let stored = serde_json::to_value(&submission.spec).unwrap();
        assert_eq!(serde_json::from_value::<Spec>(stored).unwrap().session, submission.spec.session);
        let chosen = read_config(session("a", Some(30))).unwrap().spec.session.unwrap();
        assert_eq!(chosen.ttl, Duration::from_secs(30));
        assert_eq!(read_config(pb::CrawlConfig::default()).unwrap().scopes, []);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_field() {
        let cached = |config: pb::CrawlConfig| {
            let max_age = Some(prost_types::Duration { seconds: 60, nanos: 0 });
            let cache = Some(pb::fetch_options::Cache { max_age });
            let fetch = Some(Box::new(pb::FetchOptions { cache, ..Default::default() }));
            pb::CrawlConfig { fetch, ..config }
        };
        for (config, field, reason) in [
            (session("", None), "config.session.name", "REQUIRED"),
            (session("a/b", None), "config.session.name", "INVALID_NAME"),
            (session("a", Some(29)), "config.session.ttl", "OUT_OF_RANGE"),
            (session("a", Some(86_401)), "config.session.ttl", "OUT_OF_RANGE"),
            (cached(session("a", None)), "config.fetch.cache", "CONFLICT"),
        ] {
            let status = read_config(config).expect_err(field);
            let told = tonic_types::StatusExt::get_details_bad_request(&status).unwrap();
            let told = &told.field_violations[0];
            assert_eq!(told.field, field);
            assert_eq!(mesh::error_reason(&status).as_deref(), Some(reason), "{}", told.description);
        }
    }
}
