//! JSON and query parameters into protobuf messages, strictly: unknown names, wrong types and values that are there
//! twice are refused, all at once, each with its path.
//!
//! Names are those of the proto files; their lowerCamelCase forms are understood too, as proto3 JSON asks for.

use mesh::Violations;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value as Proto,
};
use serde_json::{Map, Value};

/// Fills `message` from a JSON object. `path` is where that object stands, empty for the body itself.
pub(crate) fn fill(
    message: &mut DynamicMessage,
    object: &Map<String, Value>,
    path: &str,
    wrong: &mut Violations,
) {
    for (name, value) in object {
        let at = join(path, name);
        let Some(field) = find(&message.descriptor(), name) else {
            wrong.add(at, "UNKNOWN_FIELD", "is not a field");
            continue;
        };
        if message.has_field(&field) {
            wrong.add(at, "DUPLICATE_FIELD", "is there twice");
            continue;
        }
        // null stands for "not set", as proto3 JSON has it.
        if value.is_null() && !is_value(&field) {
            continue;
        }
        if let Some(value) = read_field(&field, value, &at, wrong) {
            message.set_field(&field, value);
        }
    }
}

/// A field by its name in the proto file, or in lowerCamelCase.
pub(crate) fn find(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name))
}

/// The path of a field inside of `path`.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn is_value(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(message) if message.full_name() == "google.protobuf.Value")
}

fn read_field(field: &FieldDescriptor, value: &Value, path: &str, wrong: &mut Violations) -> Option<Proto> {
    if field.is_map() {
        return read_map(field, value, path, wrong);
    }
    if !field.is_list() {
        return read(&field.kind(), value, path, wrong);
    }
    let Value::Array(items) = value else { return refuse(wrong, path, "an array") };
    let mut list = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        list.push(read(&field.kind(), item, &format!("{path}[{index}]"), wrong));
    }
    list.into_iter().collect::<Option<Vec<_>>>().map(Proto::List)
}

fn read_map(field: &FieldDescriptor, value: &Value, path: &str, wrong: &mut Violations) -> Option<Proto> {
    let Kind::Message(entry) = field.kind() else { return None };
    let Value::Object(object) = value else { return refuse(wrong, path, "an object") };
    let kind = entry.map_entry_value_field().kind();
    let mut map = std::collections::HashMap::with_capacity(object.len());
    for (name, value) in object {
        let at = join(path, name);
        // Every map of the protocol has text for keys.
        let Kind::String = entry.map_entry_key_field().kind() else {
            return refuse(wrong, &at, "another key");
        };
        let name = clean(name, &at, wrong);
        if let (Some(name), Some(value)) = (name, read(&kind, value, &at, wrong)) {
            map.insert(MapKey::String(name), value);
        }
    }
    Some(Proto::Map(map))
}

fn read(kind: &Kind, value: &Value, path: &str, wrong: &mut Violations) -> Option<Proto> {
    let read = match (kind, value) {
        (Kind::Message(message), value) => return read_message(message, value, path, wrong),
        (Kind::Enum(_), Value::String(name)) => return read_enum(kind, name, path, wrong),
        (Kind::Enum(_), _) => return refuse(wrong, path, "the name of a value"),
        (Kind::String, Value::String(text)) => return clean(text, path, wrong).map(Proto::String),
        (Kind::Bytes, Value::String(text)) => read_bytes(text),
        (Kind::Bool, Value::Bool(value)) => Some(Proto::Bool(*value)),
        (Kind::Double, Value::Number(number)) => number.as_f64().map(Proto::F64),
        (Kind::Float, Value::Number(number)) => {
            number.as_f64().map(|number| number as f32).filter(|number| number.is_finite()).map(Proto::F32)
        }
        (_, Value::Number(number)) => {
            read_integer(kind, number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)))
        }
        // Some JSON libraries cannot hold 64 bits: proto3 JSON allows text for these, and only these.
        (_, Value::String(text)) if is_64_bit(kind) => read_integer(kind, text.parse().ok()),
        _ => None,
    };
    read.or_else(|| refuse(wrong, path, expected(kind)))
}

fn read_message(
    message: &MessageDescriptor,
    value: &Value,
    path: &str,
    wrong: &mut Violations,
) -> Option<Proto> {
    if message.full_name().starts_with("google.protobuf.") {
        // Timestamp, Duration, Struct …: prost-reflect knows their JSON forms.
        if has_nul(value) {
            return clean("\0", path, wrong).map(Proto::String);
        }
        let mask = value.as_str().filter(|_| message.full_name() == "google.protobuf.FieldMask");
        let mask = mask.map(|mask| Value::String(camel(mask)));
        return match DynamicMessage::deserialize(message.clone(), mask.as_ref().unwrap_or(value)) {
            Ok(known) => Some(Proto::Message(known)),
            Err(_) => refuse(wrong, path, known_form(message.full_name())),
        };
    }
    let Value::Object(object) = value else { return refuse(wrong, path, "an object") };
    let mut inner = DynamicMessage::new(message.clone());
    fill(&mut inner, object, path, wrong);
    Some(Proto::Message(inner))
}

