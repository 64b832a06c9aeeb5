//! Layers the settings and finds every problem in them.
//!
//! Each overriding value is tried alone on top of the defaults, so that a bad one is named by its key instead of hiding
//! the next. Problems name keys and never show values: a value may be a secret.

use std::{fmt, fs, path::Path};

use toml::{Table, Value};

use super::Config;

/// What is wrong with the settings.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Adds a problem: the key, and what must be different.
    pub fn add(&mut self, key: impl fmt::Display, problem: impl fmt::Display) {
        self.0.push(format!("{key} {problem}"));
    }
}

/// The settings cannot be used. Its `Display` has every problem on a line of its own.
#[derive(Debug)]
pub struct Invalid(Vec<String>);

impl Invalid {
    /// The problems, one text each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings are not valid:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Invalid {}

/// A value that replaces a default.
struct Override {
    path: Vec<String>,
    value: Value,
    origin: String,
}

/// Loads the settings: the defaults, then `file`, then variables of `env` such as `JOB__DATABASE__URL`.
///
/// A variable is read by the type of its default; a list may be written with commas. Fails with all problems at once.
pub fn load<C: Config>(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<C, Invalid> {
    let defaults = defaults::<C>()?;
    let mut problems = Problems::default();
    let mut overrides = Vec::new();
    if let Some(file) = file {
        read_file(file, &mut overrides, &mut problems);
    }
    read_env::<C>(&defaults, env, &mut overrides, &mut problems);
    build(defaults, overrides, problems)
}

/// Loads the settings from the defaults and `overlay`, for processes that make their own.
pub fn with<C: Config>(overlay: Table) -> Result<C, Invalid> {
    with_env(overlay, std::iter::empty())
}

/// [`with`], and then variables of `env` as [`load`] reads them.
pub fn with_env<C: Config>(
    overlay: Table,
    env: impl Iterator<Item = (String, String)>,
) -> Result<C, Invalid> {
    let defaults = defaults::<C>()?;
    let mut problems = Problems::default();
    let mut overrides = Vec::new();
    flatten(&overlay, &mut Vec::new(), "", &mut overrides);
    read_env::<C>(&defaults, env, &mut overrides, &mut problems);
    build(defaults, overrides, problems)
}

/// The variables of this process. Those that are not text are none of ours.
pub fn env() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn defaults<C: Config>() -> Result<Table, Invalid> {
    C::DEFAULTS.parse().map_err(|error| Invalid(vec![format!("the defaults are not TOML: {error}")]))
}

fn read_file(file: &Path, overrides: &mut Vec<Override>, problems: &mut Problems) {
    let shown = file.display();
    match fs::read_to_string(file) {
        Err(error) => problems.add(shown, format!("cannot be read: {error}")),
        Ok(text) => match text.parse::<Table>() {
            // Only the reason and the line: the rest of the message quotes the line, which may hold a secret.
            Err(error) => {
                let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
                problems.add(shown, format!("is not TOML: {} (line {line})", error.message()));
            }
            Ok(table) => flatten(&table, &mut Vec::new(), &format!(" (from {shown})"), overrides),
        },
    }
}

fn read_env<C: Config>(
    defaults: &Table,
    env: impl Iterator<Item = (String, String)>,
    overrides: &mut Vec<Override>,
    problems: &mut Problems,
) {
    let prefix = format!("{}__", C::SERVICE.as_str().to_uppercase());
    for (name, text) in env {
        let Some(rest) = name.strip_prefix(&prefix) else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        match find(defaults, &path) {
            None | Some(Value::Table(_)) => problems.add(&name, "is not a setting"),
            Some(default) => match parse(&text, default) {
                Ok(value) => overrides.push(Override { path, value, origin: format!(" (from {name})") }),
                Err(problem) => problems.add(&name, problem),
            },
        }
    }
}

fn flatten(table: &Table, path: &mut Vec<String>, origin: &str, overrides: &mut Vec<Override>) {
    for (key, value) in table {
        path.push(key.clone());
        match value {
            Value::Table(inner) if !inner.is_empty() => flatten(inner, path, origin, overrides),
            Value::Table(_) => {}
            value => overrides.push(Override {
                path: path.clone(),
                value: value.clone(),
                origin: origin.to_owned(),
            }),
        }
        path.pop();
    }
}

fn find<'a>(table: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (key, rest) = path.split_first()?;
    match (table.get(key)?, rest) {
        (value, []) => Some(value),
        (Value::Table(inner), rest) => find(inner, rest),
        _ => None,
    }
}

fn replace(table: &mut Table, path: &[String], new: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), new);
        }
        [key, rest @ ..] => {
            if let Some(Value::Table(inner)) = table.get_mut(key) {
                replace(inner, rest, new);
            }
        }
    }
}

