//! OpenDocument text, spreadsheets and presentations (`content.xml`) as HTML.

use quick_xml::events::BytesStart;

use super::MAX_HTML_BYTES;
use super::archive::Archive;
use super::xml::{Step, attribute, each, escape};

/// How often a cell that says that it is repeated is; empty cells are repeated to the edge of the sheet.
const MAX_REPEATED: usize = 64;

/// The text of `content.xml`.
pub(super) fn text(archive: &mut Archive<'_>) -> Option<String> {
    let xml = archive.part("content.xml")?;
    let mut writer = Writer::default();
    each(&xml, |step| writer.step(step));
    Some(writer.html)
}

#[derive(Default)]
struct Writer {
    html: String,
    /// Elements that are open and have an end in HTML.
    open: Vec<&'static str>,
    /// Depth below an element whose text is not shown: notes of the author, settings.
    silent: usize,
    /// Where the open cell began, and how often it is repeated.
    cell: Option<(usize, usize)>,
    /// Paragraphs and headings that are open: text elsewhere is white space of the file.
    paragraphs: usize,
}

impl Writer {
    fn step(&mut self, step: Step<'_>) -> bool {
        match step {
            Step::Start(name, _) if self.silent > 0 || silent(name) => self.silent += 1,
            Step::End(_) if self.silent > 0 => self.silent -= 1,
            Step::Text(text) if self.silent == 0 && self.paragraphs > 0 => escape(&mut self.html, text),
            Step::Start(name, tag) => self.start(name, tag),
            Step::End(name) => self.end(name),
            Step::Text(_) => {}
        }
        self.html.len() < MAX_HTML_BYTES
    }

    fn start(&mut self, name: &str, tag: &BytesStart<'_>) {
        let number = |wanted| attribute(tag, wanted).and_then(|value| value.parse::<usize>().ok());
        match name {
            "h" => {
                let level = number("outline-level").unwrap_or(1).clamp(1, 6);
                self.begin(["h1", "h2", "h3", "h4", "h5", "h6"][level - 1]);
                self.paragraphs += 1;
            }
            "p" => {
                self.begin("p");
                self.paragraphs += 1;
            }
            "list" => self.begin("ul"),
            "list-item" | "list-header" => self.begin("li"),
            "table" => {
                // The name of a sheet is what stands on its tab.
                if let Some(name) = attribute(tag, "name") {
                    self.html.push_str("<h2>");
                    escape(&mut self.html, &name);
                    self.html.push_str("</h2>");
                }
                self.begin("table");
            }
            "table-row" => self.begin("tr"),
            "table-cell" => {
                let repeated = number("number-columns-repeated").unwrap_or(1).clamp(1, MAX_REPEATED);
                self.cell = Some((self.html.len(), repeated));
                let wide = number("number-columns-spanned").unwrap_or(1);
                self.html.push_str(&format!("<td colspan={wide}>"));
                self.open.push("td");
            }
            "a" => {
                self.html.push_str("<a href=\"");
                escape(&mut self.html, &attribute(tag, "href").unwrap_or_default());
                self.html.push_str("\">");
                self.open.push("a");
            }
            "s" | "tab" => self.html.push(' '),
            "line-break" => self.html.push_str("<br>"),
            _ => {}
        }
    }

    fn begin(&mut self, element: &'static str) {
        self.html.push_str(&format!("<{element}>"));
        self.open.push(element);
    }

    fn end(&mut self, name: &str) {
        match name {
            "h" | "p" => self.paragraphs = self.paragraphs.saturating_sub(1),
            "list" | "list-item" | "list-header" | "table" | "table-row" | "table-cell" | "a" => {}
            _ => return,
        }
        if let Some(element) = self.open.pop() {
            self.html.push_str(&format!("</{element}>"));
        }
        if name == "table-cell"
            && let Some((start, repeated)) = self.cell.take()
        {
            let cell = self.html[start..].to_owned();
            for _ in 1..repeated {
                if self.html.len() + cell.len() <= MAX_HTML_BYTES {
                    self.html.push_str(&cell);
                }
            }
        }
    }
}

fn silent(name: &str) -> bool {
    matches!(
        name,
        "annotation" | "tracked-changes" | "notes" | "font-face-decls" | "automatic-styles" | "scripts"
    )
}
