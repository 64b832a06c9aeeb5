//! A REST request as a protobuf message: path, body, query and two headers, each field from exactly one of them.

use std::{borrow::Cow, collections::HashSet};

use http::HeaderMap;
use mesh::Violations;
use prost_reflect::{DynamicMessage, ReflectMessage};
use serde_json::Value;

use super::{
    message,
    route::{BodyRule, Route},
    template::Bindings,
};
use crate::problem::Problem;

/// Query parameters of one request.
const MAX_PARAMETERS: usize = 100;

/// Headers that stand for a field, where the message has it.
const HEADER_FIELDS: [(&str, &str); 2] =
    [("idempotency-key", "request_id"), ("last-event-id", "after_sequence")];

/// Builds the request message. All mistakes are told at once; what is not JSON is told alone.
pub(crate) fn build(
    route: &Route,
    bindings: &Bindings,
    query: &str,
    headers: &HeaderMap,
    body: Option<Value>,
) -> Result<DynamicMessage, Problem> {
    let mut request = DynamicMessage::new(route.method.input());
    let mut wrong = Violations::new();
    // The path comes first: a body or a query that sets the same field is then the second.
    for (field, value) in bindings {
        message::set_text(&mut request, field, value, &mut wrong);
    }
    read_body(route, body, &mut request, &mut wrong)?;
    read_query(query, &mut request, &mut wrong);
    read_headers(headers, &mut request, &mut wrong);
    wrong.into_result()?;
    Ok(request)
}

fn read_body(
    route: &Route,
    body: Option<Value>,
    request: &mut DynamicMessage,
    wrong: &mut Violations,
) -> Result<(), Problem> {
    let not_object = || Problem::field("$body", "INVALID_TYPE", "must be an object");
    match (&route.body, body) {
        (_, None) => {}
        (BodyRule::None, Some(_)) => {
            return Err(Problem::field("$body", "UNEXPECTED_BODY", "this request takes no body"));
        }
        (BodyRule::Whole, Some(Value::Object(object))) => message::fill(request, &object, "", wrong),
        (BodyRule::Whole, Some(_)) => return Err(not_object()),
        (BodyRule::Field(name), Some(Value::Object(object))) => fill_field(request, name, object, wrong),
        (BodyRule::Field(field), Some(value)) => {
            let whole = serde_json::Map::from_iter([(field.clone(), value)]);
            message::fill(request, &whole, "", wrong);
        }
    }
    Ok(())
}

/// Fills the field that is the body. The path may have set a part of it: a resource with its name in it names itself twice, which
/// is no mistake where both are the same.
fn fill_field(
    request: &mut DynamicMessage,
    name: &str,
    mut object: serde_json::Map<String, Value>,
    wrong: &mut Violations,
) {
    let field = request.descriptor().get_field_by_name(name);
    let bound = field.filter(|field| request.has_field(field));
    let Some(inner) = bound.and_then(|field| request.get_field_mut(&field).as_message_mut()) else {
        let whole = serde_json::Map::from_iter([(name.to_owned(), Value::Object(object))]);
        return message::fill(request, &whole, "", wrong);
    };
    object.retain(|key, value| {
        let set = message::find(&inner.descriptor(), key).filter(|field| inner.has_field(field));
        set.is_none_or(|field| !value.is_string() || inner.get_field(&field).as_str() != value.as_str())
    });
    message::fill(inner, &object, name, wrong);
}

/// Query parameters set any field that a text can set, dotted for nested ones. That holds beside a body `*` too, which
/// goes beyond `google.api.http`: `POST /v1/crawl-jobs?wait=30s`.
fn read_query(query: &str, request: &mut DynamicMessage, wrong: &mut Violations) {
    let pairs = || query.split('&').filter(|pair| !pair.is_empty());
    if pairs().count() > MAX_PARAMETERS {
        return wrong.add(
            "$query",
            "TOO_MANY_PARAMETERS",
            format!("has more than {MAX_PARAMETERS} parameters"),
        );
    }
    let mut seen = HashSet::new();
    for pair in pairs() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            wrong.add("$query", "INVALID_ENCODING", "is not percent-encoded UTF-8");
            continue;
        };
        let repeated = message::find(&request.descriptor(), &name).is_some_and(|field| field.is_list());
        if !repeated && !seen.insert(name.clone()) {
            wrong.add(name, "DUPLICATE_FIELD", "is there twice");
            continue;
        }
        message::set_text(request, &name, &value, wrong);
    }
}

fn decode(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_encoding::percent_decode_str(&text).decode_utf8().ok().map(Cow::into_owned)
}

