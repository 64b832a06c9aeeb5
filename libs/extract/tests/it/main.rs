//! The behaviour of `extract`, through its one function.

mod charset;
mod chunks;
mod citations;
mod feeds;
mod filters;
mod golden;
mod hostile;
mod images;
mod links;
mod main_content;
mod media;
mod metadata;
mod office;
mod patterns;
mod pdf;
mod real_pages;
mod request;
mod schema;
mod selection;
mod sitemaps;
mod status;

use extract::{Document, Error, Input, Options, extract};
use url::Url;

/// The page that all relative addresses start from.
const PAGE: &str = "https://example.com/docs/page.html";

fn try_read(bytes: &[u8], content_type: Option<&str>) -> Result<Document, Error> {
    let url = Url::parse(PAGE).expect("because it is a constant");
    extract(Input { bytes, content_type, url: &url }, &Options::default())
}

fn read(bytes: &[u8], content_type: Option<&str>) -> Document {
    try_read(bytes, content_type).expect("because the test passes text")
}

fn read_with(html: &str, options: &Options) -> Document {
    let url = Url::parse(PAGE).expect("because it is a constant");
    extract(Input { bytes: html.as_bytes(), content_type: Some("text/html"), url: &url }, options)
        .expect("because it is HTML")
}

fn html(text: &str) -> Document {
    read(text.as_bytes(), Some("text/html; charset=utf-8"))
}
