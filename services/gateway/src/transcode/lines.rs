//! Bodies of lines: a list of URLs as a file has it, one a line, or as NDJSON.
//!
//! Promises: what is wrong is told with the number of its line, counted from 1, also where the owner of the method finds it.

use http::HeaderMap;
use mesh::Violations;
use serde_json::{Map, Value};
use tonic::Status;
use tonic_types::StatusExt;

use super::route::{BodyRule, Route};
use crate::{body::media_type, problem::Problem};

/// The field that lines stand for.
const FIELD: &str = "urls";

/// How a line is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The line is the URL; empty ones, and those that begin with `#`, are none.
    Text,
    /// The line is a JSON text with the URL, or an object with it as `url`; empty ones are none.
    NdJson,
}

/// The content types of lines, for those who describe a route.
pub(crate) const CONTENT_TYPES: [&str; 2] = ["text/plain", "application/x-ndjson"];

/// Whether a request of this route may come as lines: those that take a list of URLs beside other fields.
pub(crate) fn taken_by(route: &Route) -> bool {
    let field = route.method.input().get_field_by_name(FIELD);
    route.body == BodyRule::Whole && field.is_some_and(|field| field.is_list())
}

/// URLs, and the lines on which they stood.
#[derive(Debug)]
pub(crate) struct Lines {
    urls: Vec<Value>,
    numbers: Vec<usize>,
}

impl Lines {
    /// Reads a body that says that it is lines. `None`: it does not, or the route takes none.
    pub(crate) fn read(route: &Route, headers: &HeaderMap, body: &[u8]) -> Result<Option<Self>, Problem> {
        let form = match media_type(headers) {
            Some("text/plain") => Form::Text,
            Some("application/x-ndjson") => Form::NdJson,
            _ => return Ok(None),
        };
        if body.is_empty() || !taken_by(route) {
            return Ok(None);
        }
        let mut lines = Self { urls: Vec::new(), numbers: Vec::new() };
        let mut wrong = Violations::new();
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
            let Ok(line) = std::str::from_utf8(line) else {
                wrong.add(name(number), "INVALID_ENCODING", "is not UTF-8");
                continue;
            };
            match url(line.trim(), form) {
                Ok(None) => {}
                Ok(Some(url)) => {
                    lines.urls.push(Value::String(url));
                    lines.numbers.push(number);
                }
                Err((reason, description)) => wrong.add(name(number), reason, description),
            }
        }
        wrong.into_result()?;
        Ok(Some(lines))
    }

    /// The body as JSON would have it, and the lines of its URLs.
    pub(crate) fn into_body(self) -> (Value, Numbers) {
        (Value::Object(Map::from_iter([(FIELD.to_owned(), Value::Array(self.urls))])), Numbers(self.numbers))
    }
}

/// The lines of URLs, by their places in the list.
#[derive(Debug)]
pub(crate) struct Numbers(Vec<usize>);

impl Numbers {
    /// Names lines where a refusal names places in the list.
    pub(crate) fn rename(&self, status: &Status) -> Status {
        let mut details = status.get_error_details();
        if let Some(mut request) = details.bad_request().cloned() {
            for violation in &mut request.field_violations {
                violation.field = self.line(&violation.field).unwrap_or_else(|| violation.field.clone());
            }
            details.set_bad_request(request.field_violations);
        }
        if let Some(mut info) = details.error_info().cloned() {
            for value in info.metadata.values_mut() {
                *value = self.line(value).unwrap_or_else(|| value.clone());
            }
            details.set_error_info(info.reason, info.domain, info.metadata);
        }
        let message = status.message();
        let (place, rest) = message.find([':', ' ']).map_or((message, ""), |end| message.split_at(end));
        let message = self.line(place).map_or_else(|| message.to_owned(), |line| format!("{line}{rest}"));
        Status::with_error_details(status.code(), message, details)
    }

    /// The line of `urls[7]`.
    fn line(&self, field: &str) -> Option<String> {
        let place = field.strip_prefix(FIELD)?.strip_prefix('[')?.strip_suffix(']')?;
        self.0.get(place.parse::<usize>().ok()?).map(|number| name(*number))
    }
}

fn name(number: usize) -> String {
    format!("line {number}")
}

