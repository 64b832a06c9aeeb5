//! The logs of a page in Crawl4AI's form: `network_requests` from the HAR, `console_messages` from the console.

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The requests and responses of a HAR, in order. None if it is no HAR.
pub(super) fn network(har: &[u8]) -> Option<Value> {
    let har: Value = serde_json::from_slice(har).ok()?;
    let mut events = Vec::new();
    for entry in har["log"]["entries"].as_array()? {
        let (request, response) = (&entry["request"], &entry["response"]);
        let started = seconds(&entry["startedDateTime"]);
        let took = entry["time"].as_f64().unwrap_or_default() / 1000.0;
        let kind = &entry["_resourceType"];
        events.push(json!({
            "event_type": "request", "url": request["url"], "method": request["method"], "headers": headers(&request["headers"]),
            "post_data": null, "resource_type": kind, "is_navigation_request": kind == "document", "timestamp": started,
        }));
        if let Some(error) = entry.get("_error") {
            events.push(json!({
                "event_type": "request_failed", "url": request["url"], "method": request["method"], "resource_type": kind,
                "failure_text": error, "timestamp": started + took,
            }));
        } else if response["status"].as_i64().is_some_and(|status| status > 0) {
            events.push(json!({
                "event_type": "response", "url": request["url"], "status": response["status"], "status_text": response["statusText"],
                "headers": headers(&response["headers"]), "from_service_worker": false, "request_timing": entry["timings"],
                "timestamp": started + took,
            }));
        }
    }
    Some(Value::Array(events))
}

/// The messages of a console. None if it is no console.
pub(super) fn console(console: &[u8]) -> Option<Value> {
    let console: Value = serde_json::from_slice(console).ok()?;
    let messages = console["messages"].as_array()?.iter().map(|message| {
        let location = json!({"url": message["url"], "lineNumber": message["line"]});
        json!({"type": message["type"], "text": message["text"], "location": location, "timestamp": seconds(&message["time"])})
    });
    Some(messages.collect())
}

fn headers(list: &Value) -> Map<String, Value> {
    let pairs = list.as_array().into_iter().flatten();
    pairs.filter_map(|pair| Some((pair["name"].as_str()?.to_owned(), pair["value"].clone()))).collect()
}

/// Seconds since 1970.
fn seconds(time: &Value) -> f64 {
    let time = time.as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    time.map_or(0.0, |time| time.unix_timestamp_nanos() as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_have_crawl4ais_form() {
        let entry = json!({
            "startedDateTime": "2026-01-01T00:00:00.5Z", "time": 500, "_resourceType": "document",
            "request": {"method": "GET", "url": "https://a.example/", "headers": [{"name": "Accept", "value": "*/*"}]},
            "response": {"status": 200, "statusText": "OK", "headers": []}, "timings": {"wait": 1},
        });
        let mut failed = entry.clone();
        failed["_error"] = json!("net::ERR_FAILED");
        let events = network(json!({"log": {"entries": [entry, failed]}}).to_string().as_bytes()).unwrap();
        let kinds: Vec<&str> =
            events.as_array().unwrap().iter().map(|event| event["event_type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["request", "response", "request", "request_failed"]);
        assert_eq!(
            (&events[0]["headers"], &events[0]["is_navigation_request"]),
            (&json!({"Accept": "*/*"}), &json!(true))
        );
        assert_eq!((&events[1]["status"], &events[1]["timestamp"]), (&json!(200), &json!(1_767_225_601.0)));
        assert_eq!(events[3]["failure_text"], "net::ERR_FAILED");
        let said = json!({"messages": [{"type": "log", "text": "hi", "url": "u", "line": 3, "time": "2026-01-01T00:00:00Z"}]});
        let said = console(said.to_string().as_bytes()).unwrap();
        assert_eq!((&said[0]["text"], &said[0]["location"]["lineNumber"]), (&json!("hi"), &json!(3)));
        assert_eq!((network(b"no"), console(b"{}")), (None, None));
    }
}
