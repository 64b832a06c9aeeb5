//! PDF: text page by page, title, author and outline. A file that cannot be read is refused as any other binary.
//! Promises: neither a panic of the parser nor a bomb gets out of here; pages and decompressed bytes are bounded.

use std::collections::{HashMap, HashSet};

use lopdf::content::Content;
use lopdf::{Dictionary, Document as Pdf, Encoding, LoadOptions, Object, ObjectId};

use crate::{ContentKind, Document, Heading, Options, PageStatus};

/// Largest file.
const MAX_FILE_BYTES: usize = 64 << 20;
/// Most that one stream may decompress to, and all pages together.
const MAX_STREAM_BYTES: usize = 16 << 20;
const MAX_CONTENT_BYTES: usize = 64 << 20;
/// Most text of a document.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// Reads a PDF; nothing if it is broken, encrypted or too large.
pub(crate) fn read(bytes: &[u8], options: &Options) -> Option<Document> {
    if bytes.len() > MAX_FILE_BYTES {
        return None;
    }
    // The parser is careful, but it is large, and PDF is hostile.
    let parsed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| parse(bytes, options)));
    parsed.ok().flatten()
}

fn parse(bytes: &[u8], options: &Options) -> Option<Document> {
    let limits = LoadOptions { max_decompressed_size: Some(MAX_STREAM_BYTES), ..LoadOptions::default() };
    let pdf = Pdf::load_mem_with_options(bytes, limits).ok()?;
    if pdf.is_encrypted() {
        return None;
    }
    let pages = pdf.get_pages();
    let mut document = Document { content_kind: ContentKind::Text, confidence: 1.0, ..Document::default() };
    let info = pdf.trailer.get(b"Info").ok().and_then(|info| dictionary(&pdf, info));
    let about = |key: &[u8]| info.and_then(|info| line(info.get(key).ok()?));
    document.title = about(b"Title");
    document.author = about(b"Author");
    document.description = about(b"Subject");
    document.published = about(b"CreationDate").map(|date| iso_date(&date));
    document.language = pdf
        .catalog()
        .ok()
        .and_then(|catalog| line(catalog.get(b"Lang").ok()?))
        .filter(|language| language.len() <= 35);
    document.headings = outline(&pdf, options.max_headings);
    let mut texts = Vec::new();
    let (mut fonts, mut content, mut written) = (HashMap::new(), 0, 0);
    for page in pages.values().take(options.max_pages) {
        if content > MAX_CONTENT_BYTES || written > MAX_TEXT_BYTES {
            break;
        }
        let text = page_text(&pdf, *page, &mut fonts, &mut content).unwrap_or_default();
        written += text.len();
        texts.push(text);
    }
    document.metadata.insert("pages".to_owned(), pages.len().to_string());
    let filled = || texts.iter().enumerate().filter(|(_, text)| !text.is_empty());
    document.text = filled().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n\n");
    let paged = |(at, text): (usize, &String)| format!("<!-- page {} -->\n\n{text}", at + 1);
    document.markdown = filled().map(paged).collect::<Vec<_>>().join("\n\n");
    document.fit_markdown.clone_from(&document.text);
    document.word_count = u32::try_from(document.text.split_whitespace().count()).unwrap_or(u32::MAX);
    if document.text.is_empty() {
        document.page_status = PageStatus::Empty;
    }
    Some(document)
}

fn dictionary<'p>(pdf: &'p Pdf, object: &'p Object) -> Option<&'p Dictionary> {
    pdf.dereference(object).ok()?.1.as_dict().ok()
}

fn line(object: &Object) -> Option<String> {
    let text = lopdf::decode_text_string(object).ok()?;
    let text = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    Some(text.collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty() && text.len() <= 4_096)
}

/// `D:20240131120000+01'00'` → `2024-01-31`; anything else as it is.
fn iso_date(date: &str) -> String {
    let digits = date.strip_prefix("D:").unwrap_or(date);
    match digits.get(..8).filter(|day| day.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(day) => format!("{}-{}-{}", &day[..4], &day[4..6], &day[6..]),
        None => date.to_owned(),
    }
}