/// Fields in lowerCamelCase, as proto3 JSON writes them in a mask; our own names are those of the proto files.
fn camel(mask: &str) -> String {
    let mut written = String::with_capacity(mask.len());
    let mut upper = false;
    for letter in mask.chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                written.extend(letter.to_uppercase());
                upper = false;
            }
            letter => written.push(letter),
        }
    }
    written
}

fn read_enum(kind: &Kind, name: &str, path: &str, wrong: &mut Violations) -> Option<Proto> {
    let Kind::Enum(values) = kind else { return None };
    if let Some(value) = values.get_value_by_name(name) {
        return Some(Proto::EnumNumber(value.number()));
    }
    let names: Vec<_> =
        values.values().filter(|value| value.number() != 0).map(|v| v.name().to_owned()).collect();
    wrong.add(path, "UNKNOWN_VALUE", format!("must be one of {}", names.join(", ")));
    None
}

fn read_integer(kind: &Kind, number: Option<i128>) -> Option<Proto> {
    let number = number?;
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => i32::try_from(number).ok().map(Proto::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => i64::try_from(number).ok().map(Proto::I64),
        Kind::Uint32 | Kind::Fixed32 => u32::try_from(number).ok().map(Proto::U32),
        Kind::Uint64 | Kind::Fixed64 => u64::try_from(number).ok().map(Proto::U64),
        _ => None,
    }
}

fn read_bytes(text: &str) -> Option<Proto> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(text).ok().map(|bytes| Proto::Bytes(bytes.into()))
}

fn is_64_bit(kind: &Kind) -> bool {
    matches!(kind, Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64)
}

/// Text without NUL, which databases refuse.
fn clean(text: &str, path: &str, wrong: &mut Violations) -> Option<String> {
    if !text.contains('\0') {
        return Some(text.to_owned());
    }
    wrong.add(path, "INVALID_CHARACTER", "must not contain NUL");
    None
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(object) => object.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn refuse<T>(wrong: &mut Violations, path: &str, expected: &str) -> Option<T> {
    wrong.add(path, "INVALID_TYPE", format!("must be {expected}"));
    None
}

fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Double | Kind::Float => "a number",
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "a whole number of 32 bits",
        Kind::Uint32 | Kind::Fixed32 => "a whole number of 32 bits, not negative",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "a whole number of 64 bits",
        Kind::Uint64 | Kind::Fixed64 => "a whole number of 64 bits, not negative",
        Kind::Bool => "true or false",
        Kind::String => "text",
        Kind::Bytes => "base64",
        Kind::Enum(_) => "the name of a value",
        Kind::Message(_) => "an object",
    }
}

fn known_form(name: &str) -> &'static str {
    match name {
        "google.protobuf.Timestamp" => "a time such as \"2026-01-31T12:00:00Z\"",
        "google.protobuf.Duration" => "a duration such as \"30s\"",
        "google.protobuf.FieldMask" => "a list of fields such as \"a,b.c\"",
        "google.protobuf.Struct" => "an object",
        _ => "another value",
    }
}

/// Sets the field at a dotted path from the text of a query parameter, a path variable or a header. Repeated fields
/// take a further item; all others refuse a second value. Maps and messages cannot be written as text.
pub(crate) fn set_text(message: &mut DynamicMessage, path: &str, text: &str, wrong: &mut Violations) {
    set_below(message, path, path, text, wrong);
}

fn set_below(message: &mut DynamicMessage, whole: &str, path: &str, text: &str, wrong: &mut Violations) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(field) = find(&message.descriptor(), name) else {
        return wrong.add(whole, "UNKNOWN_FIELD", "is not a field");
    };
    if let Some(rest) = rest {
        let message_field = matches!(field.kind(), Kind::Message(_)) && !field.is_list() && !field.is_map();
        let Some(inner) = message_field.then(|| message.get_field_mut(&field).as_message_mut()).flatten()
        else {
            return wrong.add(whole, "UNKNOWN_FIELD", "is not a field");
        };
        return set_below(inner, whole, rest, text, wrong);
    }
    if field.is_map()
        || matches!(field.kind(), Kind::Message(m) if !m.full_name().starts_with("google.protobuf."))
    {
        return wrong.add(whole, "INVALID_TYPE", "cannot be set here");
    }
    if !field.is_list() && message.has_field(&field) {
        return wrong.add(whole, "DUPLICATE_FIELD", "is there twice");
    }
    let Some(value) = read(&field.kind(), &as_json(&field.kind(), text), whole, wrong) else { return };
    if field.is_list() {
        if let Some(list) = message.get_field_mut(&field).as_list_mut() {
            list.push(value);
        }
    } else {
        message.set_field(&field, value);
    }
}

/// The JSON value that a text stands for in a field of this kind.
fn as_json(kind: &Kind, text: &str) -> Value {
    let parsed = match kind {
        Kind::Bool => text.parse().ok().map(Value::Bool),
        Kind::Double | Kind::Float => {
            text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number)
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            text.parse::<i64>().ok().map(Into::into)
        }
        Kind::Uint32 | Kind::Fixed32 | Kind::Uint64 | Kind::Fixed64 => {
            text.parse::<u64>().ok().map(Into::into)
        }
        Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Enum(_) => None,
    };
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
