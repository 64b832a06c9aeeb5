//! Parts of a page selected and left out; what is judged is still the whole page.

use extract::{Document, Exclude, Language, Options, PageStatus, Schema, Selection, Selector};
use proptest::prelude::*;
use serde_json::json;

const PAGE: &str = "<html lang=en><head><title>T</title><meta name=description content=D></head><body>\
    <nav><a href=/nav>nav</a></nav>\
    <main><h1>Head</h1><p class=lead>Lead with <a href=/in>inner</a> and <a href=https://www.x.com/u>social</a>.</p>\
    <p>ok</p><ul><li>one two three<li>four</ul><table><tr><td>1<td>2<tr><td>3<td>4</table>\
    <img src=/own.png alt=own><img src=https://cdn.example.net/other.png alt=other></main>\
    <aside><p>Aside <a href=https://other.example/>other</a> words here.</p></aside></body></html>";

fn selector(css: &str) -> Selector {
    Selector::parse("test", css).expect("because the test writes a good one")
}

fn read(html: &str, selection: Selection) -> Document {
    super::read_with(html, &Options { selection, ..Options::default() })
}

fn links(document: &Document) -> Vec<&str> {
    document.links.iter().map(|link| link.text.as_str()).collect()
}

#[test]
fn parts_are_selected_and_left_out() {
    let lead = "Lead with [inner](https://example.com/in) and [social](https://www.x.com/u).";
    for (name, selection, markdown, found) in [
        (
            "css_selector",
            Selection { css_selector: Some(selector("p.lead, aside p")), ..Selection::default() },
            format!("{lead}\n\nAside [other](https://other.example/) words here."),
            vec!["inner", "social", "other"],
        ),
        (
            "target_elements",
            Selection {
                target_elements: vec![selector("li:first-child"), selector("h1")],
                ..Selection::default()
            },
            "# Head\n\n- one two three".to_owned(),
            vec!["nav", "inner", "social", "other"],
        ),
        (
            "excluded_tags and excluded_selector",
            Selection {
                excluded_tags: vec!["nav".into(), "table".into(), "img".into(), "ul".into()],
                excluded_selector: Some(selector("aside, main > :not(.lead, h1)")),
                ..Selection::default()
            },
            format!("# Head\n\n{lead}"),
            vec!["inner", "social"],
        ),
        (
            "css_selector, then excluded inside it",
            Selection {
                css_selector: Some(selector("main")),
                excluded_selector: Some(selector("h1, ul, table, img, p:has(a)")),
                ..Selection::default()
            },
            "ok".to_owned(),
            vec![],
        ),
    ] {
        let document = read(PAGE, selection);
        assert_eq!((document.markdown.as_str(), links(&document)), (markdown.as_str(), found), "{name}");
        assert_eq!(document.title.as_deref(), Some("T"), "{name}: metadata is always read");
        assert_eq!((document.description.as_deref(), document.language.as_deref()), (Some("D"), Some("en")));
    }
}

#[test]
fn short_blocks_are_left_out_but_not_headings_cells_and_pictures() {
    let document = read(PAGE, Selection { word_count_threshold: 3, ..Selection::default() });
    for kept in ["# Head", "one two three", "| 1 | 2 |", "![own]", "Aside"] {
        assert!(document.markdown.contains(kept), "{kept}: {}", document.markdown);
    }
    for dropped in ["ok", "four", "nav"] {
        assert!(!document.markdown.contains(dropped), "{dropped}: {}", document.markdown);
    }
    let all = read(PAGE, Selection { word_count_threshold: 1, ..Selection::default() });
    // A selection keeps the links of the whole page beside its own.
    assert_eq!(all.all_links.as_ref(), Some(&all.links));
    assert_eq!(Document { all_links: None, ..all }, read(PAGE, Selection::default()));
}