/// The bookmarks as headings, with a loop instead of recursion: a file may tie them into rings.
fn outline(pdf: &Pdf, most: usize) -> Vec<Heading> {
    let mut headings = Vec::new();
    let root = pdf.catalog().ok().and_then(|catalog| dictionary(pdf, catalog.get(b"Outlines").ok()?));
    let link = |item: &Dictionary, key: &[u8]| item.get(key).ok().and_then(|next| next.as_reference().ok());
    let mut open: Vec<(ObjectId, u8)> =
        root.and_then(|root| link(root, b"First")).map(|first| (first, 1)).into_iter().collect();
    let mut seen = HashSet::new();
    while let Some((id, level)) = open.pop() {
        if headings.len() >= most || !seen.insert(id) {
            continue;
        }
        let Ok(item) = pdf.get_dictionary(id) else { continue };
        if let Some(text) = item.get(b"Title").ok().and_then(|title| line(pdf.dereference(title).ok()?.1)) {
            headings.push(Heading { level: level.min(6), text, id: None });
        }
        open.extend(link(item, b"Next").map(|next| (next, level)));
        open.extend(link(item, b"First").map(|first| (first, level.saturating_add(1))));
    }
    headings
}

/// A font: how its bytes read, and how wide they are.
struct Font<'p> {
    encoding: Encoding<'p>,
    /// Two bytes are a glyph, not one.
    composite: bool,
    /// In font sizes, by code.
    widths: HashMap<u16, f32>,
    /// Width of all other glyphs.
    default: f32,
}

impl<'p> Font<'p> {
    fn new(pdf: &'p Pdf, font: &'p Dictionary) -> Option<Self> {
        let encoding = font.get_font_encoding_with_limit(pdf, MAX_STREAM_BYTES).ok()?;
        let composite = font.get(b"Subtype").and_then(Object::as_name).is_ok_and(|name| name == b"Type0");
        if !composite {
            let first = font.get(b"FirstChar").and_then(Object::as_i64).unwrap_or(0);
            let mut widths = HashMap::new();
            let listed = array(pdf, font, b"Widths").unwrap_or_default();
            let codes = u16::try_from(first).unwrap_or(0)..=255;
            widths.extend(
                codes
                    .zip(listed)
                    .map(|(code, width)| (code, size(pdf, width)))
                    .filter(|(_, width)| *width > 0.0),
            );
            return Some(Self { encoding, composite, widths, default: 0.5 });
        }
        let descendant =
            array(pdf, font, b"DescendantFonts").and_then(|fonts| dictionary(pdf, fonts.first()?));
        let default = descendant.and_then(|font| font.get(b"DW").ok()).map_or(1.0, |width| size(pdf, width));
        let widths = descendant.and_then(|font| array(pdf, font, b"W"));
        Some(Self { encoding, composite, widths: ranges(pdf, widths.unwrap_or_default()), default })
    }

    /// Width of a string in font sizes.
    fn width(&self, bytes: &[u8]) -> f32 {
        let one = |code: u16| self.widths.get(&code).copied().unwrap_or(self.default);
        if self.composite {
            bytes.chunks_exact(2).map(|pair| one(u16::from_be_bytes([pair[0], pair[1]]))).sum()
        } else {
            bytes.iter().map(|byte| one(u16::from(*byte))).sum()
        }
    }
}

fn array<'p>(pdf: &'p Pdf, dictionary: &'p Dictionary, key: &[u8]) -> Option<&'p [Object]> {
    let array = pdf.dereference(dictionary.get(key).ok()?).ok()?.1;
    array.as_array().ok().map(Vec::as_slice)
}

/// A width in thousandths, in font sizes.
fn size(pdf: &Pdf, width: &Object) -> f32 {
    pdf.dereference(width).ok().and_then(|(_, width)| width.as_float().ok()).unwrap_or(0.0) / 1000.0
}

/// The widths of a composite font: `first [width …]` or `first last width`, one after the other.
fn ranges(pdf: &Pdf, mut rest: &[Object]) -> HashMap<u16, f32> {
    let code = |object: &Object| object.as_i64().ok().and_then(|code| u16::try_from(code).ok());
    let mut widths = HashMap::new();
    while let [first, second, after @ ..] = rest {
        let Some(from) = code(first) else { break };
        if let Ok(list) = pdf.dereference(second).and_then(|(_, second)| second.as_array()) {
            widths.extend((from..=u16::MAX).zip(list).map(|(code, width)| (code, size(pdf, width))));
            rest = after;
        } else if let ([width, after @ ..], Some(to)) = (after, code(second)) {
            // A range that is huge says what the default would say; a font has few that are not.
            widths.extend((from..=to).take(4_096).map(|code| (code, size(pdf, width))));
            rest = after;
        } else {
            break;
        }
        if widths.len() > usize::from(u16::MAX) {
            break;
        }
    }
    widths
}

