//! A linear scan of HTML without a tree, for input that a parser must not see: it finds tags with absurdly many
//! attributes (html5ever compares each with all), and turns a page that is too large into plain text.

/// Most attributes of one tag; html5ever needs quadratic time beyond.
const MAX_ATTRIBUTES: usize = 1_000;

/// A piece of HTML.
enum Piece<'a> {
    Text(&'a str),
    Tag { name: &'a str, attributes: usize },
}

/// Whether some tag has more attributes than a parser should see.
pub(crate) fn overloaded(html: &str) -> bool {
    // Each attribute takes two bytes at least, so a short page needs no scan.
    html.len() > 2 * MAX_ATTRIBUTES
        && Pieces { rest: html }
            .any(|piece| matches!(piece, Piece::Tag { attributes, .. } if attributes > MAX_ATTRIBUTES))
}

/// The visible text of a page, a line for each block; structure is lost, time is linear.
pub(crate) fn text(html: &str) -> String {
    let mut out = String::new();
    for piece in (Pieces { rest: html }) {
        match piece {
            Piece::Text(text) => push_text(&mut out, text),
            Piece::Tag { name, .. } if !inline(name) && !out.is_empty() && !out.ends_with('\n') => {
                out.push('\n')
            }
            Piece::Tag { .. } => {}
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn inline(name: &str) -> bool {
    const INLINE: &[&str] = &[
        "a", "abbr", "b", "code", "em", "font", "i", "img", "kbd", "small", "span", "strong", "sub", "sup",
        "u",
    ];
    let name = name.trim_start_matches('/');
    INLINE.iter().any(|inline| name.eq_ignore_ascii_case(inline))
}

fn push_text(out: &mut String, text: &str) {
    if text.starts_with(|c: char| c.is_ascii_whitespace()) {
        push_space(out);
    }
    for word in text.split_ascii_whitespace() {
        push_decoded(out, word);
        out.push(' ');
    }
    if !text.ends_with(|c: char| c.is_ascii_whitespace()) && out.ends_with(' ') {
        out.pop();
    }
}

fn push_space(out: &mut String) {
    if !out.is_empty() && !out.ends_with([' ', '\n']) {
        out.push(' ');
    }
}

fn push_decoded(out: &mut String, mut word: &str) {
    while let Some(at) = word.find('&') {
        out.push_str(&word[..at]);
        let end = word.bytes().skip(at).take(12).position(|byte| byte == b';').map(|length| at + length);
        let decoded = end.and_then(|end| entity(&word[at + 1..end]));
        out.push(decoded.unwrap_or('&'));
        word = &word[if decoded.is_some() { end.unwrap_or(at) } else { at } + 1..];
    }
    out.push_str(word);
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|c| !c.is_control())
        }
    }
}

/// Splits HTML into text and tags; comments and the content of scripts and styles are left out.
struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            let bytes = self.rest.as_bytes();
            match bytes {
                [] => return None,
                [b'<', b'!' | b'?', ..] => self.skip_comment(),
                [b'<', b'a'..=b'z' | b'A'..=b'Z' | b'/', ..] => return Some(self.tag()),
                _ => {
                    let end = memchr::memchr(b'<', &bytes[1..]).map_or(bytes.len(), |at| at + 1);
                    let (text, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    return Some(Piece::Text(text));
                }
            }
        }
    }
}

impl<'a> Pieces<'a> {
    fn skip_comment(&mut self) {
        let end = if self.rest.starts_with("<!-->") {
            Some(5)
        } else if self.rest.starts_with("<!--") {
            self.rest.find("-->").map(|at| at + 3)
        } else {
            self.rest.find('>').map(|at| at + 1)
        };
        self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
    }

    fn tag(&mut self) -> Piece<'a> {
        let bytes = self.rest.as_bytes();
        let name_end =
            bytes[2..].iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'));
        let name_end = name_end.map_or(bytes.len(), |at| at + 2);
        let (end, attributes) = attributes(bytes, name_end);
        // The name starts after `<` and ends before an ASCII byte: both are character boundaries.
        let name = self.rest.get(1..name_end).unwrap_or_default();
        self.rest = self.rest.get(end..).unwrap_or_default();
        const RAW: &[&str] =
            &["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript"];
        if let Some(raw) = RAW.iter().find(|raw| name.eq_ignore_ascii_case(raw)) {
            self.skip_raw(raw);
        }
        Piece::Tag { name, attributes }
    }

    fn skip_raw(&mut self, name: &str) {
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        while let Some(next) = memchr::memmem::find(&bytes[at..], b"</") {
            at += next;
            let candidate = bytes.get(at + 2..at + 2 + name.len());
            if candidate.is_some_and(|candidate| candidate.eq_ignore_ascii_case(name.as_bytes())) {
                self.rest = &self.rest[at..];
                return;
            }
            at += 2;
        }
        self.rest = "";
    }
}

/// End of a tag and the number of its attributes; `at` is behind the name.
fn attributes(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let mut count = 0;
    let mut separated = true;
    while at < bytes.len() {
        match bytes[at] {
            b'>' => return (at + 1, count),
            b'=' => {
                at += 1 + bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                if let Some(quote @ (b'"' | b'\'')) = bytes.get(at).copied() {
                    at += 1 + memchr::memchr(quote, &bytes[at + 1..]).unwrap_or(bytes.len() - at - 1);
                    separated = true;
                } else {
                    at += bytes[at..]
                        .iter()
                        .take_while(|byte| !byte.is_ascii_whitespace() && **byte != b'>')
                        .count();
                    continue;
                }
            }
            byte if byte.is_ascii_whitespace() || byte == b'/' => separated = true,
            _ => {
                count += usize::from(separated);
                separated = false;
            }
        }
        at += 1;
    }
    (bytes.len(), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_without_a_parser() {
        for (html, expected) in [
            ("<p>a <b>b</b>c</p><p>d &amp; e</p>", "a bc\nd & e"),
            ("x<script>if (a<b) {}</script>y<!-- z -->", "x\ny"),
            ("a&lt;b &#65;&#x42; &bogus; &", "a<b AB &bogus; &"),
            ("<a href=\"x>y\">link</a>", "link"),
            ("unclosed <a href='", "unclosed"),
            ("ünï<é>", "ünï<é>"),
        ] {
            assert_eq!(text(html), expected, "{html}");
        }
    }

    #[test]
    fn attributes_are_counted_outside_quotes() {
        let many = |n: usize| (0..n).map(|i| format!(" a{i}='x y z > w'")).collect::<String>();
        assert!(!overloaded(&format!("<p{}>", many(900))));
        assert!(overloaded(&format!("<p{}>", many(1100))));
        assert!(!overloaded(&format!("<p title=\"{}\">", "a b ".repeat(4000))));
    }
}
