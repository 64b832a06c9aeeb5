//! The log of a page's requests as HAR 1.2, and of its console, from what the browser tells. Pure.
//!
//! Promises: bounded in entries and bytes, and what was left out is counted in the log; no bodies, no cookies, no credentials.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

/// Requests of one log.
const MAX_ENTRIES: usize = 1000;
/// Headers of one request or response.
const MAX_HEADERS: usize = 100;
/// Characters of a URL or of a header's value.
const MAX_TEXT: usize = 2048;
/// Messages of a console.
const MAX_MESSAGES: usize = 500;
/// Headers that may be a credential.
const SECRET: [&str; 4] = ["cookie", "set-cookie", "authorization", "proxy-authorization"];

/// A request as it begins, or goes on after a redirect. Times are in seconds: `at` on the browser's own clock, `wall` since 1970.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) at: f64,
    pub(super) wall: f64,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) kind: Option<String>,
    pub(super) redirect: Option<Head>,
}

/// The head of a response.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) status: i64,
    pub(super) status_text: String,
    pub(super) protocol: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) mime: String,
}

#[derive(Debug, Default)]
struct Entry {
    sent: Sent,
    head: Option<(f64, Head)>,
    end: Option<f64>,
    bytes: Option<f64>,
    error: Option<String>,
    /// The rule by which it is an ad.
    rule: Option<String>,
    /// Where a redirect led to.
    next: Option<String>,
}

/// The log of a page's requests.
#[derive(Debug, Default)]
pub(super) struct Har {
    entries: Vec<Entry>,
    /// The last entry of a request.
    open: HashMap<String, usize>,
    /// What came before the request that it belongs to: the streams of events are not in step.
    early: HashMap<String, Vec<Early>>,
    /// Ads, with the rule by which each is one. An image may be answered before its request is told.
    blocked: HashMap<String, String>,
    left_out: usize,
}

#[derive(Debug)]
enum Early {
    Head(f64, Head),
    Ended(f64, Result<f64, String>),
}

impl Har {
    pub(super) fn sent(&mut self, sent: Sent) {
        if let (Some(head), Some(&index)) = (&sent.redirect, self.open.get(&sent.id)) {
            let entry = &mut self.entries[index];
            entry.next = Some(short(&sent.url));
            entry.head = Some((sent.at, head.clone()));
            entry.end = Some(sent.at);
        }
        if self.entries.len() >= MAX_ENTRIES {
            self.left_out += 1;
            self.open.remove(&sent.id);
            return;
        }
        let id = sent.id.clone();
        self.open.insert(id.clone(), self.entries.len());
        self.entries.push(Entry { sent, ..Entry::default() });
        for early in self.early.remove(&id).unwrap_or_default() {
            match early {
                Early::Head(at, head) => self.head(&id, at, head),
                Early::Ended(at, end) => self.ended(&id, at, end),
            }
        }
    }

    pub(super) fn head(&mut self, id: &str, at: f64, head: Head) {
        match self.open.get(id) {
            Some(&index) => self.entries[index].head = Some((at, head)),
            None => self.wait(id, Early::Head(at, head)),
        }
    }

    pub(super) fn ended(&mut self, id: &str, at: f64, end: Result<f64, String>) {
        let Some(&index) = self.open.get(id) else { return self.wait(id, Early::Ended(at, end)) };
        let entry = &mut self.entries[index];
        entry.end = Some(at);
        match end {
            Ok(bytes) => entry.bytes = Some(bytes),
            Err(error) => entry.error = Some(error),
        }
    }

    /// The request is not made, because of this rule.
    pub(super) fn blocked(&mut self, id: &str, rule: &str) {
        if self.blocked.len() < MAX_ENTRIES {
            self.blocked.insert(id.to_owned(), short(rule));
        }
    }

    fn wait(&mut self, id: &str, early: Early) {
        if self.early.len() < MAX_ENTRIES {
            let events = self.early.entry(id.to_owned()).or_default();
            if events.len() < 2 {
                events.push(early);
            }
        }
    }

