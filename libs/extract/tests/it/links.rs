//! Addresses: resolved, spelled as the standard does, each once, in order.

use extract::{Input, Options, extract};
use url::Url;

use super::html;

#[test]
fn addresses_are_resolved_against_the_base() {
    for (base, href, expected) in [
        ("", "other.html", Some("https://example.com/docs/other.html")),
        ("", "/a b?q=ü", Some("https://example.com/a%20b?q=%C3%BC")),
        ("", "//CDN.Example.org:443/x", Some("https://cdn.example.org/x")),
        ("", "?q=1", Some("https://example.com/docs/page.html?q=1")),
        ("", "other.html#part", Some("https://example.com/docs/other.html#part")),
        ("", " \n/x ", Some("https://example.com/x")),
        ("", "#part", None),
        ("", "page.html#part", None),
        ("", "javascript:void(0)", None),
        ("", "mailto:a@example.com", None),
        ("", "data:text/html,x", None),
        ("", "https://", None),
        ("", "", None),
        ("<base href='/base/'>", "x", Some("https://example.com/base/x")),
        ("<base href='https://other.example/deep/'>", "../x", Some("https://other.example/x")),
        ("<base href='/base/'>", "#part", Some("https://example.com/base/#part")),
        ("<base target=_blank><base href='/second/'>", "x", Some("https://example.com/docs/x")),
        ("<base href='javascript:1'>", "x", Some("https://example.com/docs/x")),
    ] {
        let document = html(&format!("<html><head>{base}</head><body><a href='{href}'>t</a></body></html>"));
        let found = document.links.first().map(|link| link.url.as_str());
        assert_eq!(found, expected, "{base} {href}");
    }
}

#[test]
fn a_link_says_what_the_page_says() {
    let document = html(
        "<a href='/1' title=' T ' rel='nofollow'>One  <b>two</b></a><a href='https://www.example.com/2'><img src=i alt='Alt'></a>\
         <a href='/1'>again</a><a href='https://other.example/' aria-label='Label'></a><map><area href='/3' title='Area'></map>",
    );
    let told: Vec<_> =
        document.links.iter().map(|link| (link.url.as_str(), link.text.as_str(), link.internal)).collect();
    assert_eq!(
        told,
        [
            ("https://example.com/1", "One two", true),
            ("https://www.example.com/2", "Alt", true),
            ("https://other.example/", "Label", false),
            ("https://example.com/3", "Area", true),
        ]
    );
    assert_eq!(
        (document.links[0].title.as_deref(), document.links[0].rel.as_deref()),
        (Some("T"), Some("nofollow"))
    );
}

#[test]
fn lists_are_capped() {
    let url = Url::parse(super::PAGE).unwrap();
    let page: String =
        (0..50).map(|i| format!("<a href=/{i}>x</a><img src=/{i}.png><h2>h{i}</h2>")).collect();
    let options = Options { max_links: 7, max_images: 6, max_headings: 5, ..Options::default() };
    let document =
        extract(Input { bytes: page.as_bytes(), content_type: Some("text/html"), url: &url }, &options)
            .unwrap();
    assert_eq!((document.links.len(), document.images.len(), document.headings.len()), (7, 6, 5));
    assert_eq!(document.links[6].url, "https://example.com/6");
}

#[test]
fn images_are_the_ones_a_reader_would_see() {
    for (html_text, expected) in [
        ("<img src=/a.png>", Some("https://example.com/a.png")),
        ("<img src='data:image/gif;base64,AA' data-src=/lazy.jpg>", Some("https://example.com/lazy.jpg")),
        ("<img srcset='/s.png 320w, /l.png 1024w'>", Some("https://example.com/l.png")),
        ("<picture><source srcset='/p.webp 2x'><img></picture>", Some("https://example.com/p.webp")),
        ("<img src='data:image/gif;base64,AA'>", None),
        ("<img alt=x>", None),
    ] {
        let document = html(html_text);
        assert_eq!(document.images.first().map(|image| image.url.as_str()), expected, "{html_text}");
    }
    let document = html("<img src=a width=10 height='20px' alt=' A '>");
    assert_eq!(
        (document.images[0].width, document.images[0].height, document.images[0].alt.as_str()),
        (Some(10), Some(20), "A")
    );
}