/// The URL of a line, if it has one.
fn url(line: &str, form: Form) -> Result<Option<String>, (&'static str, &'static str)> {
    if line.is_empty() || (form == Form::Text && line.starts_with('#')) {
        return Ok(None);
    }
    if form == Form::Text {
        return if line.contains('\0') {
            Err(("INVALID_CHARACTER", "must not contain NUL"))
        } else {
            Ok(Some(line.to_owned()))
        };
    }
    let wrong = ("INVALID_TYPE", "must be a URL in quotes, or an object with nothing but `url`");
    let value: Value = serde_json::from_str(line).map_err(|_| ("INVALID_JSON", "is not JSON"))?;
    let url = match value {
        Value::String(url) => url,
        Value::Object(mut object) => match (object.remove("url"), object.is_empty()) {
            (Some(Value::String(url)), true) => url,
            _ => return Err(wrong),
        },
        _ => return Err(wrong),
    };
    if url.contains('\0') { Err(("INVALID_CHARACTER", "must not contain NUL")) } else { Ok(Some(url)) }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::transcode::route::Routes;

    fn read(path: &str, media: &str, body: &[u8]) -> Result<Option<(Value, Numbers)>, Value> {
        let routes = Routes::read(&DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap()).unwrap();
        let (route, _) = routes.find(&Method::POST, path).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", media.parse().unwrap());
        let lines = Lines::read(route, &headers, body).map_err(|problem| problem.document("/", "r"))?;
        Ok(lines.map(Lines::into_body))
    }

    #[test]
    fn lines_are_the_urls_of_a_request() {
        let urls = serde_json::json!({"urls": ["https://a.test/", "https://b.test/"]});
        for (media, body) in [
            ("text/plain", "https://a.test/\n\n# a comment\n  https://b.test/ \r\n"),
            ("text/plain; charset=utf-8", "\u{feff}https://a.test/\nhttps://b.test/"),
            ("application/x-ndjson", "\"https://a.test/\"\n{\"url\": \"https://b.test/\"}\n"),
        ] {
            let (body, _) = read("/v1/crawl-jobs", media, body.as_bytes()).unwrap().unwrap();
            assert_eq!(body, urls, "{media}");
        }
        assert!(read("/v1/crawl-jobs", "application/json", b"{}").unwrap().is_none());
        assert!(read("/v1/jobs/x:cancel", "text/plain", b"x").unwrap().is_none(), "it takes no list");
    }

    #[test]
    fn what_is_wrong_has_the_number_of_its_line() {
        let body = b"\"https://a.test/\"\nnonsense\n\n7\n{\"url\":\"x\",\"depth\":1}\n\"\xff\"\n";
        let document = read("/v1/crawl-jobs", "application/x-ndjson", body).unwrap_err();
        let errors: Vec<(&str, &str)> = document["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| (error["field"].as_str().unwrap(), error["reason"].as_str().unwrap()))
            .collect();
        assert_eq!(
            errors,
            [
                ("line 2", "INVALID_JSON"),
                ("line 4", "INVALID_TYPE"),
                ("line 5", "INVALID_TYPE"),
                ("line 6", "INVALID_ENCODING")
            ]
        );
    }

    #[test]
    fn what_the_owner_finds_has_the_number_of_its_line_too() {
        let text = b"# two lines of comment\n#\nhttps://a.test/\nnonsense\n";
        let (_, numbers) = read("/v1/crawl-jobs", "text/plain", text).unwrap().unwrap();
        let mut violations = Violations::new();
        violations.add("urls[1]", "INVALID_URL", "is not a URL");
        violations.add("labels[x]", "INVALID_LABEL", "is not a label");
        let renamed = numbers.rename(&violations.into_result().unwrap_err());
        assert_eq!(renamed.message(), "line 4: is not a URL (and 1 more)");
        let fields = renamed.get_details_bad_request().unwrap().field_violations;
        assert_eq!((fields[0].field.as_str(), fields[1].field.as_str()), ("line 4", "labels[x]"));
        let target = mesh::refuse_with(
            tonic::Code::PermissionDenied,
            "TARGET_NOT_ALLOWED",
            "urls[0] is a target that is not allowed",
            &[("field", "urls[0]")],
        );
        let renamed = numbers.rename(&target);
        assert_eq!(renamed.message(), "line 3 is a target that is not allowed");
        assert_eq!(renamed.get_details_error_info().unwrap().metadata["field"], "line 3");
    }
}