fn parse(text: &str, default: &Value) -> Result<Value, String> {
    let expected = |kind| format!("must be {kind}");
    match default {
        Value::String(_) => Ok(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().map(Value::Integer).map_err(|_| expected("a whole number")),
        Value::Float(_) => text.trim().parse().map(Value::Float).map_err(|_| expected("a number")),
        Value::Boolean(_) => text.trim().parse().map(Value::Boolean).map_err(|_| expected("true or false")),
        Value::Array(items) => parse_list(text, items.first()),
        Value::Datetime(_) | Value::Table(_) => Err("cannot be set by a variable".to_owned()),
    }
}

fn parse_list(text: &str, item: Option<&Value>) -> Result<Value, String> {
    let text = text.trim();
    if text.starts_with('[') {
        let document = format!("list = {text}").parse::<Table>().ok();
        return document
            .and_then(|mut table| table.remove("list"))
            .ok_or_else(|| "must be a list".to_owned());
    }
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let values: Result<Vec<Value>, String> = match item {
        Some(item) => parts.map(|part| parse(part, item)).collect(),
        None => Ok(parts.map(|part| Value::String(part.to_owned())).collect()),
    };
    values.map(Value::Array)
}

/// A whole number may stand for a fraction; else the kind of value must be that of the default.
fn fit(value: Value, default: &Value) -> Result<Value, String> {
    match (value, default) {
        (Value::Integer(number), Value::Float(_)) => Ok(Value::Float(number as f64)),
        (value, default) if value.same_type(default) => Ok(value),
        (_, default) => Err(format!("must be of type {}", default.type_str())),
    }
}

fn build<C: Config>(defaults: Table, overrides: Vec<Override>, mut problems: Problems) -> Result<C, Invalid> {
    // Broken defaults are a mistake of ours; nothing that follows would make sense.
    if let Err(error) = C::deserialize(defaults.clone()) {
        return Err(Invalid(vec![format!("the defaults do not fit: {}", error.message())]));
    }
    let mut merged = defaults.clone();
    for Override { path, value, origin } in overrides {
        let key = path.join(".");
        let value = match find(&defaults, &path) {
            None => Err("is not a setting".to_owned()),
            Some(default) => fit(value, default),
        };
        let tried = value.and_then(|value| {
            let mut alone = defaults.clone();
            replace(&mut alone, &path, value.clone());
            C::deserialize(alone).map(|_| value).map_err(|error| format!("is not valid: {}", mask(&error)))
        });
        match tried {
            Ok(value) => replace(&mut merged, &path, value),
            Err(problem) => problems.add(format!("{key}{origin}"), problem),
        }
    }
    let config = C::deserialize(merged).map_err(|error| Invalid(vec![error.message().to_owned()]))?;
    config.server().validate(&mut problems);
    config.tls().validate(&mut problems);
    config.telemetry().validate(&mut problems);
    config.peers().validate(&mut problems);
    config.validate(&mut problems);
    if problems.0.is_empty() { Ok(config) } else { Err(Invalid(problems.0)) }
}

/// The message of a deserialization error on one line. serde quotes wrong values; a secret is any text, so never wrong.
fn mask(error: &toml::de::Error) -> String {
    error.message().lines().next().unwrap_or("unknown").to_owned()
}
