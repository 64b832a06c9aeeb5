//! Sitemaps of every form, and what is none.

use std::io::Write;

use extract::{Sitemap, SitemapEntry, sitemap};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use url::Url;

fn read(bytes: &[u8]) -> Option<Sitemap> {
    sitemap(bytes, &Url::parse("https://example.com/sitemap.xml").expect("because it is a URL"))
}

fn urls(entries: &[SitemapEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.url.as_str()).collect()
}

const LIST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc> https://example.com/a?x=1&amp;y=2 </loc><lastmod>2026-11-01</lastmod>
    <image:image><image:loc>https://example.com/a.png</image:loc></image:image></url>
  <url><loc><![CDATA[https://example.com/b]]></loc><changefreq>daily</changefreq></url>
  <url><loc>/relative</loc></url><url><loc></loc></url>
</urlset>"#;

#[test]
fn a_list_is_read_with_its_dates() {
    let list = read(LIST.as_bytes()).unwrap();
    assert_eq!(urls(&list.pages), ["https://example.com/a?x=1&y=2", "https://example.com/b"]);
    assert_eq!(list.pages[0].lastmod.as_deref(), Some("2026-11-01"));
    assert_eq!((list.pages[1].lastmod.as_deref(), list.dropped), (None, 1));
}

#[test]
fn an_index_a_packed_list_a_feed_and_a_text_are_read() {
    let index = read(b"<sitemapindex><sitemap><loc>https://example.com/1.xml.gz</loc><lastmod>2026</lastmod></sitemap></sitemapindex>");
    assert_eq!(urls(&index.unwrap().sitemaps), ["https://example.com/1.xml.gz"]);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(LIST.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    assert_eq!(read(&packed), read(LIST.as_bytes()));
    let feed = read(
        b"<rss><channel><title>t</title><item><link>https://example.com/post</link></item></channel></rss>",
    );
    assert_eq!(urls(&feed.unwrap().pages), ["https://example.com/post"]);
    let text = read("\u{feff}https://example.com/a\r\n\r\nhttps://example.com/b\r\n".as_bytes());
    assert_eq!(urls(&text.unwrap().pages), ["https://example.com/a", "https://example.com/b"]);
}

#[test]
fn what_is_none_is_none_and_what_breaks_off_is_read_so_far() {
    for nothing in ["", "Not found", "<html><body>404</body></html>", "<foo/>"] {
        assert_eq!(read(nothing.as_bytes()), None, "{nothing}");
    }
    let cut = LIST.find("<changefreq>").unwrap();
    assert_eq!(read(&LIST.as_bytes()[..cut]).unwrap().pages.len(), 1);
}

#[test]
fn entries_and_bytes_are_bounded() {
    let many = "https://example.com/a\n".repeat(60_000);
    let read = read(many.as_bytes()).unwrap();
    assert_eq!((read.pages.len(), read.dropped), (50_000, 10_000));
    // 200 MiB of zeros in 200 KiB.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(b"https://example.com/a\n").unwrap();
    for _ in 0..200 {
        bomb.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    assert!(bomb.finish().map(|bomb| read_all(&bomb)).unwrap().is_some());
}

fn read_all(bytes: &[u8]) -> Option<Sitemap> {
    read(bytes)
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0_usize..600) {
        let _ = read(&bytes);
        let list = LIST.as_bytes();
        let _ = read(&list[..cut.min(list.len())]);
    }
}
