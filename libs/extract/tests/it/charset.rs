//! Which encoding a body is read in.

use super::read;

#[test]
fn the_most_trusted_declaration_wins() {
    let page = |head: &str, body: &[u8]| {
        [format!("<html><head>{head}</head><body><p>").as_bytes(), body, b"</p></body></html>"].concat()
    };
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain("<p>żółw</p>".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let wide: Vec<u8> = "<p>żółw</p>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let cases: Vec<(&str, Vec<u8>, Option<&str>, &str)> = vec![
        (
            "bom over header",
            [b"\xef\xbb\xbf".as_slice(), &page("", "é".as_bytes())].concat(),
            Some("text/html; charset=windows-1252"),
            "é",
        ),
        ("utf-16 bom", utf16, Some("text/html"), "żółw"),
        ("utf-16 header", wide, Some("text/html; charset=utf-16be"), "żółw"),
        (
            "header over meta",
            page("<meta charset=utf-8>", b"\xe9"),
            Some("text/html; charset=iso-8859-1"),
            "é",
        ),
        ("quoted header", page("", b"\xbf\xf3\xb3w"), Some("text/html;charset=\"iso-8859-2\""), "żółw"),
        ("meta charset", page("<meta charset='shift_jis'>", b"\x93\xfa\x96\x7b"), Some("text/html"), "日本"),
        (
            "meta http-equiv",
            page(
                "<meta http-equiv=Content-Type content='text/html; charset=koi8-r'>",
                b"\xd0\xd2\xc9\xd7\xc5\xd4",
            ),
            None,
            "привет",
        ),
        (
            "meta in a comment",
            page("<!-- <meta charset=koi8-r> --><meta charset=utf-8>", "é".as_bytes()),
            Some("text/html"),
            "é",
        ),
        ("meta says utf-16", page("<meta charset=utf-16>", "é".as_bytes()), Some("text/html"), "é"),
        (
            "unknown label",
            page("<meta charset=klingon>", "é".as_bytes()),
            Some("text/html; charset=x-nope"),
            "é",
        ),
        (
            "xml declaration",
            [b"<?xml version='1.0' encoding='iso-8859-1'?>".as_slice(), &page("", b"\xe9")].concat(),
            Some("application/xhtml+xml"),
            "é",
        ),
        (
            "guessed utf-8",
            page("", "naïve café, déjà vu".as_bytes()),
            Some("text/html"),
            "naïve café, déjà vu",
        ),
        (
            "guessed cyrillic",
            page("", &encoding_rs::WINDOWS_1251.encode("Съешь же ещё этих мягких французских булок").0),
            Some("text/html"),
            "Съешь же ещё этих мягких французских булок",
        ),
        ("bad bytes", page("<meta charset=utf-8>", b"a\xffb"), Some("text/html"), "a\u{fffd}b"),
    ];
    for (name, bytes, header, expected) in cases {
        assert_eq!(read(&bytes, header).markdown, expected, "{name}");
    }
}
