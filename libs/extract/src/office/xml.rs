//! What the XML of all office formats has in common: events by local name, attributes, and the text of a few fields.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::{About, MAX_HTML_BYTES};
use crate::feed;

/// Longest field of what a document says of itself, in bytes.
const MAX_FIELD_BYTES: usize = 4_096;

/// What happens in a document, in order.
pub(super) enum Step<'e> {
    /// An element begins, by its local name.
    Start(&'e str, &'e BytesStart<'e>),
    /// An element ends.
    End(&'e str),
    /// Characters.
    Text(&'e str),
}

/// Calls `take` for each step until the XML ends, breaks off, or `take` says that it has enough.
pub(super) fn each(xml: &str, mut take: impl FnMut(Step<'_>) -> bool) {
    let mut reader = Reader::from_str(xml);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    while let Ok(event) = reader.read_event() {
        let more = match &event {
            Event::Start(tag) => take(Step::Start(name(tag.local_name().as_ref()), tag)),
            Event::Empty(tag) => {
                take(Step::Start(name(tag.local_name().as_ref()), tag))
                    && take(Step::End(name(tag.local_name().as_ref())))
            }
            Event::End(tag) => take(Step::End(name(tag.local_name().as_ref()))),
            Event::Text(text) => text.decode().is_ok_and(|text| take(Step::Text(&text))),
            Event::CData(text) => text.decode().is_ok_and(|text| take(Step::Text(&text))),
            Event::GeneralRef(entity) => take(Step::Text(&feed::resolved(entity))),
            Event::Eof => false,
            _ => true,
        };
        if !more {
            return;
        }
    }
}

fn name(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// An attribute by its local name.
pub(super) fn attribute(tag: &BytesStart<'_>, wanted: &str) -> Option<String> {
    let found = tag
        .attributes()
        .flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == wanted.as_bytes())?;
    found.normalized_value(XmlVersion::Implicit1_0).ok().map(std::borrow::Cow::into_owned)
}

/// Appends text to HTML.
pub(super) fn escape(html: &mut String, text: &str) {
    if html.len() < MAX_HTML_BYTES {
        html.push_str(&quick_xml::escape::escape(text));
    }
}

/// Title, author, time, language and description, from `docProps/core.xml` or `meta.xml`.
pub(super) fn about(xml: &str) -> About {
    let (mut about, mut text) = (About::default(), String::new());
    each(xml, |step| {
        match step {
            Step::Start(..) => text.clear(),
            Step::Text(more) if text.len() + more.len() <= MAX_FIELD_BYTES => text.push_str(more),
            Step::Text(_) => {}
            Step::End(name) => {
                let field = match name {
                    "title" => &mut about.title,
                    "creator" | "initial-creator" => &mut about.author,
                    "created" | "creation-date" => &mut about.created,
                    "language" => &mut about.language,
                    "description" => &mut about.description,
                    _ => return true,
                };
                let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
                if field.is_none() && !line.is_empty() {
                    *field = Some(line);
                }
                text.clear();
            }
        }
        true
    });
    about
}
