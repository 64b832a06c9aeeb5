//! Answers: JSON, server-sent events, NDJSON, or raw bytes.
//!
//! JSON has the names of the proto files, default values included, and 64-bit integers as numbers: every one of the
//! protocol is a count or a size below 2^53. Numbers without a fraction are written without one.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;
use tonic::{Code, Status, Streaming};

use crate::{
    body::{self, Body},
    problem::Problem,
    streams::StreamPermit,
};

/// A message as JSON text.
pub(crate) fn to_json(message: &DynamicMessage) -> Result<Value, Status> {
    let options = SerializeOptions::new()
        .skip_default_fields(false)
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false);
    let mut json = message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| mesh::fail(Code::Internal, "ENCODE_FAILED", &error))?;
    write_whole(&mut json);
    Ok(json)
}

/// Writes `1.0` as `1`: `google.protobuf.Struct` has no other numbers than doubles, and a reader that sent 1 expects 1.
fn write_whole(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|_| number.is_f64()).and_then(whole) {
                *value = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(write_whole),
        Value::Object(fields) => fields.values_mut().for_each(write_whole),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The integer that a number is, if it is one: every double without a fraction and below 2^63 is, exactly. Negative zero is none.
fn whole(number: f64) -> Option<i64> {
    let limit = -(i64::MIN as f64);
    let fits = number.fract() == 0.0 && number.abs() < limit && !(number == 0.0 && number.is_sign_negative());
    fits.then_some(number as i64)
}

/// Whether the client takes `media`, by its Accept header: absent, the type, its group, or anything. Weights are not
/// read, but for `q=0`.
pub(crate) fn accepts(headers: &HeaderMap, media: &str) -> bool {
    let group = media.split('/').next().unwrap_or_default();
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','));
    let mut any = false;
    let taken = ranges.any(|range| {
        any = true;
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        !refused && (name == media || name == "*/*" || name.strip_suffix("/*") == Some(group))
    });
    taken || !any
}

/// 406 unless the client takes one of `media`.
pub(crate) fn require_accept(headers: &HeaderMap, media: &[&str]) -> Result<(), Problem> {
    if media.iter().any(|media| accepts(headers, media)) {
        return Ok(());
    }
    let message = format!("the answer is {}", media.join(" or "));
    Err(Problem::http(StatusCode::NOT_ACCEPTABLE, Code::InvalidArgument, "NOT_ACCEPTABLE", message))
}

/// How an answer that is a stream is written.
pub(crate) struct StreamForm {
    /// Server-sent events; else NDJSON.
    pub(crate) events: bool,
    /// After so long a silence a comment tells that the connection is alive.
    pub(crate) heartbeat: Duration,
    /// Path of the request, for problems in the middle.
    pub(crate) instance: String,
    /// Id of the request, for problems in the middle.
    pub(crate) request_id: String,
}

/// Streams messages. The permit is held until the stream ends or the client goes.
pub(crate) fn streamed(
    messages: Streaming<DynamicMessage>,
    form: StreamForm,
    permit: StreamPermit,
) -> Response<Body> {
    let content_type = if form.events { "text/event-stream" } else { "application/x-ndjson" };
    let state = Some((messages, form, permit));
    let chunks = stream::unfold(state, |state| async move {
        let (mut messages, form, permit) = state?;
        let item = match tokio::time::timeout(form.heartbeat, messages.next()).await {
            Err(_) => {
                // NDJSON has no comments; an empty line is ignored by its readers.
                let beat: &[u8] = if form.events { b":\n\n" } else { b"\n" };
                return Some((Bytes::from_static(beat), Some((messages, form, permit))));
            }
            Ok(item) => item?,
        };
        match item.and_then(|message| written(&message, form.events)) {
            Ok(chunk) => Some((chunk, Some((messages, form, permit)))),
            Err(status) => Some((broken(status, &form), None)),
        }
    });
    let chunks = chunks.map(Ok::<_, std::convert::Infallible>);
    body::response(content_type, Body::from_stream(chunks))
}

fn written(message: &DynamicMessage, events: bool) -> Result<Bytes, Status> {
    let json = to_json(message)?;
    if !events {
        return Ok(format!("{json}\n").into());
    }
    let mut text = String::new();
    // Serialized JSON has no line break, and the names of events have none either: both come from our services.
    if let Some(sequence) = json.get("sequence").and_then(Value::as_i64) {
        text.push_str(&format!("id: {sequence}\n"));
    }
    if let Some(kind) = json.get("type").and_then(Value::as_str).filter(|kind| !kind.contains(['\n', '\r'])) {
        text.push_str(&format!("event: {kind}\n"));
    }
    text.push_str(&format!("data: {json}\n\n"));
    Ok(text.into())
}

fn broken(status: Status, form: &StreamForm) -> Bytes {
    let problem = Problem::from(status).document(&form.instance, &form.request_id);
    if form.events {
        return format!("event: error\ndata: {problem}\n\n").into();
    }
    format!("{}\n", serde_json::json!({ "error": problem })).into()
}

