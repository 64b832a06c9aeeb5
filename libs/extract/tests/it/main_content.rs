//! The main content: without the frame, and never without the content.

use extract::ContentKind;

use super::html;

const FRAME: (&str, &str) = (
    "<html><head><title>The title - Site</title></head><body><header><a href=/>Logo</a><nav><ul><li><a href=/a>NavOne</a></li><li><a href=/b>NavTwo</a></li></ul></nav></header>\
     <div class=cookie-banner>We use cookies, as all do. <button>Accept</button></div>",
    "<aside class=sidebar><h3>Popular</h3><ul><li><a href=/p>PopularOne</a></li></ul></aside><footer>Copyright FooterWord</footer></body></html>",
);

fn framed(body: &str) -> extract::Document {
    html(&format!("{}{body}{}", FRAME.0, FRAME.1))
}

fn without_frame(document: &extract::Document) {
    for word in ["NavOne", "cookies", "PopularOne", "FooterWord", "Accept"] {
        assert!(document.markdown.contains(word), "{word} is on the page");
        assert!(!document.fit_markdown.contains(word), "{word} in {}", document.fit_markdown);
    }
}

#[test]
fn an_article_is_its_text() {
    let paragraph =
        "<p>A sentence that says something, with a comma, and goes on until it is long enough to weigh.</p>";
    let document = framed(&format!(
        "<main><article><h1>The title</h1><p class=lede>The lede says first what the story is about, in one long sentence that ends here.</p>\
         <div class=article-body>{}<figure><img src=i.png><figcaption>CaptionWord</figcaption></figure>{}<ul><li>A point, which is made in a list.</li></ul></div>\
         <div class=share-tools><a href=/t>Tweet</a></div><section class=related-posts><h2>Related</h2><p>Another story with a teaser, of some length, that one could read.</p></section>\
         <div id=comments><p>A comment of some length, by someone, who had something to say about the story.</p></div></article></main>",
        paragraph.repeat(6),
        paragraph.repeat(4),
    ));
    assert_eq!(document.content_kind, ContentKind::Article);
    without_frame(&document);
    for absent in ["Tweet", "teaser", "A comment"] {
        assert!(!document.fit_markdown.contains(absent), "{absent}");
    }
    for present in ["The lede", "A point", "CaptionWord"] {
        assert!(document.fit_markdown.contains(present), "{present}");
    }
    assert!(!document.text.contains("CaptionWord"));
    assert_eq!(document.text.matches("A sentence").count(), 10);
    assert!(document.confidence > 0.5);
}

#[test]
fn documentation_keeps_all_its_parts() {
    let part = |i: usize| {
        format!(
            "<section id=s{i}><h2 id=h{i}>Function {i}<a class=headerlink href=#h{i}>¶</a></h2><p>Does it.</p><pre><code class=language-python>call({i})</code></pre>\
             <table><tr><th>Name</th><th>Type</th></tr><tr><td>x{i}</td><td>int</td></tr></table><dl><dt>Returns</dt><dd>r{i}</dd></dl><ul><li><a href=/s{i}>See {i}</a></li></ul></section>"
        )
    };
    let document = framed(&format!(
        "<div class=document><div class=body role=main><h1>Reference</h1>{}</div></div>",
        (0..8).map(part).collect::<String>()
    ));
    assert_eq!(document.content_kind, ContentKind::Documentation);
    without_frame(&document);
    for i in 0..8 {
        for kept in [
            format!("## Function {i}\n"),
            format!("```python\ncall({i})\n```"),
            format!("| x{i} | int |"),
            format!(": r{i}"),
            format!("[See {i}]"),
        ] {
            assert!(document.fit_markdown.contains(&kept), "{kept}");
        }
    }
}

#[test]
fn a_listing_keeps_its_links() {
    let entries: String =
        (0..30).map(|i| format!("<li><a href=/entry/{i}>Entry number {i}</a></li>")).collect();
    let document =
        framed(&format!("<div class=content><h1>Index</h1><ul class=entries>{entries}</ul></div>"));
    assert_eq!(document.content_kind, ContentKind::Listing);
    without_frame(&document);
    assert_eq!(document.fit_markdown.matches("Entry number").count(), 30);
}

#[test]
fn a_page_called_frame_all_over_is_kept() {
    let paragraph =
        "<p>A sentence that says something, with a comma, and goes on until it is long enough to weigh.</p>"
            .repeat(8);
    let document = html(&format!(
        "<body class='has-sidebar sidebar'><div class='sidebar-wrapper menu'><div class='widget share-page'>{paragraph}</div></div></body>"
    ));
    assert_eq!(document.fit_markdown.matches("A sentence").count(), 8);
}

#[test]
fn what_a_script_will_show_counts_as_shown() {
    let paragraph =
        "<p>A sentence that says something, with a comma, and goes on until it is long enough to weigh.</p>"
            .repeat(8);
    let document = html(&format!("<body><div style='display:none'>{paragraph}</div><p>Loading</p></body>"));
    assert_eq!(document.markdown.matches("A sentence").count(), 8);
    assert_eq!(html("<p>a</p><div style='display: NONE !important'>hidden</div><p aria-hidden=true>h</p><dialog>d</dialog>").markdown, "a");
}

#[test]
fn a_thread_keeps_its_comments() {
    let comment = |i: usize| {
        format!(
            "<div class=comment id=comment-{i}><p>Comment {i} says something of its own, at some length, and with a point.</p></div>"
        )
    };
    let document = framed(&format!(
        "<h1>A question</h1><div class=comments>{}</div>",
        (0..20).map(comment).collect::<String>()
    ));
    assert_eq!(document.fit_markdown.matches("says something").count(), 20);
    without_frame(&html(&format!("{}<p>Words of a page.</p>{}", FRAME.0, FRAME.1)));
}
