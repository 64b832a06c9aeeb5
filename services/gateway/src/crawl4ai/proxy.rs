//! `proxy_config` and `proxy`: Crawl4AI's ways to write a proxy, as `CrawlConfig.fetch.proxy` has it.
//!
//! An object (`server`, `username`, `password`), or text: `http://user:password@host:port`, `host:port:user:password`, `host:port`,
//! `direct`. What is allowed is for the job service to say.

use api::job::v1::fetch_options::Proxy;
use serde_json::{Map, Value};

use super::{extraction::Notes, submit::unwrap};

/// Reads a proxy. `None`: there is none, or it was refused.
pub(super) fn read(path: &str, value: &Value, notes: &mut Notes<'_>) -> Option<Proxy> {
    match unwrap(value) {
        Value::Object(object) => Some(fields(path, object, notes)),
        Value::String(text) if text == "direct" => None,
        Value::String(text) => Some(written(text)),
        Value::Array(items) => match items.as_slice() {
            [] => None,
            [only] => read(&format!("{path}[0]"), only, notes),
            // They would be taken in turn, or one after the other failed.
            _ => {
                notes.unsupported(path.to_owned());
                None
            }
        },
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) | Value::Number(_) => {
            notes.type_of(path, "a proxy: an object with `server`, or its URL");
            None
        }
    }
}

fn fields(path: &str, object: &Map<String, Value>, notes: &mut Notes<'_>) -> Proxy {
    let (mut named, mut server) = (Proxy::default(), Proxy::default());
    for (name, value) in object {
        let path = format!("{path}.{name}");
        match name.as_str() {
            "server" => server = written(&notes.text(&path, value)),
            "username" => named.username = notes.text(&path, value),
            "password" => named.password = notes.text(&path, value),
            // What the proxy's own address is supposed to be: Crawl4AI only shows it.
            "ip" => notes.ignored.push(path),
            _ => notes.wrong.add(path, "UNKNOWN_FIELD", "is not a field"),
        }
    }
    let anonymous = named.username.is_empty() && named.password.is_empty();
    if anonymous { server } else { Proxy { server: server.server, ..named } }
}

/// A proxy as text, in any of Crawl4AI's forms.
fn written(text: &str) -> Proxy {
    let text = text.trim();
    if text.is_empty() {
        return Proxy::default();
    }
    let named = text.contains("://") || text.contains('@');
    if let (false, [host, port, username, password]) =
        (named, text.splitn(4, ':').collect::<Vec<_>>().as_slice())
    {
        let server = format!("http://{host}:{port}");
        return Proxy { server, username: (*username).to_owned(), password: (*password).to_owned() };
    }
    let (server, who) = domain::proxy::split(text);
    let (username, password) = who.unwrap_or_default();
    Proxy { server, username, password }
}

#[cfg(test)]
mod tests {
    use mesh::Violations;
    use serde_json::json;

    use super::*;

    fn seen(value: &Value) -> (Option<Proxy>, bool) {
        let (mut wrong, mut ignored) = (Violations::new(), Vec::new());
        let proxy = read("p", value, &mut Notes { wrong: &mut wrong, ignored: &mut ignored });
        (proxy, wrong.into_result().is_err())
    }

    #[test]
    fn all_ways_to_write_a_proxy_are_read() {
        let some = |server: &str, username: &str, password: &str| {
            let (server, username, password) = (server.to_owned(), username.to_owned(), password.to_owned());
            Some(Proxy { server, username, password })
        };
        let whole = some("http://p.example:3128", "u", "w");
        for (value, expected) in [
            (json!({"server": "http://p.example:3128", "username": "u", "password": "w"}), whole.clone()),
            (
                json!({"type": "ProxyConfig", "params": {"server": "p.example:3128", "username": "u", "password": "w", "ip": "1.2.3.4"}}),
                whole.clone(),
            ),
            (json!("http://u:w@p.example:3128"), whole.clone()),
            (json!("p.example:3128:u:w"), whole.clone()),
            (json!(["p.example:3128:u:w"]), whole),
            (json!("http://u%40x:a%3Ab@p.example:3128"), some("http://p.example:3128", "u@x", "a:b")),
            (json!("socks5://p.example:1080"), some("socks5://p.example:1080", "", "")),
            (json!("p.example:3128"), some("http://p.example:3128", "", "")),
            (json!("direct"), None),
            (json!([]), None),
            (json!(null), None),
        ] {
            assert_eq!(seen(&value), (expected, false), "{value}");
        }
        for value in [json!(1), json!(["a:1", "b:2"]), json!({"server": 1}), json!({"host": "x"})] {
            assert!(seen(&value).1, "{value}");
        }
    }
}