/// A stream of google.api.HttpBody as the bytes that it carries. Waits for the first message: it has the content type.
pub(crate) async fn raw(
    messages: Streaming<DynamicMessage>,
    permit: StreamPermit,
) -> Result<Response<Body>, Problem> {
    let mut chunks = messages.map(|message| {
        let body: api::google::api::HttpBody =
            message?.transcode_to().map_err(|error| mesh::fail(Code::Internal, "DECODE_FAILED", &error))?;
        Ok::<_, Status>((body.content_type, Bytes::from(body.data)))
    });
    let first = chunks.next().await.transpose()?;
    let (content_type, data) = first.unwrap_or_default();
    let rest = chunks.map(move |chunk| {
        // Dropped with the stream.
        let _held = &permit;
        chunk.map(|(_, data)| data)
    });
    raw_response(&content_type, stream::iter([Ok(data)]).chain(rest))
}

fn raw_response(
    content_type: &str,
    chunks: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
) -> Result<Response<Body>, Problem> {
    let mut response = body::response("application/octet-stream", Body::from_stream(chunks));
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(content_type)
        && !content_type.is_empty()
    {
        headers.insert(header::CONTENT_TYPE, value);
    }
    // A crawled page must never run in the origin of the API.
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;
    use serde_json::json;

    use super::*;

    fn job_event() -> DynamicMessage {
        let pool = DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap();
        let mut message = DynamicMessage::new(pool.get_message_by_name("crawlmesh.job.v1.JobEvent").unwrap());
        let counts = api::job::v1::Counts { found: 9_007_199_254_740_991, ..Default::default() };
        let job = api::job::v1::Job { state: 2, counts: Some(counts), ..Default::default() };
        let event = api::job::v1::JobEvent {
            sequence: 3,
            r#type: "job.started".into(),
            job: Some(job),
            ..Default::default()
        };
        message.transcode_from(&event).unwrap();
        message
    }

    #[test]
    fn json_has_proto_names_defaults_and_numbers() {
        let value = to_json(&job_event()).unwrap();
        assert_eq!(value["sequence"], json!(3));
        assert_eq!(value["job"]["counts"]["found"], json!(9_007_199_254_740_991_i64));
        assert_eq!(value["job"]["state"], "RUNNING");
        assert_eq!(value["job"]["counts"]["failed"], json!(0), "defaults are there");
        assert!(value.get("occurTime").is_none(), "names are those of the proto file");
    }

    #[test]
    fn numbers_of_a_struct_are_as_they_came() {
        let pool = DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap();
        let document = pool.get_message_by_name("crawlmesh.result.v1.Document").unwrap();
        let text = r#"{"metadata": {"one": 1, "list": [0, -7, 0.5, 9007199254740993], "large": 1e18, "huge": 1e300, "small": -0.0}}"#;
        let mut json = serde_json::Deserializer::from_str(text);
        let shown = to_json(&DynamicMessage::deserialize(document, &mut json).unwrap()).unwrap();
        let metadata = &shown["metadata"];
        assert_eq!(metadata["one"].to_string(), "1");
        // A double has no 9007199254740993.
        assert_eq!(metadata["list"].to_string(), "[0,-7,0.5,9007199254740992]");
        assert_eq!(metadata["large"].to_string(), "1000000000000000000");
        assert_eq!(
            (metadata["huge"].as_f64(), metadata["small"].to_string()),
            (Some(1e300), "-0.0".to_owned())
        );
        for (number, expected) in [
            (9_223_372_036_854_774_784.0, Some(9_223_372_036_854_774_784)),
            (9_223_372_036_854_775_808.0, None),
            (-9_223_372_036_854_774_784.0, Some(-9_223_372_036_854_774_784)),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(whole(number), expected, "{number}");
        }
    }

    #[test]
    fn events_have_id_type_and_data() {
        let text = String::from_utf8(written(&job_event(), true).unwrap().to_vec()).unwrap();
        assert!(text.starts_with("id: 3\nevent: job.started\ndata: {"), "{text}");
        assert!(text.ends_with("}\n\n"));
        let line = written(&job_event(), false).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let form = StreamForm {
            events: true,
            heartbeat: Duration::ZERO,
            instance: "/x".into(),
            request_id: "r".into(),
        };
        let text = String::from_utf8(broken(Status::unavailable("x"), &form).to_vec()).unwrap();
        assert!(text.starts_with("event: error\ndata: {") && text.contains("\"status\":503"), "{text}");
    }

    #[test]
    fn accept_is_understood() {
        for (accept, json, events) in [
            (None, true, true),
            (Some("*/*"), true, true),
            (Some("application/json"), true, false),
            (Some("application/*, text/html"), true, false),
            (Some("text/event-stream"), false, true),
            (Some("image/png"), false, false),
            (Some("application/json;q=0, image/png"), false, false),
            (Some("Application/JSON; q=0.5"), true, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(accepts(&headers, "application/json"), json, "{accept:?}");
            assert_eq!(accepts(&headers, "text/event-stream"), events, "{accept:?}");
        }
    }
}
