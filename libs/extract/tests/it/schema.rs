//! Schemas in Crawl4AI's JSON, in CSS and in XPath: every type, nesting, siblings; refusals by name; bounded work.

use extract::{Extracted, Language, Options, Schema};
use serde_json::{Value, json};

const SHOP: &str = "<body><div id=list>\
    <article class=product data-id=P1><h2> First  <b>thing</b></h2><a href=/1>more</a><span class=price>Price: $10.50</span>\
    <ul class=tags><li>red<li>Blue</ul><div class=maker><p class=name>ACME</p><i>Berlin</i></div></article>\
    <article class=product data-id=P2><h2>Second</h2><span class=price>free</span><ul class=tags></ul></article></div>\
    <table><tr class=head><td>Title</td></tr><tr class=sub><td>sub 1</td></tr><tr><td>gap</td></tr><tr class=sub><td>sub 2</td></tr></table>";

fn apply(html: &str, language: Language, schema: &Value, options: Options) -> Extracted {
    let schema = Schema::parse(language, schema).expect("because the test writes a good one");
    let options = Options { schema: Some(schema), ..options };
    super::read_with(html, &options).extracted.expect("because there is a schema")
}

fn items(language: Language, schema: &Value) -> Value {
    let extracted = apply(SHOP, language, schema, Options::default());
    assert!(!extracted.truncated);
    Value::Array(extracted.items)
}

fn shop(name: &str, price: &str, link: &str, tag: &str, maker: &str, person: &str) -> Value {
    json!({"name": "shop", "baseSelector": name,
    "baseFields": [{"name": "id", "type": "attribute", "attribute": "data-id"}],
    "fields": [
        {"name": "title", "selector": tag.split('|').next(), "type": "text", "transform": "uppercase"},
        {"name": "price", "selector": price, "type": "regex", "pattern": r"\$([\d.]+)", "default": "0"},
        {"name": "link", "selector": link, "type": "attribute", "attribute": "href"},
        {"name": "number", "selector": link, "type": ["attribute", "regex"], "attribute": "href", "pattern": r"/(\d)"},
        {"name": "tags", "selector": tag.split('|').nth(1), "type": "list", "fields": [{"name": "tag", "type": "text", "transform": "lowercase"}]},
        {"name": "maker", "selector": maker, "type": "nested", "fields": [
            {"name": "who", "selector": person, "type": "text"}, {"name": "where", "selector": "i", "type": "html"}]},
    ]})
}

#[test]
fn every_type_in_css_and_the_same_in_xpath() {
    let expected = json!([
        {"id": "P1", "title": "FIRST THING", "price": "10.50", "link": "/1", "number": "1",
            "tags": [{"tag": "red"}, {"tag": "blue"}], "maker": {"who": "ACME", "where": "<i>Berlin</i>"}},
        {"id": "P2", "title": "SECOND", "price": "0", "tags": [], "maker": {}},
    ]);
    let css = shop("article.product", ".price", "a[href]", "h2|.tags > li", ".maker", "p.name");
    assert_eq!(items(Language::Css, &css), expected);
    let xpath = shop(
        "//article[contains(@class, 'product')]",
        "./span[@class='price']",
        "//a",
        ".//h2|ul[@class='tags']/li",
        "div",
        "p/text()",
    );
    assert_eq!(items(Language::XPath, &xpath), expected);
}

#[test]
fn a_source_is_the_next_sibling_that_matches() {
    let schema = |base: &str| {
        json!({"baseSelector": base, "fields": [
        {"name": "title", "selector": "td", "type": "text"},
        {"name": "sub", "source": if base.starts_with('/') { "+ tr[@class='sub'][2]" } else { "+ tr.sub ~ tr.sub" }, "selector": "td", "type": "text"},
        {"name": "none", "source": "+ p", "type": "text", "default": "-"}]})
    };
    let expected = json!([{"title": "Title", "sub": "sub 2", "none": "-"}]);
    assert_eq!(items(Language::Css, &schema("tr.head")), expected);
    assert_eq!(items(Language::XPath, &schema("//tr[@class='head']")), expected);
}