    /// The log as JSON, of at most `max` bytes: what does not fit is left out.
    pub(super) fn json(mut self, title: &str, max: usize) -> Bytes {
        // After a redirect it is the last request of that id that was not made.
        for (id, rule) in self.blocked.drain() {
            if let Some(&index) = self.open.get(&id) {
                self.entries[index].rule = Some(rule);
            }
        }
        let started = self.entries.first().map_or(0.0, |entry| entry.sent.wall);
        let mut room = max.saturating_sub(2048);
        let mut entries = Vec::new();
        for entry in &self.entries {
            let entry = entry.json();
            let size = entry.to_string().len() + 1;
            if size > room {
                self.left_out += 1;
                continue;
            }
            room -= size;
            entries.push(entry);
        }
        let page = json!({
            "startedDateTime": moment(started), "id": "page", "title": short(title), "pageTimings": {"onContentLoad": -1, "onLoad": -1},
        });
        let creator = json!({"name": "crawlmesh", "version": env!("CARGO_PKG_VERSION")});
        let mut log = json!({"version": "1.2", "creator": creator, "pages": [page], "entries": entries});
        if self.left_out > 0 {
            log["comment"] = json!(format!("{} requests were left out", self.left_out));
        }
        Bytes::from(json!({"log": log}).to_string())
    }
}

impl Entry {
    fn json(&self) -> Value {
        let Sent { at, wall, method, url, headers, kind, .. } = &self.sent;
        let (heard, head) = match &self.head {
            Some((heard, head)) => (*heard, head.clone()),
            None => (self.end.unwrap_or(*at), Head::default()),
        };
        let (wait, receive) = (millis(*at, heard), self.end.map_or(0.0, |end| millis(heard, end)));
        let mut entry = json!({
            "pageref": "page",
            "startedDateTime": moment(*wall),
            "time": wait + receive,
            "request": {
                "method": method, "url": short(url), "httpVersion": head.protocol, "cookies": [], "headers": shown(headers),
                "queryString": query(url), "headersSize": -1, "bodySize": -1,
            },
            "response": {
                "status": head.status, "statusText": head.status_text, "httpVersion": head.protocol, "cookies": [],
                "headers": shown(&head.headers), "content": {"size": -1, "mimeType": head.mime},
                "redirectURL": self.next.clone().unwrap_or_default(), "headersSize": -1,
                "bodySize": self.bytes.map_or(-1, |bytes| bytes as i64),
            },
            "cache": {},
            "timings": {"send": 0, "wait": wait, "receive": receive},
        });
        if let Some(kind) = kind {
            entry["_resourceType"] = json!(kind.to_ascii_lowercase());
        }
        if let Some(error) = &self.error {
            entry["_error"] = json!(error);
        }
        if let Some(rule) = &self.rule {
            entry["_blocked_by"] = json!(rule);
        }
        entry
    }
}

/// A message of a console. `wall` is in milliseconds since 1970.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) url: String,
    pub(super) line: i64,
    pub(super) wall: f64,
}

/// What a page said on its console.
#[derive(Debug, Default)]
pub(super) struct Console {
    messages: Vec<Message>,
    left_out: usize,
}

impl Console {
    pub(super) fn push(&mut self, message: Message) {
        if self.messages.len() >= MAX_MESSAGES {
            self.left_out += 1;
            return;
        }
        self.messages.push(Message { text: short(&message.text), url: short(&message.url), ..message });
    }

    /// `{"messages": [{type, text, url, line, time}], "left_out": 0}`.
    pub(super) fn json(&self) -> Bytes {
        // Calls and exceptions come in streams of their own, so they were heard in any order.
        let mut messages: Vec<&Message> = self.messages.iter().collect();
        messages.sort_by(|one, other| one.wall.total_cmp(&other.wall));
        let messages: Vec<Value> = messages
            .into_iter()
            .map(|message| {
                json!({
                    "type": message.kind, "text": message.text, "url": message.url, "line": message.line,
                    "time": moment(message.wall / 1000.0),
                })
            })
            .collect();
        Bytes::from(json!({"messages": messages, "left_out": self.left_out}).to_string())
    }
}