#[test]
fn excluded_links_keep_their_words_and_excluded_images_nothing() {
    let exclude = |exclude| read(PAGE, Selection { exclude, ..Selection::default() });
    let domains = extract::SOCIAL_MEDIA_DOMAINS.iter().map(|domain| (*domain).to_owned()).collect();
    let social = exclude(Exclude { domains, ..Exclude::default() });
    assert_eq!(links(&social), ["nav", "inner", "other"]);
    assert!(social.markdown.contains("and social."), "{}", social.markdown);
    let external = exclude(Exclude { external_links: true, external_images: true, ..Exclude::default() });
    assert_eq!((links(&external), external.images.len()), (vec!["nav", "inner"], 1));
    assert!(external.markdown.contains("own.png") && !external.markdown.contains("other.png"));
    let internal = exclude(Exclude { internal_links: true, all_images: true, ..Exclude::default() });
    assert_eq!((links(&internal), internal.images.len()), (vec!["social", "other"], 0));
    assert!(!internal.markdown.contains(".png"));
    let lookalike = "<p><a href=https://netflix.com/>a</a><a href=https://m.x.com/>b</a>";
    let selection = Selection {
        exclude: Exclude { domains: vec!["x.com".into()], ..Exclude::default() },
        ..Selection::default()
    };
    assert_eq!(links(&read(lookalike, selection)), ["a"]);
}

#[test]
fn what_matches_nothing_is_no_verdict_on_the_page() {
    let document = read(PAGE, Selection { css_selector: Some(selector(".missing")), ..Selection::default() });
    assert_eq!((document.markdown.as_str(), document.page_status), ("", PageStatus::Ok));
    let wall = "<title>Just a moment...</title><p>Checking your browser before accessing</p><div id=x></div>";
    let document = read(wall, Selection { css_selector: Some(selector("#x")), ..Selection::default() });
    assert!(matches!(document.page_status, PageStatus::Blocked(_)), "{:?}", document.page_status);
}

#[test]
fn bad_selectors_are_refused_with_their_field() {
    let long = format!("p{}", " p".repeat(2_000));
    for css in ["", "p >", "p[", ":unknown", "p::before", "{}", "p, , a", long.as_str()] {
        let invalid = Selector::parse("excluded_selector", css).unwrap_err();
        assert_eq!(invalid.field, "excluded_selector", "{css}");
        assert!(invalid.to_string().len() < 200, "{invalid}");
    }
    for css in ["p", "a[href^='http'] > b ~ i", "li:nth-child(2n+1)", ":is(h1, h2):not(.x)", "div:has(> p)"] {
        assert_eq!(Selector::parse("x", css).unwrap().source(), css);
    }
}

#[test]
fn a_selector_that_would_take_too_long_is_named() {
    let wide = format!("<div>{}</div><p>text</p>", "<i></i>".repeat(30_000));
    let exclude =
        |css: &str| read(&wide, Selection { excluded_selector: Some(selector(css)), ..Selection::default() });
    assert_eq!(exclude("b ~ i").skipped_selectors, ["b ~ i"]);
    let document = exclude("p[class~=x], i + b, i:nth-child(7), div:has(b)");
    assert_eq!((document.skipped_selectors.len(), document.markdown.as_str()), (0, "text"));
}

proptest! {
    #[test]
    fn any_part_of_any_page_can_be_read(html in "(<(/)?(div|p|ul|li|table|tr|td|h1|a href=/x|img src=y|html|body|head|svg)>| a | b\\. ){0,60}", threshold in 0u32..4) {
        for part in ["div", "p + p, li", "* > *", "body", "html", "head"] {
            let selection = Selection {
                css_selector: Some(selector(part)),
                target_elements: vec![selector("li, p"), selector("td")],
                excluded_selector: Some(selector("h1 ~ p")),
                excluded_tags: vec!["table".into()],
                word_count_threshold: threshold,
                only_text: threshold == 3,
                exclude: Exclude { internal_links: true, external_images: true, ..Exclude::default() },
            };
            let schema = json!({"baseSelector": "//*", "fields": [
                {"name": "x", "selector": "ancestor::*[1]/following-sibling::node()[last()] | ..//@href", "type": "text"}]});
            let schema = Schema::parse(Language::XPath, &schema).expect("because the test writes a good one");
            let document = super::read_with(&html, &Options { selection, schema: Some(schema), ..Options::default() });
            prop_assert!(document.links.is_empty());
        }
    }
}
