//! What extraction gives back: a page as a value, ready to be stored as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Chunk, Citations, Extracted, Match};

/// A page, extracted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Document {
    /// What sort of page it is.
    pub content_kind: ContentKind,
    /// How sure the main content was found, 0 to 1. Below 0.5, `fit_markdown` is the page without its frame.
    pub confidence: f32,
    /// Title of the page.
    pub title: Option<String>,
    /// Description, from the metadata.
    pub description: Option<String>,
    /// Language as BCP 47, such as `en` or `pt-BR`, as the page declares it.
    pub language: Option<String>,
    /// Author, as the page names it.
    pub author: Option<String>,
    /// Time of publication, as the page writes it (nearly always ISO 8601).
    pub published: Option<String>,
    /// The address that the page calls its own, absolute.
    pub canonical: Option<String>,
    /// `name`, `property` and `itemprop` of `<meta>`, in lower case, and `refresh`; the first of each wins.
    pub metadata: BTreeMap<String, String>,
    /// JSON-LD objects, lists and `@graph` flattened.
    pub json_ld: Vec<serde_json::Value>,
    /// The whole page as Markdown.
    pub markdown: String,
    /// The main content as Markdown.
    pub fit_markdown: String,
    /// The main content as plain text, without the title.
    pub text: String,
    /// Links to http and https addresses, each address once, in document order.
    pub links: Vec<Link>,
    /// The links of the whole page, where only a part of it is read.
    #[serde(skip)]
    pub all_links: Option<Vec<Link>>,
    /// Images, each address once, in document order.
    pub images: Vec<Image>,
    /// Tables of data, in document order.
    pub tables: Vec<Table>,
    /// Headings, in document order.
    pub headings: Vec<Heading>,
    /// Films and recordings, each address once, in document order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<Recording>,
    /// The whole page as clean HTML, if it was asked for; empty for a body that is not HTML.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cleaned_html: String,
    /// The whole page with citations, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<Citations>,
    /// Pieces for retrieval, if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<Chunk>,
    /// What the patterns found, if there were any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
    /// What the schema found, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extracted: Option<Extracted>,
    /// Selectors of the caller that matched nothing because `~` would have taken too long on this page.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped_selectors: Vec<String>,
    /// Visible words of the whole page.
    pub word_count: u32,
    /// Why the page needs a browser to be read, when it evidently does.
    pub needs_javascript: Option<&'static str>,
    /// Whether the content is what the address promises.
    pub page_status: PageStatus,
}

/// The sort of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentKind {
    /// One text to read: news, blog post, encyclopedia entry.
    Article,
    /// Reference or manual.
    Documentation,
    /// Mostly links to other pages: index, search result, front page.
    Listing,
    /// One thing for sale.
    Product,
    /// Question and answers, or a thread of posts.
    Forum,
    /// None of the others.
    #[default]
    Other,
    /// Plain text, a PDF or an office document.
    Text,
    /// JSON, XML, or what the header of an image says.
    Data,
}

/// Whether a page is what its address promises. Anything but `Ok` has strong evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status", content = "evidence")]
pub enum PageStatus {
    /// Nothing speaks against it.
    #[default]
    Ok,
    /// No visible content at all.
    Empty,
    /// An error page that may have been sent with status 200; the words that say so.
    Soft404(String),
    /// A captcha or bot wall; the mark that gives it away.
    Blocked(String),
    /// A page that asks to sign in, and has little else; the mark that gives it away.
    LoginWall(String),
}

/// A link of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Absolute address, as the URL standard spells it.
    pub url: String,
    /// Text of the link, or the text that stands for its image.
    pub text: String,
    /// The `title` attribute.
    pub title: Option<String>,
    /// The `rel` attribute.
    pub rel: Option<String>,
    /// Whether it leads to the host of the page, with or without `www.`.
    pub internal: bool,
}

/// An image of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Absolute address; the largest where the page offers several.
    pub url: String,
    /// Text that stands for the image; empty if there is none.
    pub alt: String,
    /// Width in CSS pixels, if declared.
    pub width: Option<u32>,
    /// Height in CSS pixels, if declared.
    pub height: Option<u32>,
}

/// A film or a recording of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recording {
    /// What it is.
    pub kind: RecordingKind,
    /// Absolute address.
    pub url: String,
    /// Absolute address of the picture that stands for it.
    pub poster: Option<String>,
    /// Its title or label.
    pub title: Option<String>,
}

/// A film or a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingKind {
    /// `<video>`.
    Video,
    /// `<audio>`.
    Audio,
}

/// A table of data; spans are expanded, so every row has as many cells as the widest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Caption, if there is one.
    pub caption: Option<String>,
    /// Cells of the header row; empty if the table has none.
    pub headers: Vec<String>,
    /// Cells of the other rows, as plain text.
    pub rows: Vec<Vec<String>>,
}

/// A heading of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heading {
    /// 1 to 6.
    pub level: u8,
    /// Text, in one line.
    pub text: String,
    /// Fragment that leads to it, if it has one.
    pub id: Option<String>,
}
