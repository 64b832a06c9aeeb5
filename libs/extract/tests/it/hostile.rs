//! Input made to hurt: on a small stack, in bounded time, without a panic.

use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, prop, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

use super::{html, read, try_read};

/// Processor time that a page may take, in times of an ordinary page of the same size. The dearest case takes 2;
/// quadratic time overshoots it.
const DEAREST: f64 = 20.0;
/// Bytes of the ordinary page.
const ORDINARY_BYTES: usize = 1_000_000;

/// Extracts a page on the stack that a blocking thread of the runtime has. Gives back the processor time, which, unlike
/// the time on the clock, does not depend on what else the machine does.
fn read_on_small_stack(page: String) -> (extract::Document, Duration) {
    let work = move || {
        let before = processor_time();
        let document = read(page.as_bytes(), Some("text/html; charset=utf-8"));
        (document, processor_time() - before)
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(work);
    thread.expect("because threads can be started").join().expect("because extraction does not panic")
}

/// Time that this thread has been on a processor.
fn processor_time() -> Duration {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").expect("because this is Linux");
    let nanoseconds = line.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.expect("because the first field is the time on the processor"))
}

/// Processor time of an ordinary page, for each byte.
fn ordinary_cost() -> f64 {
    let part = "<div class=part><h2 id=part>Part</h2><p>Some <b>words</b> with a <a href=/link>link</a>, and more.</p></div>\n";
    let page = part.repeat(ORDINARY_BYTES / part.len());
    let bytes = page.len();
    read_on_small_stack(page).1.as_secs_f64() / bytes as f64
}

#[test]
fn no_page_overflows_the_stack_or_takes_for_ever() {
    let deep =
        |tag: &str| format!("{}x{}", format!("<{tag}>").repeat(50_000), format!("</{tag}>").repeat(50_000));
    let cases: Vec<(&str, String)> = vec![
        ("deep divs", deep("div")),
        ("deep bold", deep("b")),
        ("deep spans", deep("span")),
        ("deep quotes", deep("blockquote")),
        ("deep lists", deep("ul><li")),
        ("deep tables", deep("table><tr><td")),
        ("deep links", deep("a href=/x")),
        ("deep custom", deep("x-y")),
        ("deep svg", deep("svg><g")),
        ("deep templates", deep("template")),
        ("deep details", deep("details><summary")),
        ("never closed", "<div><b><i>x".repeat(30_000)),
        (
            "formatting that comes back",
            format!(
                "{}{}",
                (0..250).map(|i| format!("<font size={i}>")).collect::<String>(),
                "<p>x".repeat(90_000)
            ),
        ),
        ("one long line", format!("<p>{}</p>", "word ".repeat(2_000_000))),
        ("one long word", format!("<p>{}</p>", "w".repeat(10_000_000))),
        ("stars", format!("<p>{}</p>", "*_[<&`".repeat(300_000))),
        (
            "many attributes",
            format!("<p {}>x</p>", (0..200_000).map(|i| format!("a{i} ")).collect::<String>()),
        ),
        ("long attribute", format!("<p title=\"{}\">x</p>", "a b ".repeat(2_000_000))),
        ("open quote", format!("<p title=\"{}", "a b ".repeat(1_000_000))),
        ("many elements", "<i>x</i>".repeat(400_000)),
        ("end tags", format!("x{}", "</p>".repeat(300_000))),
        ("comments", format!("x{}", "<!-->".repeat(300_000))),
        ("open comment", format!("x<!--{}", "- ".repeat(1_000_000))),
        (
            "spans of cells",
            format!(
                "<table><tr>{}</tr>{}</table>",
                "<td colspan=1000 rowspan=60000>x</td>".repeat(500),
                "<tr><td>y</td></tr>".repeat(5_000)
            ),
        ),
        ("stray cells", "<table><b>x".repeat(10_000)),
        ("scripts", "<script>x".repeat(100_000)),
        ("entities", format!("<p>{}", "&amp;&#x41;&notit;".repeat(100_000))),
        ("json-ld", format!("<script type='application/ld+json'>{}</script><p>x", "[".repeat(200_000))),
        ("many links", format!("<p>{}", "<a href='/a?b#c'>x</a>".repeat(90_000))),
    ];
    let ordinary = ordinary_cost();
    for (name, page) in cases {
        let bytes = page.len();
        let (document, time) = read_on_small_stack(page);
        let ratio = time.as_secs_f64() / (ordinary * bytes as f64);
        assert!(
            ratio < DEAREST,
            "{name} took {time:?}, {ratio:.0} times as long as an ordinary page of its size"
        );
        let textless = ["deep svg", "deep templates", "open quote", "scripts"].contains(&name);
        assert!(textless || !document.markdown.is_empty(), "{name} lost its text");
    }
}

