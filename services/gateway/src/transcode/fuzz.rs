//! Requests of strangers, broken: each is refused with 4xx or becomes a message that can be written again, and nothing panics.

use fuzz::Fuzz;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, SerializeOptions};

use super::{Routes, message, read_body, request, response};
use crate::problem::Problem;

fn pool() -> DescriptorPool {
    DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).expect("because the descriptors are ours")
}

fn routes() -> Routes {
    Routes::read(&pool()).expect("because the annotations are ours")
}

/// A request as it is written, without a version: `POST /path?query`, headers, an empty line, the body.
fn build(routes: &Routes, text: &[u8]) -> Result<DynamicMessage, Problem> {
    let end = text.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 2..]));
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let (verb, uri) = lines.next().unwrap_or_default().split_once(' ').unwrap_or(("GET", ""));
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    let headers: HeaderMap = lines.filter_map(header).collect();
    let verb = verb.parse::<Method>().unwrap_or(Method::GET);
    let (route, bindings) = routes.find(&verb, path)?;
    let (body, lines) = read_body(route, &headers, body)?;
    if let Some(lines) = lines {
        let _ = lines.rename(&tonic::Status::invalid_argument("urls[0]"));
    }
    request::build(route, &bindings, query, &headers, body)
}

#[test]
fn requests() {
    let json = "content-type: application/json\n\n";
    let job = r#"{"urls":["https://example.com/"],"config":{"page_timeout":"30.5s","render":"AUTO","extraction":{"schema":{"schema":{"a":[1,null,{}]}}},
        "browser":{"viewport":{"width":800,"height":600,"device_scale_factor":1e2},"headers":{"x-a":"b"},"actions":[{"click":{"selector":"a"}}]},
        "deep_crawl":{"max_depth":2}},"labels":{"a":"b"},"priority":"HIGH"}"#;
    let seeds = [
        format!("POST /v1/crawl-jobs?wait=30s&config.render=HTTP\nidempotency-key: k\n{json}{job}"),
        "POST /v1/crawl-jobs\ncontent-type: text/plain\n\nhttps://example.com/a\n# no\n\nhttps://example.com/b".to_owned(),
        "POST /v1/crawl-jobs\ncontent-type: application/x-ndjson\n\n{\"url\":\"https://example.com/a\"}\n\"https://example.com/b\"\n".to_owned(),
        "GET /v1/jobs?state=RUNNING&labels.a=b&page_size=5&pageToken=x%2By+z&create_time=2026-11-21T00:00:00.5Z\n\n".to_owned(),
        "GET /v1/jobs/a%20b/pages/%F0%9F%98%80?page_size=-1\nlast-event-id: 18446744073709551615\n\n".to_owned(),
        format!("PATCH /v1/schedules/a?update_mask=paused,time_zone\n{json}{{\"name\":\"schedules/a\",\"paused\":true}}"),
        format!("POST /v1/jobs/a:cancel\n{json}{{}}"),
        "DELETE /v1/api-keys/a\n\n".to_owned(),
    ];
    let words = &[
        "\"",
        "{\"config\":",
        "[[[[[[[[",
        "null",
        "1e400",
        "-0.0",
        "18446744073709551616",
        "\"\\ud800\"",
        "\"9999999999999.9999999999s\"",
        "\"-1s\"",
        "\"NaN\"",
        "%00",
        "%",
        "&a.b.c.d=",
        "?",
        "=",
        "/v1/",
        ":",
        "//",
        "*",
        "\u{feff}",
        "\n\n",
        "ÿ",
    ];
    let routes = routes();
    Fuzz::new("requests", seeds.map(String::into_bytes).into(), words).run(|bytes| {
        match build(&routes, bytes) {
            Ok(request) => {
                let packed = request.encode_to_vec();
                let again = DynamicMessage::decode(request.descriptor(), packed.as_slice());
                // Not the same bytes: the order of a map is nobody's.
                let length = again.expect("because it was encoded").encoded_len();
                assert_eq!(length, packed.len(), "a message that changes on its way");
            }
            Err(problem) => assert!(problem.http_status().is_client_error(), "{}", problem.http_status()),
        }
    });
}

/// What services answer is written as JSON, or refused; and what the library writes as proto3 JSON is understood.
#[test]
fn messages() {
    let pool = pool();
    let named = |name: &str| pool.get_message_by_name(name).expect("because it is in the protos");
    let kinds = ["job.v1.CreateCrawlJobRequest", "job.v1.Job", "result.v1.Document", "webhook.v1.Delivery"]
        .map(|name| named(&format!("crawlmesh.{name}")));
    let words =
        &["\u{a}\u{2}", "\u{12}\u{7f}", "\u{8}\u{1}", "\u{1a}\0", "\u{22}\u{4}", "https://example.com/"];
    let routes = routes();
    let job = "POST /v1/crawl-jobs\ncontent-type: application/json\n\n{\"urls\":[\"https://example.com/\"],\"config\":{\"page_timeout\":\"30s\",\
               \"fetch\":{\"headers\":{\"x-a\":\"b\"}},\"extraction\":{\"schema\":{\"schema\":{\"a\":[1,null,{}]}}}},\"priority\":\"HIGH\"}";
    let job = build(&routes, job.as_bytes()).map_err(|problem| problem.document("/", "r"));
    let seeds = vec![job.expect("because it is a request").encode_to_vec(), vec![10, 1, 97], vec![0xff; 12]];
    Fuzz::new("messages", seeds, words).run(|bytes| {
        for kind in &kinds {
            let Ok(message) = DynamicMessage::decode(kind.clone(), bytes) else { continue };
            let Ok(json) = response::to_json(&message) else { continue };
            assert!(json.is_object(), "an answer that is no object: {json}");
            let options = SerializeOptions::new().use_proto_field_name(true);
            let standard = message.serialize_with_options(serde_json::value::Serializer, &options);
            let Ok(serde_json::Value::Object(fields)) = standard else { continue };
            let (mut read, mut wrong) = (DynamicMessage::new(kind.clone()), mesh::Violations::new());
            message::fill(&mut read, &fields, "", &mut wrong);
        }
    });
}
