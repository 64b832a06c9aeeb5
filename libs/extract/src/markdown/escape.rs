//! Which characters of a word would act as Markdown, and only those get a backslash.

/// Where a word stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// First on its line.
    pub(super) line_start: bool,
    /// Behind white space.
    pub(super) spaced: bool,
    /// Square brackets would end the link around them.
    pub(super) brackets: bool,
}

/// Bytes that may need a backslash.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let special = b"\\`*_[]<&~\xc2";
    let mut at = 0;
    while at < special.len() {
        table[special[at] as usize] = true;
        at += 1;
    }
    table
};

/// Whether the text of a link has square brackets that do not pair up, and would end it.
pub(super) fn unpaired(text: &str) -> bool {
    let mut depth = 0i32;
    let paired = text.bytes().all(|byte| {
        depth += i32::from(byte == b'[') - i32::from(byte == b']');
        depth >= 0
    });
    !paired || depth != 0
}

/// Bytes up to the next white space.
pub(super) fn word_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() && blank_at(bytes, at) == 0 {
        at += 1;
    }
    at
}

/// Bytes of white space at the start; a no-break space counts.
pub(super) fn blank_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match blank_at(bytes, at) {
            0 => break,
            length => at += length,
        }
    }
    at
}

fn blank_at(bytes: &[u8], at: usize) -> usize {
    match bytes[at] {
        b' ' | b'\n' | b'\t' | b'\r' | b'\x0c' => 1,
        0xc2 if bytes.get(at + 1) == Some(&0xa0) => 2,
        // A zero-width space alone would make a paragraph of nothing.
        0xe2 if bytes.len() == at + 3 && bytes[at + 1..] == [0x80, 0x8b] => 3,
        0xef if bytes[at..].starts_with(b"\xef\xbb\xbf") => 3,
        _ => 0,
    }
}

/// Appends a word, escaped.
pub(super) fn push(out: &mut String, word: &str, place: Place) {
    if place.line_start && push_line_start(out, word) {
        return;
    }
    if !word.bytes().any(|byte| SPECIAL[byte as usize]) {
        out.push_str(word);
        return;
    }
    // A backslash inside an address would become part of it.
    let address = word.starts_with("http://") || word.starts_with("https://") || word.starts_with("www.");
    let bytes = word.as_bytes();
    for (at, c) in word.char_indices() {
        let next = bytes.get(at + 1).copied();
        let escaped = match c {
            '`' => true,
            '*' => !address && (bytes.len() > 1 || !place.spaced || place.line_start),
            '_' => !address && bytes.len() > 1 && outer(word, at),
            '[' => place.brackets,
            ']' => place.brackets || matches!(next, Some(b'(' | b':')),
            '<' => next.is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?')),
            '&' => entity(&bytes[at + 1..]),
            '~' => next == Some(b'~') || (at > 0 && bytes[at - 1] == b'~'),
            '\\' => next.is_some_and(|next| next.is_ascii_punctuation()),
            // A soft hyphen is not part of the word.
            '\u{ad}' => continue,
            _ => false,
        };
        if escaped {
            out.push('\\');
        }
        out.push(c);
    }
}

/// Whether a byte of a word does not have letters on both sides.
fn outer(word: &str, at: usize) -> bool {
    let letter = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
    !letter(word[..at].chars().next_back()) || !letter(word[at + 1..].chars().next())
}

/// `amp;` and the like, as it follows an ampersand.
fn entity(rest: &[u8]) -> bool {
    let name = rest.iter().take(32).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'#').count();
    name > 0 && rest.get(name) == Some(&b';')
}

/// Escapes a first word that would make a heading, list, quote or rule of its line.
fn push_line_start(out: &mut String, word: &str) -> bool {
    let only = |c: char| word.chars().all(|found| found == c);
    if word.starts_with('>')
        || matches!(word, "+" | "-")
        || (only('#') && word.len() <= 6)
        || only('=')
        || (only('-') && word.len() >= 3)
    {
        out.push('\\');
        out.push_str(word);
        return true;
    }
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if (1..=9).contains(&digits) && matches!(&word[digits..], "." | ")") {
        out.push_str(&word[..digits]);
        out.push('\\');
        out.push_str(&word[digits..]);
        return true;
    }
    false
}