#[test]
fn text_below_the_deepest_level_is_kept() {
    let page = format!(
        "<p>before</p>{}<p>bottom</p>{}<p>after</p>",
        "<div><section>".repeat(5_000),
        "</section></div>".repeat(5_000)
    );
    assert_eq!(html(&page).markdown, "before\n\nbottom\n\nafter");
}

#[test]
fn a_page_with_too_many_elements_keeps_its_words() {
    let page = format!("<title>t</title><style>no</style>{}", "<p>a &amp; b</p>".repeat(150_000));
    let document = html(&page);
    assert_eq!(document.markdown.lines().next(), Some("a & b"));
    assert_eq!(document.word_count, 450_000);
}

#[test]
fn unclosed_list_items_are_not_depth() {
    let document = html(&format!("<ul>{}</ul><p>end", "<li>item".repeat(5_000)));
    assert_eq!(document.markdown.matches("- item\n").count(), 5_000);
}

#[test]
fn pages_without_a_body_have_frames() {
    let document = html(
        "<html><frameset cols='20%,80%'><frame src=/menu.html name=menu><frame src=/main.html></frameset></html>",
    );
    assert_eq!(
        document.markdown,
        "[menu](https://example.com/menu.html)\n\n[frame](https://example.com/main.html)"
    );
    assert_eq!(html("<html><head><title>T</title></head></html>").title.as_deref(), Some("T"));
}

fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "<p>",
            "</p>",
            "<table>",
            "<tr>",
            "<td colspan=3>",
            "<th rowspan=2>",
            "</table>",
            "<ul>",
            "<ol start=-5>",
            "<li>",
            "</ul>",
            "<a href=x>",
            "</a>",
            "<b>",
            "</b>",
            "<i>",
            "</i>",
            "<code>",
            "</code>",
            "<pre>",
            "</pre>",
            "<blockquote>",
            "</blockquote>",
            "<h1>",
            "</h1>",
            "<dl>",
            "<dt>",
            "<dd>",
            "<br>",
            "<hr>",
            "<img src=i alt='[a'>",
            "<svg>",
            "<math>",
            "</math>",
            "<template>",
            "<select>",
            "<option>",
            "<script>",
            "</script>",
            "<style>",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "<?x",
            "&amp;",
            "&#0;",
            "&#xD800;",
            "<input type=checkbox>",
            "<details>",
            "<summary>",
            "<frameset>",
            "<body>",
            "<span hidden>",
            "<div class='nav related'>",
            "<article>",
            "</article>",
            "<title>",
            "<textarea>",
            "<noscript>",
            "<iframe src=//x>",
            "</",
            "<",
            "\"",
            "\0",
        ])
        .prop_map(str::to_owned),
        "[ -~\\n\u{a0}é漢🙂]{0,12}",
        Just("A sentence of some length, with commas, and an end.".to_owned()),
    ];
    prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), header in prop::option::of("(text/(html|plain|xml)|application/(json|xhtml\\+xml|pdf))(; charset=[a-z0-9-]{0,10})?")) {
        let _ = try_read(&bytes, header.as_deref());
    }

    #[test]
    fn tag_soup_never_panics(page in soup()) {
        let first = try_read(page.as_bytes(), Some("text/html; charset=utf-8"));
        let again = try_read(page.as_bytes(), Some("text/html; charset=utf-8"));
        assert_eq!(first, again);
        let _ = try_read(page.as_bytes(), Some("application/xhtml+xml"));
    }
}