#[test]
fn xpath_finds_what_xpath_finds() {
    for (path, expected) in [
        ("string(//h2[2])", json!(null)),
        ("(//h2)[2]", json!("Second")),
        ("//article[last()]/@data-id", json!("P2")),
        ("//article[@data-id='P1']/following-sibling::article/h2", json!("Second")),
        ("//i/ancestor::article/@data-id", json!("P1")),
        ("//li[. = 'Blue']/preceding-sibling::*[1]", json!("red")),
        ("//*[self::h2 or self::p][position() > 1][normalize-space() != '']", json!(null)),
        ("count(//li) * 2 - 1", json!("3")),
        (
            "concat(name(//article/*[1]), '-', substring('12345', 2, 3), translate('abc', 'ab', 'A'))",
            json!("h2-234Ac"),
        ),
        ("//span[starts-with(., 'Price') and not(contains(., 'free'))]", json!("Price: $10.50")),
        ("//tr[td = 'gap' or false()]/following-sibling::tr/td/text()", json!("sub 2")),
        ("//article[h2[contains(text(), 'Sec')]]/../@id", json!("list")),
        ("//h2 | //td", json!("First thing")),
        ("substring-after(substring-before(//span, '.'), '$') + 1", json!("11")),
        ("sum(//a/@href)", json!("NaN")),
        ("//article[2]//span/text()[1]", json!("free")),
        ("round(10 div 4) = 3 and 7 mod 4 = 3 and -(-2) = 2", json!("true")),
    ] {
        let schema =
            json!({"baseSelector": "/html", "fields": [{"name": "x", "selector": path, "type": "text"}]});
        let extracted = apply(SHOP, Language::XPath, &schema, Options::default());
        let found = extracted.items.first().map_or(Value::Null, |item| item["x"].clone());
        let found = if found == json!("") { Value::Null } else { found };
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn the_deepest_expression_fits_the_stack() {
    let deep = (0..20).fold("1".to_owned(), |inner, _| format!("({inner}){}", "+1".repeat(20)));
    let schema =
        json!({"baseSelector": "/html", "fields": [{"name": "x", "selector": deep, "type": "text"}]});
    assert_eq!(items(Language::XPath, &schema), json!([{"x": "401"}]));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let field =
        |field: Value| json!({"baseSelector": "p", "fields": [{"name": "ok", "type": "text"}, field]});
    let deep = (0..12).fold(
        json!([{"name": "x", "type": "text"}]),
        |fields, _| json!([{"name": "n", "selector": "p", "type": "nested", "fields": fields}]),
    );
    for (named, schema) in [
        ("schema", json!([])),
        ("baseSelector", json!({"fields": []})),
        ("baseSelector", json!({"baseSelector": "p[", "fields": []})),
        ("fields", json!({"baseSelector": "p"})),
        ("extra", json!({"baseSelector": "p", "extra": 1, "fields": []})),
        ("fields[1].type", field(json!({"name": "x", "type": "computed", "expression": 1}))),
        ("fields[1].type", field(json!({"name": "x", "type": "computed"}))),
        ("fields[1].type", field(json!({"name": "x"}))),
        ("fields[1].name", field(json!({"type": "text"}))),
        ("fields[1].selector", field(json!({"name": "x", "type": "text", "selector": "::"}))),
        (
            "fields[1].selector",
            field(json!({"name": "x", "type": "nested", "fields": [{"name": "y", "type": "text"}]})),
        ),
        ("fields[1].fields", field(json!({"name": "x", "type": "list", "selector": "p"}))),
        ("fields[1].attribute", field(json!({"name": "x", "type": "attribute"}))),
        ("fields[1].pattern", field(json!({"name": "x", "type": "regex", "pattern": "("}))),
        ("fields[1].pattern", field(json!({"name": "x", "type": "regex", "pattern": "(?<=a)b"}))),
        ("fields[1].group", field(json!({"name": "x", "type": "regex", "pattern": "a", "group": 1}))),
        ("fields[1].transform", field(json!({"name": "x", "type": "text", "transform": "reverse"}))),
        ("fields[1].source", field(json!({"name": "x", "type": "text", "source": "- p"}))),
        ("fields[1].sleector", field(json!({"name": "x", "type": "text", "sleector": "p"}))),
    ] {
        let invalid = Schema::parse(Language::Css, &schema).unwrap_err();
        let expected = if schema.to_string().contains("expression") { "fields[1].expression" } else { named };
        assert_eq!(invalid.field, expected, "{schema}");
    }
    let invalid = Schema::parse(Language::Css, &json!({"baseSelector": "p", "fields": deep})).unwrap_err();
    assert!(invalid.problem.contains("deeper"), "{invalid}");
    let parentheses = format!("{}1{}", "(".repeat(200), ")".repeat(200));
    for path in [
        "//p[",
        "p::x",
        "$x",
        "id('a')",
        "//p[@a='x]",
        "foo::p",
        "comment()",
        "1 +",
        "",
        parentheses.as_str(),
    ] {
        let schema = json!({"baseSelector": path, "fields": [{"name": "x", "type": "text"}]});
        assert_eq!(Schema::parse(Language::XPath, &schema).unwrap_err().field, "baseSelector", "{path}");
    }
}

#[test]
fn work_and_output_are_bounded() {
    let page = "<div><p>words of text here</p>".repeat(200) + &"<li>x</li>".repeat(20_000);
    let fields = json!([{"name": "all", "selector": "//*", "type": "list", "fields": [
        {"name": "again", "selector": "//*[//*]", "type": "list", "fields": [{"name": "x", "type": "html"}]}]}]);
    let css: Value =
        serde_json::from_str(&fields.to_string().replace("//*[//*]", "*").replace("//*", "*")).unwrap();
    for (language, base, fields) in [(Language::XPath, "//*", fields), (Language::Css, "*", css)] {
        let extracted =
            apply(&page, language, &json!({"baseSelector": base, "fields": fields}), Options::default());
        assert!(extracted.truncated, "{language:?}");
    }
    let schema = json!({"baseSelector": "li", "fields": [{"name": "x", "type": "text"}]});
    let few = apply(&page, Language::Css, &schema, Options { max_items: 5, ..Options::default() });
    assert_eq!((few.items.len(), few.truncated), (5, true));
    let small =
        apply(&page, Language::Css, &schema, Options { max_extracted_bytes: 11, ..Options::default() });
    assert_eq!((small.items.len(), small.truncated), (5, true));
}
