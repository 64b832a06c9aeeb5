//! The REST routes, read from the `google.api.http` options in the descriptors. No route is written by hand.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use domain::Service;
use http::{Method, uri::PathAndQuery};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};

use super::{
    message,
    template::{Bindings, Mismatch, Template, Tree},
};
use crate::problem::Problem;

/// Which part of the request message is the HTTP body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyRule {
    /// There is none.
    None,
    /// The whole message, less what the path binds.
    Whole,
    /// One field.
    Field(String),
}

/// A way to call a method over REST.
#[derive(Debug)]
pub(crate) struct Route {
    /// HTTP method.
    pub(crate) verb: Method,
    /// Its template.
    pub(crate) template: Template,
    /// The template as it is written in the proto file: the label of spans and metrics.
    pub(crate) text: String,
    /// The body.
    pub(crate) body: BodyRule,
    /// The method.
    pub(crate) method: MethodDescriptor,
    /// The service that owns it.
    pub(crate) owner: Service,
    /// `/package.Service/Method`.
    pub(crate) path: PathAndQuery,
}

impl Route {
    /// Whether the answer is raw bytes with a content type of their own.
    pub(crate) fn raw(&self) -> bool {
        self.method.output().full_name() == "google.api.HttpBody"
    }
}

/// A public method as gRPC calls it.
#[derive(Debug)]
pub(crate) struct Native {
    /// The method.
    pub(crate) method: MethodDescriptor,
    /// The service that owns it.
    pub(crate) owner: Service,
    /// `/package.Service/Method`.
    pub(crate) path: PathAndQuery,
}

impl Native {
    fn read(method: &MethodDescriptor) -> anyhow::Result<Self> {
        let package = method.parent_file().package_name().to_owned();
        let owner = Service::from_package(&package).with_context(|| format!("no service owns {package}"))?;
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name()).parse()?;
        Ok(Self { method: method.clone(), owner, path })
    }
}

/// Every route, and every public method.
#[derive(Debug)]
pub(crate) struct Routes {
    all: Vec<Route>,
    tree: Tree<usize>,
    natives: HashMap<String, Native>,
}