/// The text of a page in the order in which the page draws it.
fn page_text<'p>(
    pdf: &'p Pdf,
    page: ObjectId,
    known: &mut HashMap<*const Dictionary, Option<Font<'p>>>,
    content: &mut usize,
) -> Option<String> {
    let fonts = pdf.get_page_fonts(page).ok()?;
    for font in fonts.values() {
        known.entry(std::ptr::from_ref(*font)).or_insert_with(|| Font::new(pdf, font));
    }
    let data = pdf.get_page_content_with_limit(page, MAX_STREAM_BYTES).ok()?;
    *content += data.len();
    let operations = Content::decode(&data).ok()?.operations;
    let mut pen = Pen::default();
    for operation in &operations {
        let number =
            |at: usize| operation.operands.get(at).and_then(|operand| operand.as_float().ok()).unwrap_or(0.0);
        match operation.operator.as_str() {
            "BT" => pen.set(1.0, 0.0, 0.0),
            "Tf" => {
                let name = operation.operands.first().and_then(|name| name.as_name().ok());
                let font = name.and_then(|name| fonts.get(name)).map(|font| std::ptr::from_ref(*font));
                pen.font = font.and_then(|font| known.get(&font)).and_then(Option::as_ref);
                pen.size = number(1).abs().clamp(0.01, 10_000.0);
            }
            "TL" => pen.leading = number(0),
            "Td" => pen.step(number(0), number(1)),
            "TD" => {
                pen.leading = -number(1);
                pen.step(number(0), number(1));
            }
            "Tm" => pen.set(number(0).hypot(number(1)).max(0.001), number(4), number(5)),
            "T*" => pen.step(0.0, -pen.leading),
            "Tj" => pen.show_all(&operation.operands),
            "'" | "\"" => {
                pen.step(0.0, -pen.leading);
                pen.show_all(operation.operands.last().map(std::slice::from_ref).unwrap_or_default());
            }
            "TJ" => {
                let array = operation.operands.first().and_then(|array| array.as_array().ok());
                pen.show_all(array.map(Vec::as_slice).unwrap_or_default());
            }
            _ => {}
        }
    }
    Some(pen.finish())
}

/// Where the page writes, and what it has written.
struct Pen<'f, 'p> {
    font: Option<&'f Font<'p>>,
    size: f32,
    scale: f32,
    leading: f32,
    /// Start of the line.
    line: (f32, f32),
    /// Where the next glyph goes.
    x: f32,
    /// Where the last glyph ended, and its size on the page.
    last: Option<(f32, f32, f32)>,
    out: String,
}

impl Default for Pen<'_, '_> {
    fn default() -> Self {
        let line = (0.0, 0.0);
        Self { font: None, size: 1.0, scale: 1.0, leading: 0.0, line, x: 0.0, last: None, out: String::new() }
    }
}

impl Pen<'_, '_> {
    fn set(&mut self, scale: f32, x: f32, y: f32) {
        self.scale = scale;
        self.line = (x, y);
        self.x = x;
    }

    fn step(&mut self, x: f32, y: f32) {
        self.line = (self.line.0 + x * self.scale, self.line.1 + y * self.scale);
        self.x = self.line.0;
    }

    fn show_all(&mut self, operands: &[Object]) {
        for operand in operands {
            match operand {
                Object::String(bytes, _) => self.show(bytes),
                // Kerning pulls glyphs together; a gap as wide as a space is a space.
                other => self.x -= other.as_float().unwrap_or(0.0) / 1000.0 * self.size * self.scale,
            }
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        let Some(font) = self.font else { return };
        let Ok(text) = Pdf::decode_text(&font.encoding, bytes) else { return };
        let size = self.size * self.scale;
        if !text.trim().is_empty() {
            self.gap(size);
        }
        let clean = |c: char| if c.is_control() || c.is_whitespace() { ' ' } else { c };
        for c in text.chars().map(clean) {
            match ligature(c) {
                Some(letters) => self.out.push_str(letters),
                None if c == ' ' && self.out.ends_with([' ', '\n']) => {}
                None => self.out.push(c),
            }
        }
        self.x += font.width(bytes) * size;
        self.last = Some((self.x, self.line.1, size));
    }

    /// Writes what lies between the last glyph and the next one: nothing, a space, a line or a paragraph.
    fn gap(&mut self, size: f32) {
        let Some((x, y, before)) = self.last else { return };
        let height = before.max(size);
        let (down, right) = ((y - self.line.1).abs(), self.x - x);
        if down > 1.9 * height {
            self.separate("\n\n");
        } else if down > 0.5 * height {
            self.separate("\n");
        } else if (right > 0.17 * height || right < -height) && !self.out.ends_with([' ', '\n']) {
            self.out.push(' ');
        }
    }

    fn separate(&mut self, gap: &str) {
        self.out.truncate(self.out.trim_end().len());
        if !self.out.is_empty() {
            self.out.push_str(gap);
        }
    }

    fn finish(self) -> String {
        self.out.trim().to_owned()
    }
}

/// The letters of a ligature that fonts have and words do not.
fn ligature(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        _ => return None,
    })
}