fn read_headers(headers: &HeaderMap, request: &mut DynamicMessage, wrong: &mut Violations) {
    for (header, name) in HEADER_FIELDS {
        let (Some(value), Some(field)) = (headers.get(header), request.descriptor().get_field_by_name(name))
        else {
            continue;
        };
        let Ok(text) = value.to_str() else {
            wrong.add(header, "INVALID_CHARACTER", "must be printable ASCII");
            continue;
        };
        // The same value in both places is a careful client, not a mistake.
        let same = request.get_field(&field).as_str().is_some_and(|value| value == text);
        if !text.is_empty() && !same {
            message::set_text(request, name, text, wrong);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::transcode::{json, route::Routes};

    fn built(
        verb: &Method,
        uri: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<DynamicMessage, Vec<String>> {
        let routes = Routes::read(&DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap()).unwrap();
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let (route, bindings) = routes.find(verb, path).unwrap();
        let map =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let body = json::parse(body.as_bytes());
        body.and_then(|body| build(route, &bindings, query, &map, body)).map_err(|problem| {
            let document = problem.document("/", "r");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let errors = document["errors"].as_array().unwrap();
            errors
                .iter()
                .map(|error| format!("{} {}", text(&error["field"]), text(&error["reason"])))
                .collect()
        })
    }

    #[test]
    fn path_query_body_and_headers_make_one_message() {
        let body = r#"{"urls":["https://example.com/"]}"#;
        let headers = [("idempotency-key", "k-1")];
        let request = built(&Method::POST, "/v1/crawl-jobs?wait=30s&priority=HIGH", &headers, body).unwrap();
        let request: api::job::v1::CreateCrawlJobRequest = request.transcode_to().unwrap();
        assert_eq!(
            (request.request_id.as_str(), request.wait.unwrap().seconds, request.priority),
            ("k-1", 30, 3)
        );

        let request =
            built(&Method::GET, "/v1/jobs/a%20b/pages?page_size=5&pageToken=x%2By+z", &[], "").unwrap();
        let request: api::job::v1::ListPagesRequest = request.transcode_to().unwrap();
        assert_eq!(
            (request.parent.as_str(), request.page_size, request.page_token.as_str()),
            ("jobs/a b", 5, "x+y z")
        );

        let body = r#"{"name":"schedules/a","paused":true,"job":{"urls":["https://example.com/"]}}"#;
        let uri = "/v1/schedules/a?update_mask=paused,time_zone";
        let request = built(&Method::PATCH, uri, &[], body).unwrap();
        let request: api::job::v1::UpdateScheduleRequest = request.transcode_to().unwrap();
        let schedule = request.schedule.unwrap();
        assert_eq!((schedule.name.as_str(), schedule.paused), ("schedules/a", Some(true)));
        assert_eq!(schedule.job.unwrap().urls, ["https://example.com/"]);
        assert_eq!(request.update_mask.unwrap().paths, ["paused", "time_zone"]);
        let refused = built(&Method::PATCH, uri, &[], r#"{"name":"schedules/b","pause":1}"#).unwrap_err();
        assert_eq!(refused, ["schedule.name DUPLICATE_FIELD", "schedule.pause UNKNOWN_FIELD"]);

        let request = built(&Method::GET, "/v1/jobs/a/events", &[("last-event-id", "7")], "").unwrap();
        assert_eq!(request.transcode_to::<api::job::v1::WatchJobRequest>().unwrap().after_sequence, 7);
        let request = built(&Method::POST, "/v1/jobs/a:cancel", &[], "").unwrap();
        assert_eq!(request.transcode_to::<api::job::v1::CancelJobRequest>().unwrap().name, "jobs/a");
    }

    #[test]
    fn each_field_comes_from_one_place() {
        let jobs = "/v1/crawl-jobs";
        for (verb, uri, headers, body, expected) in [
            (Method::GET, "/v1/jobs?page_size=1&page_size=1000", &[][..], "", "page_size DUPLICATE_FIELD"),
            (Method::GET, "/v1/jobs?page_size=0&page_size=0", &[], "", "page_size DUPLICATE_FIELD"),
            (Method::GET, "/v1/jobs?state=NOPE", &[], "", "state UNKNOWN_VALUE"),
            (Method::GET, "/v1/jobs?tenant=x", &[], "", "tenant UNKNOWN_FIELD"),
            (Method::GET, "/v1/jobs?page_token=%ff", &[], "", "$query INVALID_ENCODING"),
            (Method::GET, "/v1/jobs?page_token=%00", &[], "", "page_token INVALID_CHARACTER"),
            (Method::GET, "/v1/jobs/a?name=jobs/b", &[], "", "name DUPLICATE_FIELD"),
            (Method::GET, "/v1/jobs", &[], "{}", "$body UNEXPECTED_BODY"),
            (Method::POST, "/v1/jobs/a:cancel", &[], r#"{"name":"jobs/b"}"#, "name DUPLICATE_FIELD"),
            (Method::POST, "/v1/crawl-jobs?wait=1s", &[], r#"{"wait":"2s"}"#, "wait DUPLICATE_FIELD"),
            (Method::POST, "/v1/crawl-jobs?config=x", &[], "{}", "config INVALID_TYPE"),
            (
                Method::POST,
                jobs,
                &[("idempotency-key", "a")],
                r#"{"request_id":"b"}"#,
                "request_id DUPLICATE_FIELD",
            ),
            (Method::POST, jobs, &[], "[]", "$body INVALID_TYPE"),
            (Method::POST, jobs, &[], "\"x\"", "$body INVALID_TYPE"),
            (Method::GET, "/v1/jobs/a/events", &[("last-event-id", "x")], "", "after_sequence INVALID_TYPE"),
        ] {
            assert_eq!(built(&verb, uri, headers, body).unwrap_err(), [expected], "{verb} {uri} {body}");
        }
        assert!(built(&Method::POST, jobs, &[("idempotency-key", "a")], r#"{"request_id":"a"}"#).is_ok());
        let many = format!("/v1/jobs?{}", "x=1&".repeat(101));
        assert_eq!(built(&Method::GET, &many, &[], "").unwrap_err(), ["$query TOO_MANY_PARAMETERS"]);
    }
}
