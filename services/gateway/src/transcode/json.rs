//! Strict JSON: what RFC 8259 leaves open is refused here, with the path of the mistake.
//!
//! UTF-8 without a byte order mark, at most 64 levels deep, no name twice in an object, nothing after the value. The
//! depth is checked on the way down, so no input can exhaust the stack.

use std::{cell::RefCell, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use crate::problem::Problem;

/// Levels of arrays and objects.
const MAX_DEPTH: usize = 64;

/// Parses a request body. An empty body is `None`.
pub(crate) fn parse(body: &[u8]) -> Result<Option<Value>, Problem> {
    if body.is_empty() {
        return Ok(None);
    }
    let invalid = |description: String| Problem::field("$body", "INVALID_JSON", description);
    let text = std::str::from_utf8(body).map_err(|_| invalid("is not UTF-8".to_owned()))?;
    if text.starts_with('\u{feff}') {
        return Err(invalid("begins with a byte order mark".to_owned()));
    }
    let fault = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = Strict { fault: &fault, path: &Path::Root, depth: 0 }.deserialize(&mut deserializer);
    let parsed = parsed.and_then(|value| deserializer.end().map(|()| value));
    match (parsed, fault.into_inner()) {
        (Ok(value), _) => Ok(Some(value)),
        (Err(_), Some(Fault { field, reason, description })) => {
            Err(Problem::field(&field, reason, description))
        }
        // serde_json tells the place and what it expected, never what it read.
        (Err(error), None) => Err(invalid(format!("is not JSON: {error}"))),
    }
}

/// What is wrong beyond the grammar.
struct Fault {
    field: String,
    reason: &'static str,
    description: &'static str,
}

/// Where the parser is.
enum Path<'a> {
    Root,
    Name(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Name(Self::Root, name) => f.write_str(name),
            Self::Name(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    fault: &'a RefCell<Option<Fault>>,
    path: &'a Path<'a>,
    depth: usize,
}

impl<'a> Strict<'a> {
    fn refuse<E: serde::de::Error>(
        &self,
        path: &Path<'_>,
        reason: &'static str,
        description: &'static str,
    ) -> E {
        *self.fault.borrow_mut() = Some(Fault { field: path.to_string(), reason, description });
        E::custom(description)
    }

    fn enter<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.depth < MAX_DEPTH {
            return Ok(());
        }
        Err(self.refuse(
            &Path::Name(&Path::Root, "$body"),
            "NESTING_TOO_DEEP",
            "is nested deeper than 64 levels",
        ))
    }

    fn below(&self, path: &'a Path<'a>) -> Self {
        Self { fault: self.fault, path, depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut list = Vec::new();
        loop {
            let path = Path::Index(self.path, list.len());
            let seed = Strict { fault: self.fault, path: &path, depth: self.depth + 1 };
            match items.next_element_seed(seed)? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let path = Path::Name(self.path, &name);
            if object.contains_key(&name) {
                return Err(self.refuse(&path, "DUPLICATE_FIELD", "is there twice"));
            }
            let value = entries.next_value_seed(Strict { path: &path, ..self.below(self.path) })?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(body: &[u8]) -> (String, String) {
        let document = parse(body).unwrap_err().document("/", "r");
        let field = document["errors"][0]["field"].as_str().unwrap().to_owned();
        (field, document["reason"].as_str().unwrap().to_owned())
    }

    #[test]
    fn good_json_is_read() {
        let deepest = format!("{}1{}", "[".repeat(64), "]".repeat(64));
        assert!(parse(deepest.as_bytes()).is_ok());
        assert_eq!(parse(b"").unwrap(), None);
        let text =
            r#" {"a": [1, -2, 0.5, "\u00e9\ud83d\ude00", null, true], "b": {"a": 18446744073709551615}} "#;
        let value = json!({"a": [1, -2, 0.5, "é😀", null, true], "b": {"a": u64::MAX}});
        assert_eq!(parse(text.as_bytes()).unwrap(), Some(value));
    }

    #[test]
    fn bad_json_is_refused_with_its_place() {
        for (body, field, reason) in [
            (&b"{"[..], "$body", "INVALID_JSON"),
            (b" ", "$body", "INVALID_JSON"),
            (b"{} x", "$body", "INVALID_JSON"),
            (b"{}{}", "$body", "INVALID_JSON"),
            (b"{\"a\":1,}", "$body", "INVALID_JSON"),
            (b"\xef\xbb\xbf{}", "$body", "INVALID_JSON"),
            (b"{\"a\":\"\xff\"}", "$body", "INVALID_JSON"),
            (b"{\"a\":\"\\ud800\"}", "$body", "INVALID_JSON"),
            (b"{\"a\":NaN}", "$body", "INVALID_JSON"),
            (b"{\"a\":1e400}", "$body", "INVALID_JSON"),
            (b"{\"a\":01}", "$body", "INVALID_JSON"),
            (b"{'a':1}", "$body", "INVALID_JSON"),
            (b"{\"a\":1,\"a\":1}", "a", "DUPLICATE_FIELD"),
            (b"{\"a\":1,\"\\u0061\":2}", "a", "DUPLICATE_FIELD"),
            (b"{\"x\":[{},{\"y\":{\"b\":1,\"b\":2}}]}", "x[1].y.b", "DUPLICATE_FIELD"),
        ] {
            let text = String::from_utf8_lossy(body);
            assert_eq!(refused(body), (field.to_owned(), reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn depth_does_not_exhaust_the_stack() {
        let expected = ("$body".to_owned(), "NESTING_TOO_DEEP".to_owned());
        assert_eq!(refused("[".repeat(65).as_bytes()), expected);
        assert_eq!(refused("[".repeat(1_000_000).as_bytes()), expected);
        assert_eq!(refused("{\"a\":".repeat(10_000).as_bytes()), expected);
    }
}
