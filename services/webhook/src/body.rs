//! The bodies of deliveries: the Standard Webhooks envelope, and Crawl4AI's own shape for its clients.

use api::job::v1::{Job, JobEvent, job::State, webhook_target::Format};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The event types that a target gets which names none: the terminal ones.
pub(crate) const TERMINAL_EVENTS: [&str; 3] = ["job.succeeded", "job.failed", "job.cancelled"];

/// Writes the body of `event` in the form that its target asks for.
pub(crate) fn write(event: &JobEvent, job: &Job, format: Format) -> Vec<u8> {
    let body = match format {
        Format::Unspecified | Format::Standard => standard(event, job),
        Format::Crawl4ai => crawl4ai(event, job),
    };
    body.to_string().into_bytes()
}

/// `{type, timestamp, data}`; `data` is the job in short.
fn standard(event: &JobEvent, job: &Job) -> Value {
    let counts = job.counts.unwrap_or_default();
    let mut body = json!({
        "type": event.r#type,
        "timestamp": time_text(event.occur_time.as_ref()),
        "data": {
            "name": job.name,
            "sequence": event.sequence,
            "state": job.state().as_str_name(),
            "counts": {
                "found": counts.found,
                "succeeded": counts.succeeded,
                "failed": counts.failed,
                "skipped": counts.skipped,
                "cancelled": counts.cancelled,
                "pending": counts.pending,
                "running": counts.running,
            },
            "verdicts": sorted(&job.verdicts),
            "labels": sorted(&job.labels),
            "create_time": time_text(job.create_time.as_ref()),
            "end_time": time_text(job.end_time.as_ref()),
        },
    });
    if let Some(changes) = &job.changes {
        body["data"]["changes"] = json!({
            "new": changes.new,
            "same": changes.same,
            "changed": changes.changed,
            "removed": changes.removed,
            "complete": changes.complete,
        });
        body["data"]["baseline"] = job.baseline.clone().into();
    }
    body
}

/// `{task_id, task_type, status, timestamp, urls, error?}`, as Crawl4AI 0.9 sends it.
fn crawl4ai(event: &JobEvent, job: &Job) -> Value {
    let id = job.name.trim_start_matches("jobs/").replace('-', "");
    let (status, error) = match job.state() {
        State::Succeeded => ("completed", None),
        State::Cancelled => ("failed", Some("cancelled".to_owned())),
        State::Failed => ("failed", Some(verdicts_text(job))),
        State::Unspecified | State::Queued | State::Running | State::Paused => ("processing", None),
    };
    let mut body = json!({
        "task_id": format!("crawl_{id}"),
        "task_type": "crawl",
        "status": status,
        "timestamp": time_text(event.occur_time.as_ref()),
        "urls": job.urls,
    });
    if let (Some(error), Some(body)) = (error, body.as_object_mut()) {
        body.insert("error".into(), error.into());
    }
    body
}

/// `no page succeeded: dns 2, http_error 1`.
fn verdicts_text(job: &Job) -> String {
    let mut words: Vec<_> = job.verdicts.iter().map(|(word, count)| format!("{word} {count}")).collect();
    words.sort();
    format!("no page succeeded: {}", words.join(", "))
}

fn sorted<V: Clone + Into<Value>>(map: &std::collections::HashMap<String, V>) -> Value {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| key.as_str());
    Value::Object(
        pairs.into_iter().map(|(key, value)| (key.clone(), value.clone().into())).collect::<Map<_, _>>(),
    )
}

fn time_text(time: Option<&prost_types::Timestamp>) -> Value {
    let text = time.and_then(|time| {
        let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?.format(&Rfc3339).ok()
    });
    text.map_or(Value::Null, Value::String)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn event(state: State) -> (JobEvent, Job) {
        let job = Job {
            name: "jobs/018f3c9e-6a5b-7c3d-8e1f-0123456789ab".into(),
            state: state.into(),
            urls: vec!["https://example.org/".into()],
            verdicts: HashMap::from([("dns".into(), 2), ("connect".into(), 1)]),
            ..Job::default()
        };
        let time = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 };
        (JobEvent { sequence: 3, r#type: "job.failed".into(), occur_time: Some(time), job: None }, job)
    }

    #[test]
    fn crawl4ai_clients_get_their_shape() {
        let (event, job) = event(State::Failed);
        let body: Value =
            serde_json::from_slice(&write(&event, &job, Format::Crawl4ai)).expect("because it is JSON");
        assert_eq!(
            body,
            json!({
                "task_id": "crawl_018f3c9e6a5b7c3d8e1f0123456789ab",
                "task_type": "crawl",
                "status": "failed",
                "timestamp": "2023-11-14T22:13:20Z",
                "urls": ["https://example.org/"],
                "error": "no page succeeded: connect 1, dns 2",
            })
        );
    }

    #[test]
    fn the_standard_envelope_has_type_timestamp_and_data() {
        let (event, job) = event(State::Succeeded);
        let body: Value =
            serde_json::from_slice(&write(&event, &job, Format::Standard)).expect("because it is JSON");
        assert_eq!(body["type"], "job.failed");
        assert_eq!(body["timestamp"], "2023-11-14T22:13:20Z");
        assert_eq!(body["data"]["state"], "SUCCEEDED");
        assert_eq!(body["data"]["verdicts"], json!({"connect": 1, "dns": 2}));
        assert_eq!(body["data"]["end_time"], Value::Null);
    }
}
