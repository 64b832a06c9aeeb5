//! Emphasis beside letters: CommonMark does not see `中文**“引号”**后面` or `**Note:**text` as bold, since a mark between
//! punctuation and a letter can neither open nor close. There, the punctuation goes outside the emphasis.

/// Punctuation that may stand before emphasis as well as in it.
const OPENING: &[char] = &['“', '‘', '«', '「', '『', '《', '【', '"'];
/// Punctuation that may stand behind emphasis as well as in it.
const CLOSING: &[char] = &[
    '”', '’', '»', '」', '』', '》', '】', '"', ':', ';', ',', '.', '!', '?', '…', '。', '，', '、', '：',
    '；', '！', '？',
];

/// Bytes of the word that must be written before emphasis opens behind `out`.
pub(super) fn before(out: &str, word: &str) -> usize {
    if !out.ends_with(char::is_alphanumeric) {
        return 0;
    }
    word.len() - word.trim_start_matches(OPENING).len()
}

/// Moves punctuation from inside the emphasis that ends `out` to behind it, if the next word would keep it open.
pub(super) fn behind(out: &mut String, word: &str) {
    if !word.starts_with(char::is_alphanumeric) {
        return;
    }
    let text = out.trim_end_matches(['*', '~']);
    let kept = text.trim_end_matches(CLOSING);
    if kept.len() == text.len() || !kept.ends_with(char::is_alphanumeric) {
        return;
    }
    let (kept, text) = (kept.len(), text.len());
    let moved = format!("{}{}", &out[text..], &out[kept..text]);
    out.truncate(kept);
    out.push_str(&moved);
}
