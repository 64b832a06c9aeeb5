//! Bytes → document: Markdown, main content, links, metadata, tables. Pure, without I/O, clock or state.
//!
//! Promises: a page is parsed once; time and memory are linear in the input and bounded by [`Options`]; no input
//! makes it panic or overflow the stack (2 MiB are enough). Give it a blocking thread: a large page takes
//! a tenth of a second.

mod charset;
mod chunk;
mod citations;
mod cleaned;
mod content;
mod document;
mod error;
mod feed;
mod finish;
mod image;
mod links;
mod markdown;
mod media;
mod metadata;
mod notes;
mod office;
mod options;
mod page;
mod parse;
mod patterns;
mod pdf;
mod plain;
mod scan;
mod schema;
mod select;
mod selection;
mod simhash;
mod sitemap;
mod status;
mod tag;
mod tree;
mod wire;
mod xpath;

use url::Url;

pub use chunk::{Chunk, ChunkOptions, chunk, token_count};
pub use citations::{Citations, cite};
pub use content::Filter;
pub use document::{
    ContentKind, Document, Heading, Image, Link, PageStatus, Recording, RecordingKind, Table,
};
pub use error::Error;
pub use options::{Chunking, Options, Part, Parts, Searched};
pub use patterns::{BUILT_IN, Match, Patterns};
pub use schema::{Extracted, Language, Schema};
pub use select::{Invalid, Selector};
pub use selection::{Exclude, SOCIAL_MEDIA_DOMAINS, Selection};
pub use simhash::simhash;
pub use sitemap::{Entry as SitemapEntry, Sitemap, sitemap};
pub use wire::{Refusal, options};

use media::Media;

/// A body and what is known about it.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The body, decompressed.
    pub bytes: &'a [u8],
    /// The `Content-Type` header, with parameters.
    pub content_type: Option<&'a str>,
    /// Address of the page after all redirects; relative links start here.
    pub url: &'a Url,
}

/// Turns a body into a document.
///
/// Fails only if the body is of no type that is read: HTML, text, JSON, XML, PDF, images (what their headers say) and
/// office documents; by its header or by its first bytes.
pub fn extract(input: Input<'_>, options: &Options) -> Result<Document, Error> {
    let media = media::detect(input.bytes, input.content_type)?;
    let text = || charset::decode(input.bytes, input.content_type, input.url.host_str()).0;
    let document = match media {
        Media::Html | Media::Xhtml => page::read(&text(), media == Media::Xhtml, input.url, options),
        Media::Text => plain::text(&text()),
        Media::Json => plain::data(&text(), "json"),
        Media::Xml => {
            let text = text();
            feed::read(&text, input.url, options).unwrap_or_else(|| plain::data(&text, "xml"))
        }
        Media::Pdf => pdf::read(input.bytes, options).ok_or_else(|| unsupported(media::PDF))?,
        Media::Image(kind) => {
            image::read(input.bytes, input.url, options).ok_or_else(|| unsupported(kind))?
        }
        Media::Archive => {
            office::read(input.bytes, input.url, options).ok_or_else(|| unsupported(media::ZIP))?
        }
    };
    Ok(finish::finish(document, options))
}

fn unsupported(kind: &str) -> Error {
    Error::UnsupportedType(kind.to_owned())
}
