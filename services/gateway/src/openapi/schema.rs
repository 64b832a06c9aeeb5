//! Protobuf messages as JSON Schema 2020-12, as proto3 JSON shows them.

use std::collections::{BTreeMap, HashMap};

use prost_reflect::{
    DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    MethodDescriptor,
};
use serde_json::{Map, Value, json};

// Values of google.api.FieldBehavior.
const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;
const INPUT_ONLY: i32 = 4;

/// Schemas collected on the way, each message once.
pub(super) struct Schemas {
    behavior: Option<ExtensionDescriptor>,
    /// Comments by file and source path.
    comments: HashMap<(String, Vec<i32>), String>,
    found: BTreeMap<String, Value>,
}

impl Schemas {
    pub(super) fn new(pool: &DescriptorPool) -> Self {
        let mut comments = HashMap::new();
        for file in pool.file_descriptor_protos() {
            for location in file.source_code_info.iter().flat_map(|info| &info.location) {
                let text = location.leading_comments().trim();
                if !text.is_empty() {
                    comments.insert((file.name().to_owned(), location.path.clone()), unindent(text));
                }
            }
        }
        Self {
            behavior: pool.get_extension_by_name("google.api.field_behavior"),
            comments,
            found: BTreeMap::new(),
        }
    }

    /// All schemas that were needed.
    pub(super) fn finish(self) -> Map<String, Value> {
        self.found.into_iter().collect()
    }

    fn comment(&self, file: &str, path: &[i32]) -> String {
        self.comments.get(&(file.to_owned(), path.to_vec())).cloned().unwrap_or_default()
    }

    /// The comment of a method, without the line for grpcurl, which is of no use over REST.
    pub(super) fn method_comment(&self, method: &MethodDescriptor) -> String {
        let comment = self.comment(method.parent_file().name(), method.path());
        comment.lines().filter(|line| !line.starts_with("`grpcurl")).collect::<Vec<_>>().join("\n")
    }

    /// A reference to the schema of a message, or a known type in place.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(known) = known(message.full_name()) {
            return known;
        }
        let name = schema_name(message.full_name());
        if !self.found.contains_key(&name) {
            // Holds the place: messages may contain themselves.
            self.found.insert(name.clone(), Value::Null);
            let schema = self.object(message, &[]);
            self.found.insert(name.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// The schema of a body: the message without what the path binds.
    pub(super) fn body<'a>(
        &mut self,
        message: &MessageDescriptor,
        bound: impl Iterator<Item = &'a str>,
    ) -> Value {
        let bound: Vec<&str> = bound.collect();
        if bound.is_empty() { self.message(message) } else { self.object(message, &bound) }
    }

    fn object(&mut self, message: &MessageDescriptor, without: &[&str]) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in message.fields().filter(|field| !without.contains(&field.name())) {
            if self.behaviors(&field).contains(&REQUIRED) {
                required.push(field.name().to_owned());
            }
            properties.insert(field.name().to_owned(), self.field(&field));
        }
        let description = self.comment(message.parent_file().name(), message.path());
        let mut schema = json!({"type": "object", "description": description, "properties": properties});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    /// The schema of a field, with its comment.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let values = self.kind(&entry.map_entry_value_field().kind());
                json!({"type": "object", "additionalProperties": values})
            }
            kind if field.is_list() => json!({"type": "array", "items": self.kind(&kind)}),
            kind => self.kind(&kind),
        };
        let comment = self.comment(field.parent_message().parent_file().name(), field.path());
        if !comment.is_empty() {
            schema["description"] = json!(comment);
        }
        let behaviors = self.behaviors(field);
        if behaviors.contains(&OUTPUT_ONLY) {
            schema["readOnly"] = json!(true);
        }
        if behaviors.contains(&INPUT_ONLY) {
            schema["writeOnly"] = json!(true);
        }
        schema
    }

    fn behaviors(&self, field: &FieldDescriptor) -> Vec<i32> {
        let Some(behavior) = &self.behavior else { return Vec::new() };
        let options = field.options();
        let value = options.get_extension(behavior);
        value.as_list().into_iter().flatten().filter_map(prost_reflect::Value::as_enum_number).collect()
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Double => json!({"type": "number", "format": "double"}),
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "int64", "minimum": 0}),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "integer", "format": "int64"}),
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "integer", "minimum": 0}),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Enum(values) => self.enumeration(values),
            Kind::Message(message) => self.message(message),
        }
    }

    fn enumeration(&self, values: &EnumDescriptor) -> Value {
        let file = values.parent_file();
        let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
        let lines = values
            .values()
            .map(|value| format!("- `{}`: {}", value.name(), self.comment(file.name(), value.path())));
        let description = format!(
            "{}\n\n{}",
            self.comment(file.name(), values.path()),
            lines.collect::<Vec<_>>().join("\n")
        );
        json!({"type": "string", "enum": names, "description": description})
    }
}

/// `crawlmesh.job.v1.Page.Verdict` is `Page.Verdict`: names are unique among our packages.
fn schema_name(full: &str) -> String {
    let mut parts = full.split('.').skip_while(|part| !part.starts_with(char::is_uppercase)).peekable();
    if parts.peek().is_none() { full.to_owned() } else { parts.collect::<Vec<_>>().join(".") }
}

/// The types that proto3 JSON writes in a form of their own.
fn known(name: &str) -> Option<Value> {
    Some(match name {
        "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
        "google.protobuf.Duration" => {
            json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$", "examples": ["30s"]})
        }
        "google.protobuf.FieldMask" => json!({"type": "string"}),
        "google.protobuf.Struct" => json!({"type": "object", "additionalProperties": true}),
        "google.protobuf.Value" => json!({}),
        "google.protobuf.ListValue" => json!({"type": "array"}),
        "google.protobuf.Empty" => json!({"type": "object"}),
        _ => return None,
    })
}

/// Comments of proto files keep the blank after `//`.
fn unindent(text: &str) -> String {
    text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}
