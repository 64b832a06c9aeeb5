//! What a page says about itself.

use super::html;

#[test]
fn the_page_is_believed_in_order_of_precision() {
    let document = html(
        "<html lang=pt_BR><head><title> A \n title </title><link rel=canonical href='/canon#x'>\
         <meta name=Description content='D1'><meta property=og:description content=D2><meta property='og:title' content='OG'>\
         <meta name=author content='https://example.com/me'><meta http-equiv=Refresh content='0; url=/next'><meta property='article:published_time' content='2026-01-02T03:04:05Z'>\
         <script type='application/ld+json'>{\"@context\":\"https://schema.org\",\"@graph\":[{\"@type\":\"NewsArticle\",\"author\":[{\"name\":\"Ann\"},{\"name\":\"Bo\"}]},[{\"@type\":\"Person\"}]]}</script>\
         <script type='application/ld+json'>{broken</script></head><body><h1 id=top>Head <a href='#top'>¶</a></h1></body></html>",
    );
    assert_eq!(document.title.as_deref(), Some("A title"));
    assert_eq!(document.description.as_deref(), Some("D1"));
    assert_eq!(document.language.as_deref(), Some("pt-BR"));
    assert_eq!(document.author.as_deref(), Some("Ann, Bo"));
    assert_eq!(document.published.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(document.canonical.as_deref(), Some("https://example.com/canon#x"));
    assert_eq!(document.metadata["og:title"], "OG");
    assert_eq!(document.metadata["refresh"], "0; url=/next");
    assert_eq!(document.json_ld.len(), 2);
    let heading = &document.headings[0];
    assert_eq!((heading.level, heading.text.as_str(), heading.id.as_deref()), (1, "Head", Some("top")));
}

#[test]
fn what_is_missing_is_found_elsewhere() {
    let document = html(
        "<body><h2>Sub</h2><h1>Main</h1><p>By <a rel=author href=/a>By Ann Lee</a> <time itemprop=datePublished datetime=2026-02-03>yesterday</time></p></body>",
    );
    assert_eq!(
        (document.title.as_deref(), document.author.as_deref(), document.published.as_deref()),
        (Some("Main"), Some("Ann Lee"), Some("2026-02-03"))
    );
    let nothing = html("<p>x</p>");
    assert_eq!(
        (nothing.title, nothing.author, nothing.language, nothing.canonical),
        (None, None, None, None)
    );
}

#[test]
fn values_are_bounded() {
    let metas: String =
        (0..2_000).map(|i| format!("<meta name=k{i} content='{}'>", "é".repeat(10_000))).collect();
    let document = html(&metas);
    assert_eq!(document.metadata.len(), 512);
    assert!(document.metadata.values().all(|value| value.len() <= 8 * 1024));
}

#[test]
fn tables_are_values_with_spans_expanded() {
    let document = html(
        "<table><caption>Cap</caption><thead><tr><th colspan=2>Wide</th><th>C</th></tr></thead><tr><td rowspan=2>r</td><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr></table>\
         <table role=presentation><tr><td>no</td><td>data</td></tr></table><table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>",
    );
    assert_eq!(document.tables.len(), 2);
    let table = &document.tables[0];
    assert_eq!(
        (table.caption.as_deref(), table.headers.as_slice()),
        (Some("Cap"), ["Wide", "Wide", "C"].map(str::to_owned).as_slice())
    );
    assert_eq!(table.rows, [["r", "1", "2"], ["r", "3", "4"]].map(|row| row.map(str::to_owned).to_vec()));
    assert!(document.tables[1].headers.is_empty());
    assert_eq!(document.tables[1].rows.len(), 2);
}
