//! RSS, RDF and Atom: title, entries as links, text; other XML stays data.

use extract::ContentKind;

use super::read;

const RSS: &str = r#"<?xml version="1.0"?><rss version="2.0" xmlns:content="c" xmlns:media="m" xmlns:atom="a"><channel>
<title>News &amp; more</title><atom:link href="https://example.com/feed" rel="self"/><link>https://example.com/</link>
<description>About <![CDATA[<b>things</b>]]></description><language>en-us</language><pubDate>Mon, 01 Jan 2024 00:00:00 GMT</pubDate>
<image><title>not this</title><url>x</url><link>https://example.com/image</link></image>
<item><title>First [1] &#x2013; &lt;i&gt;new&lt;/i&gt;</title><link>/one?a=1&amp;b=2</link><guid isPermaLink="false">urn:1</guid>
<media:title>not this either</media:title><author>a@example.com</author>
<description>Short.</description><content:encoded><![CDATA[<p>Long <a href="/x">text</a></p><ul><li>a</ul>]]></content:encoded></item>
<item><guid>https://example.com/two</guid><description>Only &lt;em&gt;this&lt;/em&gt;.</description></item>
<item><title>First again</title><link>https://example.com/one?a=1&amp;b=2</link></item>
</channel></rss>"#;

const ATOM: &str = r#"<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en"><title type="html">A &amp;amp; B</title><subtitle>Sub</subtitle>
<link rel="self" href="/self"/><link href="https://example.com/home"/><updated>2024-01-02T03:04:05Z</updated>
<author><name>Ann</name><email>ann@example.com</email></author>
<entry><title>One</title><link rel="enclosure" href="/file.mp3"/><link rel="alternate" href="/one"/><id>tag:1</id>
<author><name>Bob</name><uri>https://bob.example/</uri></author><published>2024-01-01</published><updated>2024-01-02</updated>
<content type="html">&lt;p&gt;Hello &lt;b&gt;you&lt;/b&gt;&lt;/p&gt;</content></entry>
<entry><title>Two</title><summary>Words.</summary></entry></feed>"#;

#[test]
fn rss_becomes_a_listing() {
    for header in [None, Some("application/rss+xml"), Some("text/xml; charset=utf-8")] {
        let feed = read(RSS.as_bytes(), header);
        assert_eq!(feed.content_kind, ContentKind::Listing, "{header:?}");
        assert_eq!((feed.title.as_deref(), feed.language.as_deref()), (Some("News & more"), Some("en-us")));
        assert_eq!(feed.canonical.as_deref(), Some("https://example.com/"));
        let links: Vec<_> = feed.links.iter().map(|link| (link.url.as_str(), link.text.as_str())).collect();
        assert_eq!(
            links,
            [
                ("https://example.com/one?a=1&b=2", "First [1] – *new*"),
                ("https://example.com/two", "https://example.com/two")
            ]
        );
        assert_eq!(
            feed.markdown,
            "# News & more\n\nAbout **things**\n\n## [First \\[1\\] – *new*](https://example.com/one?a=1&b=2)\n\na@example.com\n\n\
            Long [text](https://example.com/x)\n\n- a\n\n## [https://example.com/two](https://example.com/two)\n\nOnly *this*.\n\n\
            ## [First again](https://example.com/one?a=1&b=2)"
        );
    }
}

#[test]
fn atom_and_rdf_become_listings() {
    let feed = read(ATOM.as_bytes(), Some("application/atom+xml"));
    assert_eq!((feed.title.as_deref(), feed.description.as_deref()), (Some("A & B"), Some("Sub")));
    assert_eq!(
        (feed.author.as_deref(), feed.published.as_deref()),
        (Some("Ann"), Some("2024-01-02T03:04:05Z"))
    );
    assert_eq!(feed.canonical.as_deref(), Some("https://example.com/home"));
    assert_eq!(
        feed.markdown,
        "# A & B\n\nSub\n\n## [One](https://example.com/one)\n\n2024-01-01 · Bob\n\nHello **you**\n\n## Two\n\nWords."
    );
    let rdf = "<rdf:RDF><channel rdf:about='x'><title>R</title><link>https://example.com/r</link></channel>\
        <item rdf:about='y'><title>I</title><link>https://other.example/i</link><dc:creator>C</dc:creator></item></rdf:RDF>";
    let feed = read(rdf.as_bytes(), Some("application/xml"));
    assert_eq!((feed.title.as_deref(), feed.links.len(), feed.links[0].internal), (Some("R"), 1, false));
    assert!(feed.markdown.ends_with("## [I](https://other.example/i)\n\nC"), "{}", feed.markdown);
}

#[test]
fn broken_and_hostile_feeds_are_read_as_far_as_they_go() {
    let broken = &RSS[..RSS.find("<item><guid>").unwrap() + 40];
    assert_eq!(read(broken.as_bytes(), None).links.len(), 1);
    let bomb = "<!DOCTYPE rss [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><rss><channel><title>&b;</title></channel></rss>";
    assert_eq!(read(bomb.as_bytes(), Some("text/xml")).title.as_deref(), Some("\\&b;"));
    let options = extract::Options { max_links: 1, ..extract::Options::default() };
    let url = url::Url::parse(super::PAGE).unwrap();
    let items = "<rss><channel><item><title>a</title></item><item><title>b</title><link>/b</link></item></channel></rss>";
    let input = extract::Input { bytes: items.as_bytes(), content_type: Some("text/xml"), url: &url };
    assert_eq!(extract::extract(input, &options).unwrap().markdown, "## a");
    let deep = format!("<rss><channel><title>T</title>{}", "<item>".repeat(200_000));
    assert_eq!(read(deep.as_bytes(), Some("text/xml")).title.as_deref(), Some("T"));
    for data in ["<rss></rss>", "<a><title>x</title></a>", "<feed/>", "<rss><channel><item/>"] {
        let kind = read(data.as_bytes(), Some("text/xml")).content_kind;
        assert_eq!(kind == ContentKind::Data, !data.contains("item"), "{data}");
    }
}
