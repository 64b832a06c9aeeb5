//! /openapi.json, OpenAPI 3.1, from the same descriptors as the routes: it cannot describe what is not served.
//!
//! Comments become descriptions, `field_behavior` becomes `required` and `readOnly`. The few endpoints without a
//! descriptor (Crawl4AI's, probes) are in a static part beside it.

mod schema;

use anyhow::Context as _;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind};
use serde_json::{Map, Value, json};

use self::schema::Schemas;
use crate::transcode::{BodyRule, LINES, OPEN, Route, Routes, takes_lines};

/// What is written by hand: the endpoints that no proto file describes, and the form of errors.
const STATIC: &str = include_str!("openapi/static.json");

/// Describes the API.
pub(crate) fn describe(pool: &DescriptorPool, routes: &Routes) -> anyhow::Result<Value> {
    let mut document: Value = serde_json::from_str(STATIC).context("read openapi/static.json")?;
    let mut schemas = Schemas::new(pool);
    let mut paths = Map::new();
    for route in routes.all() {
        let (path, parameters) = route.template.openapi();
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[route.verb.as_str().to_lowercase()] = operation(route, &parameters, &mut schemas);
    }
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    merge(&mut document["paths"], paths);
    merge(&mut document["components"]["schemas"], schemas.finish());
    Ok(document)
}

fn merge(into: &mut Value, more: Map<String, Value>) {
    if let Value::Object(object) = into {
        object.extend(more);
    }
}

fn operation(route: &Route, path_parameters: &[String], schemas: &mut Schemas) -> Value {
    let method = &route.method;
    let comment = schemas.method_comment(method);
    let (summary, description) = comment.split_once("\n\n").unwrap_or((comment.as_str(), ""));
    let mut operation = json!({
        "operationId": method.name(),
        "tags": [method.parent_service().name()],
        "summary": summary,
        "description": description,
        "parameters": parameters(route, path_parameters, schemas),
        "responses": {
            "200": success(route, schemas),
            "default": {"$ref": "#/components/responses/Problem"},
        },
    });
    if OPEN.contains(&route.path.as_str()) {
        operation["security"] = json!([]);
    }
    let body = match &route.body {
        BodyRule::None => None,
        BodyRule::Whole => Some(schemas.body(&method.input(), route.template.variables())),
        BodyRule::Field(name) => method.input().get_field_by_name(name).map(|field| schemas.field(&field)),
    };
    if let Some(schema) = body {
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
        if takes_lines(route) {
            for content_type in LINES {
                operation["requestBody"]["content"][content_type] = json!({
                    "schema": {"type": "string", "description": "The `urls`, one a line; the other fields are query parameters."},
                });
            }
        }
    }
    operation
}

fn parameters(route: &Route, path_parameters: &[String], schemas: &mut Schemas) -> Vec<Value> {
    let path = path_parameters
        .iter()
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let mut parameters: Vec<Value> = path.collect();
    let bound: Vec<&str> = route.template.variables().collect();
    for field in route.method.input().fields() {
        let in_body = match &route.body {
            BodyRule::None => false,
            // Beside a whole body, a query may set what a text can set and one would want to: times to wait.
            BodyRule::Whole => !is_duration(&field),
            BodyRule::Field(name) => field.name() == name,
        };
        if !in_body && !bound.contains(&field.name()) && settable(&field) {
            parameters.push(query_parameter(&field, schemas));
        }
    }
    let input = route.method.input();
    for (header, field) in [("Idempotency-Key", "request_id"), ("Last-Event-ID", "after_sequence")] {
        if input.get_field_by_name(field).is_some() {
            let description = format!("Stands for `{field}`.");
            parameters.push(json!({"name": header, "in": "header", "description": description, "schema": {"type": "string"}}));
        }
    }
    parameters
}

fn query_parameter(field: &FieldDescriptor, schemas: &mut Schemas) -> Value {
    let mut schema = schemas.field(field);
    let description =
        schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
    json!({"name": field.name(), "in": "query", "description": description, "schema": schema})
}

fn is_duration(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(message) if message.full_name() == "google.protobuf.Duration")
}

/// Whether a query parameter can set the field.
fn settable(field: &FieldDescriptor) -> bool {
    let nested = matches!(field.kind(), Kind::Message(message) if !message.full_name().starts_with("google.protobuf."));
    !nested && !field.is_map()
}

fn success(route: &Route, schemas: &mut Schemas) -> Value {
    if route.raw() {
        let content = json!({"schema": {"type": "string", "contentMediaType": "application/octet-stream"}});
        return json!({"description": "The bytes, with their content type.", "content": {"*/*": content}});
    }
    let schema = schemas.message(&route.method.output());
    if route.method.is_server_streaming() {
        return json!({
            "description": "A stream. Server-sent events where `Accept` names `text/event-stream`, else one JSON object a line.",
            "content": {"text/event-stream": {"schema": schema}, "application/x-ndjson": {"schema": schema}},
        });
    }
    json!({"description": "OK", "content": {"application/json": {"schema": schema}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> (Value, Routes) {
        let pool = DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap();
        let routes = Routes::read(&pool).unwrap();
        (describe(&pool, &routes).unwrap(), routes)
    }

    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_resolves() {
        let (document, _) = described();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50, "{}", found.len());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    #[test]
    fn every_route_is_described_with_its_parameters() {
        let (document, routes) = described();
        for route in routes.all() {
            let (path, names) = route.template.openapi();
            let operation = &document["paths"][&path][route.verb.as_str().to_lowercase()];
            assert_eq!(operation["operationId"], route.method.name(), "{path}");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{path} has no comment");
            let parameters = operation["parameters"].as_array().unwrap();
            for name in names {
                let found = parameters.iter().any(|p| p["name"] == json!(name) && p["in"] == "path");
                assert!(found && path.contains(&format!("{{{name}}}")), "{path} {name}");
            }
        }
        for path in ["/crawl/job", "/crawl/job/{task_id}", "/token", "/health", "/ready", "/live", "/metrics"]
        {
            assert!(document["paths"][path].is_object(), "{path}");
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let (document, _) = described();
        let items = document["paths"].as_object().unwrap().values();
        let ids: Vec<_> = items
            .flat_map(|item| item.as_object().unwrap().values())
            .map(|o| o["operationId"].to_string())
            .collect();
        let unique: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{ids:?}");
    }

    #[test]
    fn behaviour_becomes_schema() {
        let (document, _) = described();
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["CreateCrawlJobRequest"]["required"], json!(["urls"]));
        assert_eq!(schemas["Job"]["properties"]["state"]["readOnly"], true);
        assert_eq!(schemas["Counts"]["properties"]["found"]["type"], "integer");
        assert_eq!(schemas["CrawlConfig"]["properties"]["page_timeout"]["type"], "string");
        let create = &document["paths"]["/v1/crawl-jobs"]["post"]["parameters"];
        let names: Vec<_> = create.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["wait", "max_duration", "Idempotency-Key"]);
        // The path binds the name, so the body does not have it.
        let body =
            &document["paths"]["/v1/jobs/{job}:cancel"]["post"]["requestBody"]["content"]["application/json"];
        assert_eq!(body["schema"]["properties"], json!({}));
    }
}