fn millis(from: f64, to: f64) -> f64 {
    ((to - from).max(0.0) * 1e6).round() / 1e3
}

fn shown(headers: &[(String, String)]) -> Vec<Value> {
    let open = headers.iter().filter(|(name, _)| !SECRET.contains(&name.to_ascii_lowercase().as_str()));
    open.take(MAX_HEADERS).map(|(name, value)| json!({"name": short(name), "value": short(value)})).collect()
}

fn query(url: &str) -> Vec<Value> {
    let Ok(url) = Url::parse(&short(url)) else { return Vec::new() };
    url.query_pairs().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn short(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

fn moment(seconds: f64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos((seconds * 1e3) as i128 * 1_000_000);
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(id: &str, url: &str) -> Sent {
        let headers = vec![("Authorization".into(), "secret".into()), ("Accept".into(), "*/*".into())];
        Sent {
            id: id.into(),
            at: 1.0,
            wall: 1e9,
            method: "GET".into(),
            url: url.into(),
            headers,
            ..Sent::default()
        }
    }

    fn parsed(har: Har, max: usize) -> Value {
        serde_json::from_slice(&har.json("https://a.example/", max)).unwrap()
    }

    #[test]
    fn requests_become_entries_in_whatever_order_their_events_come() {
        let mut har = Har::default();
        let head = Head {
            status: 200,
            mime: "text/html".into(),
            headers: vec![("set-cookie".into(), "secret".into())],
            ..Head::default()
        };
        har.ended("1", 1.5, Ok(10.0));
        har.head("1", 1.25, head);
        har.sent(sent("1", "https://a.example/?q=1"));
        har.sent(sent("2", "https://b.example/"));
        har.sent(Sent {
            redirect: Some(Head { status: 302, ..Head::default() }),
            ..sent("2", "https://c.example/")
        });
        har.blocked("2", "||c.example^");
        har.ended("2", 2.0, Err("net::ERR_FAILED".into()));
        let log = parsed(har, 1 << 20);
        let entries = log["log"]["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[0]["timings"], json!({"send": 0, "wait": 250.0, "receive": 250.0}));
        assert_eq!(
            (&entries[0]["response"]["status"], &entries[0]["response"]["bodySize"]),
            (&json!(200), &json!(10))
        );
        assert_eq!(entries[0]["request"]["queryString"], json!([{"name": "q", "value": "1"}]));
        assert_eq!(
            (&entries[1]["response"]["status"], &entries[1]["response"]["redirectURL"]),
            (&json!(302), &json!("https://c.example/"))
        );
        assert_eq!(entries[2]["_error"], "net::ERR_FAILED");
        assert_eq!(
            (&entries[1]["_blocked_by"], &entries[2]["_blocked_by"]),
            (&Value::Null, &json!("||c.example^"))
        );
        assert!(!log.to_string().contains("secret"));
        assert_eq!(log["log"]["pages"][0]["startedDateTime"], "2001-09-09T01:46:40Z");
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let mut har = Har::default();
        for n in 0..MAX_ENTRIES + 5 {
            har.sent(sent(&n.to_string(), "https://a.example/"));
        }
        let log = parsed(har, 100_000);
        assert!(log.to_string().len() < 100_000);
        assert!(log["log"]["comment"].as_str().unwrap().ends_with("were left out"));
        let mut console = Console::default();
        for _ in 0..MAX_MESSAGES + 7 {
            console.push(Message { text: "x".repeat(9999), ..Message::default() });
        }
        let messages: Value = serde_json::from_slice(&console.json()).unwrap();
        assert_eq!(
            (messages["messages"].as_array().unwrap().len(), &messages["left_out"]),
            (MAX_MESSAGES, &json!(7))
        );
        assert_eq!(messages["messages"][0]["text"].as_str().unwrap().len(), MAX_TEXT);
    }
}
