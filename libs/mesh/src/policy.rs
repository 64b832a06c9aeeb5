//! Who may call what: the one table of the mesh, closed by default.
//!
//! Methods with an HTTP route are public and come through the gateway, and so do those named here that can have none. The others
//! are internal and named here with their callers. Health is open to every member; so is reflection, where it is switched on.

use std::{collections::HashMap, sync::LazyLock};

use domain::Service;
use prost_reflect::DescriptorPool;

/// Internal methods and their callers.
pub(crate) const INTERNAL: &[(&str, &[Service])] = &[
    ("crawlmesh.auth.v1.AuthService/Authenticate", &[Service::Gateway]),
    ("crawlmesh.job.v1.JobService/GetJobSpec", &[Service::Crawler]),
    ("crawlmesh.job.v1.JobService/ListEvents", &[Service::Webhook]),
    ("crawlmesh.job.v1.JobService/ReportVisit", &[Service::Crawler]),
    ("crawlmesh.job.v1.JobService/ReserveVisit", &[Service::Crawler]),
    ("crawlmesh.result.v1.ResultService/RecallPage", &[Service::Crawler]),
    ("crawlmesh.result.v1.ResultService/StorePage", &[Service::Crawler]),
    ("crawlmesh.result.v1.SessionService/ChangeSession", &[Service::Crawler]),
    ("crawlmesh.result.v1.SessionService/OpenSession", &[Service::Crawler]),
];

/// Public methods without an HTTP route: REST has no form for a stream of requests.
const PUBLIC_STREAMS: &[&str] = &["crawlmesh.job.v1.JobService/ImportCrawlJob"];

/// Services that every member may call.
const OPEN: &[&str] = &[
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// What the descriptors say about a method.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method {
    /// `package.Service/Method`: one of the closed set, so it may label metrics.
    pub(crate) path: &'static str,
    /// Anybody with a credential may call it, through the gateway.
    pub(crate) public: bool,
    /// It answers with a stream.
    pub(crate) streams: bool,
}

static METHODS: LazyLock<HashMap<&'static str, Method>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(api::FILE_DESCRIPTOR_SET)
        .expect("because protox encoded the descriptors when api was built");
    let route = pool.get_extension_by_name("google.api.http");
    let mut methods = HashMap::new();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        // Lives as long as the process, once for each method of the protocol.
        let path: &'static str = format!("{}/{}", method.parent_service().full_name(), method.name()).leak();
        let routed = route.as_ref().is_some_and(|route| method.options().has_extension(route));
        let public = routed || PUBLIC_STREAMS.contains(&path);
        methods.insert(path, Method { path, public, streams: method.is_server_streaming() });
    }
    methods
});

/// A method of the protocol by its path, `/package.Service/Method` with or without the first slash.
pub(crate) fn method(path: &str) -> Option<Method> {
    METHODS.get(path.strip_prefix('/').unwrap_or(path)).copied()
}

/// Whether a method is public. The path is `/package.Service/Method`, with or without the first slash.
#[must_use]
pub fn public(path: &str) -> bool {
    method(path).is_some_and(|method| method.public)
}

/// Whether a method answers with a stream. Those of health and reflection may, and are not in our descriptors.
pub(crate) fn streams(path: &str) -> bool {
    method(path).is_none_or(|method| method.streams)
}

/// Whether `caller` may call the method at `method_path`.
#[must_use]
pub fn allowed(caller: Service, method_path: &str) -> bool {
    let path = method_path.strip_prefix('/').unwrap_or(method_path);
    if let Some((_, callers)) = INTERNAL.iter().find(|(method, _)| *method == path) {
        return callers.contains(&caller);
    }
    match method(path) {
        Some(method) => method.public && caller == Service::Gateway,
        None => path.split_once('/').is_some_and(|(service, _)| OPEN.contains(&service)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_public_or_in_the_table_and_never_both() {
        assert!(METHODS.len() >= 10, "the descriptors are there");
        for method in METHODS.values().filter(|method| method.path.starts_with("crawlmesh.")) {
            let internal = INTERNAL.iter().any(|(path, _)| *path == method.path);
            assert!(method.public != internal, "{} must be either public or in the table", method.path);
            let callers = Service::ALL.iter().filter(|&&caller| allowed(caller, method.path)).count();
            assert_eq!(callers, 1, "{} has one caller", method.path);
        }
    }

    #[test]
    fn the_table_names_callers_and_is_closed_by_default() {
        for (caller, path, expected) in [
            (Service::Gateway, "/crawlmesh.job.v1.JobService/GetJob", true),
            (Service::Crawler, "/crawlmesh.job.v1.JobService/GetJob", false),
            (Service::Crawler, "/crawlmesh.job.v1.JobService/GetJobSpec", true),
            (Service::Gateway, "/crawlmesh.job.v1.JobService/GetJobSpec", false),
            (Service::Gateway, "/crawlmesh.job.v1.JobService/ImportCrawlJob", true),
            (Service::Crawler, "/crawlmesh.job.v1.JobService/ImportCrawlJob", false),
            (Service::Webhook, "/crawlmesh.job.v1.JobService/ListEvents", true),
            (Service::Crawler, "/crawlmesh.result.v1.ResultService/StorePage", true),
            (Service::Gateway, "/crawlmesh.result.v1.ResultService/StorePage", false),
            (Service::Gateway, "/crawlmesh.auth.v1.AuthService/Authenticate", true),
            (Service::Webhook, "/grpc.health.v1.Health/Check", true),
            (Service::Webhook, "/grpc.health.v1.Healthy/Check", false),
            (Service::Gateway, "/crawlmesh.job.v1.JobService/NoSuchMethod", false),
            (Service::Gateway, "/", false),
            (Service::Gateway, "", false),
        ] {
            assert_eq!(allowed(caller, path), expected, "{caller} → {path}");
        }
    }
}
