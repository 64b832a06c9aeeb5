//! WordprocessingML and the text of PresentationML as HTML. Both name paragraphs, runs and tables alike.

use std::collections::HashMap;

use quick_xml::events::BytesStart;

use super::MAX_HTML_BYTES;
use super::archive::Archive;
use super::xml::{Step, attribute, each, escape};

/// The text of `word/document.xml`.
pub(super) fn text(archive: &mut Archive<'_>) -> Option<String> {
    let links = relations(archive, "word/_rels/document.xml.rels");
    let xml = archive.part("word/document.xml")?;
    let mut writer = Writer::new(links);
    each(&xml, |step| writer.step(step));
    Some(writer.finish())
}

/// The text of all slides, in the order of their numbers.
pub(super) fn slides(archive: &mut Archive<'_>) -> String {
    let number = |name: &String| -> Option<u32> {
        name.strip_prefix("ppt/slides/slide")?.strip_suffix(".xml")?.parse().ok()
    };
    let mut slides: Vec<u32> = archive.names().iter().filter_map(number).collect();
    slides.sort_unstable();
    let mut html = String::new();
    for slide in slides {
        let links = relations(archive, &format!("ppt/slides/_rels/slide{slide}.xml.rels"));
        let Some(xml) = archive.part(&format!("ppt/slides/slide{slide}.xml")) else { break };
        let mut writer = Writer::new(links);
        each(&xml, |step| writer.step(step));
        html.push_str(&writer.finish());
        if html.len() > MAX_HTML_BYTES {
            break;
        }
    }
    html
}

/// The addresses that a part links to, by the id under which it does.
fn relations(archive: &mut Archive<'_>, part: &str) -> HashMap<String, String> {
    let mut links = HashMap::new();
    let Some(xml) = archive.part(part) else { return links };
    each(&xml, |step| {
        if let Step::Start("Relationship", tag) = step
            && attribute(tag, "TargetMode").is_some_and(|mode| mode == "External")
            && let (Some(id), Some(target)) = (attribute(tag, "Id"), attribute(tag, "Target"))
        {
            links.insert(id, target);
        }
        true
    });
    links
}

/// The paragraph being read.
#[derive(Default)]
struct Paragraph {
    heading: Option<u8>,
    item: bool,
    html: String,
}

struct Writer {
    links: HashMap<String, String>,
    html: String,
    paragraph: Paragraph,
    /// Title of the shape that the paragraphs are in.
    title: bool,
    /// The list that is open.
    list: bool,
    /// Bold and italic of the run being read.
    run: (bool, bool),
    /// Inside the properties of a run, and not of a paragraph's mark.
    in_run: bool,
    in_text: bool,
    /// A link from the properties of a run: the run's alone.
    link: Option<String>,
    linked: bool,
}

impl Writer {
    fn new(links: HashMap<String, String>) -> Self {
        Self {
            links,
            html: String::new(),
            paragraph: Paragraph::default(),
            title: false,
            list: false,
            run: (false, false),
            in_run: false,
            in_text: false,
            link: None,
            linked: false,
        }
    }

    fn finish(mut self) -> String {
        self.close_list();
        self.html
    }

    fn step(&mut self, step: Step<'_>) -> bool {
        match step {
            Step::Start(name, tag) => self.start(name, tag),
            Step::End(name) => self.end(name),
            Step::Text(text) if self.in_text => self.text(text),
            Step::Text(_) => {}
        }
        self.html.len() < MAX_HTML_BYTES
    }