impl Routes {
    /// Reads the routes of every service. Fails where an annotation cannot be served: a mistake in a proto file.
    pub(crate) fn read(pool: &DescriptorPool) -> anyhow::Result<Self> {
        let option =
            pool.get_extension_by_name("google.api.http").context("the descriptors lack google.api.http")?;
        let mut routes = Self { all: Vec::new(), tree: Tree::default(), natives: HashMap::new() };
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            if mesh::public(&path) {
                routes.natives.insert(path, Native::read(&method)?);
            }
            let options = method.options();
            if !options.has_extension(&option) {
                continue;
            }
            let rule = options.get_extension(&option);
            let rule = rule.as_message().context("google.api.http is not a message")?;
            routes.add(&method, rule).with_context(|| format!("read the route of {}", method.full_name()))?;
            let more = rule.get_field_by_name("additional_bindings");
            for rule in more
                .iter()
                .filter_map(|value| value.as_list())
                .flatten()
                .filter_map(|value| value.as_message())
            {
                routes
                    .add(&method, rule)
                    .with_context(|| format!("read a route of {}", method.full_name()))?;
            }
        }
        ensure!(!routes.all.is_empty(), "the descriptors hold no route");
        Ok(routes)
    }

    fn add(&mut self, method: &MethodDescriptor, rule: &DynamicMessage) -> anyhow::Result<()> {
        let verbs = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];
        let named = verbs.into_iter().find(|verb| rule.has_field_by_name(&verb.as_str().to_lowercase()));
        let verb = named.context("it has no method")?;
        let text_of =
            |name: &str| rule.get_field_by_name(name).and_then(|value| value.as_str().map(ToOwned::to_owned));
        let text = text_of(&verb.as_str().to_lowercase()).unwrap_or_default();
        let template = Template::parse(&text)?;
        for variable in template.variables() {
            let first = variable.split('.').next().unwrap_or(variable);
            ensure!(
                message::find(&method.input(), first).is_some(),
                "{variable} is not a field of the request"
            );
        }
        let body = match text_of("body").unwrap_or_default().as_str() {
            "" => BodyRule::None,
            "*" => BodyRule::Whole,
            field => BodyRule::Field(field.to_owned()),
        };
        ensure!(!method.is_client_streaming(), "client streams have no REST form");
        let Native { method, owner, path } = Native::read(method)?;
        self.tree.add(template.clone(), self.all.len());
        self.all.push(Route { verb, template, text, body, method, owner, path });
        Ok(())
    }

    /// Every route, in the order of the proto files.
    pub(crate) fn all(&self) -> &[Route] {
        &self.all
    }

    /// The route of a request, with the values of its path variables. 404, 405, or 400 for a path that is spelled oddly.
    pub(crate) fn find(&self, verb: &Method, path: &str) -> Result<(&Route, Bindings), Problem> {
        let fits = self.tree.find(path).map_err(|mismatch| match mismatch {
            Mismatch::None => Problem::no_route(),
            Mismatch::Spelling => {
                Problem::field("$path", "INVALID_PATH", "is not spelled as this API spells paths")
            }
        })?;
        let mut allowed: Vec<&str> = Vec::new();
        for (&index, bindings) in fits {
            let route = &self.all[index];
            if route.verb == *verb {
                return Ok((route, bindings));
            }
            allowed.push(route.verb.as_str());
        }
        allowed.sort_unstable();
        allowed.dedup();
        Err(Problem::method_not_allowed(allowed.join(", ")))
    }

    /// A gRPC method, if it is public. The path is `/package.Service/Method`.
    pub(crate) fn method(&self, path: &str) -> Option<&Native> {
        self.natives.get(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        Routes::read(&DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap()).unwrap()
    }

    #[test]
    fn every_annotated_method_has_its_route() {
        let routes = routes();
        for (verb, path, method) in [
            (Method::POST, "/v1/crawl-jobs", "/crawlmesh.job.v1.JobService/CreateCrawlJob"),
            (Method::GET, "/v1/jobs", "/crawlmesh.job.v1.JobService/ListJobs"),
            (Method::GET, "/v1/jobs/x", "/crawlmesh.job.v1.JobService/GetJob"),
            (Method::POST, "/v1/jobs/x:cancel", "/crawlmesh.job.v1.JobService/CancelJob"),
            (Method::GET, "/v1/jobs/x/events", "/crawlmesh.job.v1.JobService/WatchJob"),
            (Method::GET, "/v1/jobs/x/pages", "/crawlmesh.job.v1.JobService/ListPages"),
            (Method::GET, "/v1/jobs/x/documents", "/crawlmesh.result.v1.ResultService/ListDocuments"),
            (Method::GET, "/v1/jobs/x/deliveries", "/crawlmesh.webhook.v1.WebhookService/ListDeliveries"),
            (Method::GET, "/v1/jobs/x/pages/y", "/crawlmesh.result.v1.ResultService/GetDocument"),
            (Method::GET, "/v1/jobs/x/pages/y/html", "/crawlmesh.result.v1.ResultService/GetArtifact"),
            (Method::GET, "/.well-known/jwks.json", "/crawlmesh.auth.v1.AuthService/GetJwks"),
            (Method::POST, "/v1/token", "/crawlmesh.auth.v1.AuthService/IssueToken"),
        ] {
            let (route, _) = routes.find(&verb, path).unwrap();
            assert_eq!(route.path, method, "{path}");
            assert!(routes.method(method).is_some());
        }
        let streamed = "/crawlmesh.job.v1.JobService/ImportCrawlJob";
        assert!(routes.method(streamed).is_some_and(|native| native.path == streamed), "gRPC only");
        assert!(routes.method("/crawlmesh.auth.v1.AuthService/Authenticate").is_none(), "internal");
        assert!(routes.method("/crawlmesh.result.v1.ResultService/StorePage").is_none(), "internal");
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let routes = routes();
        for (verb, path, allow) in [
            (Method::DELETE, "/v1/jobs", "GET"),
            (Method::GET, "/v1/crawl-jobs", "POST"),
            (Method::GET, "/v1/jobs/x:cancel", "POST"),
            (Method::OPTIONS, "/v1/api-keys", "GET, POST"),
        ] {
            let response = routes.find(&verb, path).unwrap_err().into_response(path, "r");
            assert_eq!(response.status(), 405, "{path}");
            assert_eq!(response.headers()["allow"], allow, "{path}");
        }
        for (path, status) in [("/v1/nope", 404), ("/v1/../admin", 404), ("/v1/jobs/%2e%2e", 400)] {
            assert_eq!(routes.find(&Method::GET, path).unwrap_err().http_status(), status, "{path}");
        }
    }
}
