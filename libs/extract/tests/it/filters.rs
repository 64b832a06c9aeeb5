//! The caller's own filters of main content: pruning and BM25; the whole page stays as it is.

use extract::{Document, Filter, Options};

const PAGE: &str = "<head><title>Cats and queries</title></head><body><nav><a href=/a>Cat home</a> <a href=/b>About</a></nav>\
    <main><h1>Animals</h1><h2>Dogs</h2><p>A dog barks at night, and no query ever stopped one from doing it.</p>\
    <h2>Cats</h2><p>The cat sleeps all day. Cats like to sleep on warm machines, as long as nobody moves.</p>\
    <ul><li>A list item about cats</li><li>One about birds</li></ul>\
    <table><tr><th>Animal<th>Legs<tr><td>cat<td>4<tr><td>bird<td>2</table>\
    <div class=links><a href=/1>One other page</a><a href=/2>Two other pages</a><a href=/3>Three</a></div></main>\
    <footer><p>Copyright by a cat, all rights reserved, no bird was asked.</p></footer></body>";

fn read(filter: Filter) -> Document {
    super::read_with(PAGE, &Options { filter: Some(filter), ..Options::default() })
}

fn bm25(query: &str, threshold: f32) -> Document {
    read(Filter::Bm25 { query: query.to_owned(), threshold })
}

#[test]
fn bm25_keeps_what_a_query_asks_for_under_its_headings() {
    let document = bm25("sleeping cat", 0.5);
    let lines: Vec<&str> = document.fit_markdown.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(
        lines,
        [
            "# Animals",
            "## Cats",
            "The cat sleeps all day. Cats like to sleep on warm machines, as long as nobody moves.",
            "- A list item about cats",
            "| Animal | Legs |",
            "| --- | --- |",
            "| cat | 4 |",
        ]
    );
    assert!(document.markdown.contains("A dog barks") && document.markdown.contains("Copyright"));
    assert_eq!(
        bm25("Queries", 0.5).fit_markdown.lines().next_back(),
        Some("A dog barks at night, and no query ever stopped one from doing it.")
    );
    assert_eq!(bm25("giraffe", 0.1).fit_markdown, "");
    assert_eq!(bm25("cat", 1_000.0).fit_markdown, "");
    assert!(bm25("", 0.5).fit_markdown.contains("A dog barks"), "the title asks for queries");
}

#[test]
fn pruning_cuts_frame_links_and_short_blocks() {
    let prune =
        |threshold, dynamic, min_words| read(Filter::Pruning { threshold, dynamic, min_words }).fit_markdown;
    let usual = prune(0.48, false, 0);
    for kept in ["A dog barks", "The cat sleeps", "## Cats"] {
        assert!(usual.contains(kept), "{kept}: {usual}");
    }
    for cut in ["About", "Copyright"] {
        assert!(!usual.contains(cut), "{cut}: {usual}");
    }
    let long = prune(0.48, false, 8);
    assert!(
        long.contains("The cat sleeps") && !long.contains("## Cats") && !long.contains("birds"),
        "{long}"
    );
    assert_eq!(prune(10.0, false, 0), "");
    assert!(prune(0.0, false, 0).contains("Three"));
}