    fn start(&mut self, name: &str, tag: &BytesStart<'_>) {
        let on = |tag: &BytesStart<'_>| {
            !attribute(tag, "val")
                .is_some_and(|value| matches!(value.as_str(), "0" | "false" | "off" | "none"))
        };
        match name {
            "p" => {
                self.paragraph = Paragraph { heading: self.title.then_some(2), ..Paragraph::default() };
            }
            "pStyle" => self.paragraph.heading = attribute(tag, "val").and_then(|style| level(&style)),
            "outlineLvl" => {
                let level = attribute(tag, "val").and_then(|level| level.parse::<u8>().ok());
                self.paragraph.heading = level.filter(|level| *level < 6).map(|level| level + 1);
            }
            "numPr" | "buChar" | "buAutoNum" => self.paragraph.item = true,
            "ph" => {
                self.title =
                    attribute(tag, "type").is_some_and(|kind| matches!(kind.as_str(), "title" | "ctrTitle"))
            }
            "r" => (self.run, self.in_run) = ((false, false), true),
            "b" if self.in_run => self.run.0 = on(tag),
            "i" if self.in_run => self.run.1 = on(tag),
            "rPr" if self.in_run => {
                let set =
                    |name| attribute(tag, name).is_some_and(|value| matches!(value.as_str(), "1" | "true"));
                self.run = (set("b"), set("i"));
            }
            "hlinkClick" => self.link = attribute(tag, "id").and_then(|id| self.links.get(&id).cloned()),
            "hyperlink" => {
                let target = attribute(tag, "id").and_then(|id| self.links.get(&id).cloned());
                if let Some(target) = target {
                    self.open_link(&target);
                    self.linked = true;
                }
            }
            "t" => self.in_text = true,
            "br" | "cr" => self.paragraph.html.push_str("<br>"),
            "tab" if self.in_run => self.paragraph.html.push(' '),
            "tbl" => {
                self.close_list();
                self.html.push_str("<table>");
            }
            "tr" => self.html.push_str("<tr>"),
            "tc" => self.html.push_str("<td>"),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "p" => self.end_paragraph(),
            "sp" => self.title = false,
            "t" => self.in_text = false,
            "r" => (self.in_run, self.link) = (false, None),
            "hyperlink" if std::mem::take(&mut self.linked) => self.paragraph.html.push_str("</a>"),
            "tc" => {
                self.close_list();
                self.html.push_str("</td>");
            }
            "tr" => self.html.push_str("</tr>"),
            "tbl" => self.html.push_str("</table>"),
            _ => {}
        }
    }

    fn open_link(&mut self, target: &str) {
        self.paragraph.html.push_str("<a href=\"");
        escape(&mut self.paragraph.html, target);
        self.paragraph.html.push_str("\">");
    }

    fn text(&mut self, text: &str) {
        let link = self.link.clone().filter(|_| !self.linked);
        if let Some(target) = &link {
            self.open_link(target);
        }
        let (bold, italic) = self.run;
        let html = &mut self.paragraph.html;
        html.push_str(if bold { "<b>" } else { "" });
        html.push_str(if italic { "<i>" } else { "" });
        escape(html, text);
        html.push_str(if italic { "</i>" } else { "" });
        html.push_str(if bold { "</b>" } else { "" });
        if link.is_some() {
            html.push_str("</a>");
        }
    }

    fn end_paragraph(&mut self) {
        let paragraph = std::mem::take(&mut self.paragraph);
        if paragraph.html.trim().is_empty() {
            return;
        }
        let item = paragraph.item && paragraph.heading.is_none();
        if item && !self.list {
            self.html.push_str("<ul>");
            self.list = true;
        } else if !item {
            self.close_list();
        }
        let element = match paragraph.heading {
            Some(level) => format!("h{level}"),
            None if item => "li".to_owned(),
            None => "p".to_owned(),
        };
        self.html.push_str(&format!("<{element}>{}</{element}>", paragraph.html));
    }

    fn close_list(&mut self) {
        if std::mem::take(&mut self.list) {
            self.html.push_str("</ul>");
        }
    }
}

/// The level of a paragraph style: `Title` and `Heading1` to `Heading6`, as Word names them whatever its language.
fn level(style: &str) -> Option<u8> {
    let style = style.to_ascii_lowercase();
    if style == "title" {
        return Some(1);
    }
    style.strip_prefix("heading")?.trim().parse().ok().filter(|level| (1..=6).contains(level))
}
