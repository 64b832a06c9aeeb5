//! Markdown in pieces for retrieval: a piece never holds parts of two sections, and no more tokens than asked for.
//! Promises stable ids: the same text under the same headings has the same id, wherever it moves on the page.

use std::collections::HashMap;

use serde::Serialize;

use crate::citations::fence_marker;

/// How large pieces are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkOptions {
    /// Most tokens of a piece, estimated, without its headings; at least 16. A block that is longer is split.
    pub max_tokens: u32,
    /// Most pieces; text beyond is left out.
    pub max_chunks: usize,
}

impl Default for ChunkOptions {
    fn default() -> Self {
        Self { max_tokens: 512, max_chunks: 10_000 }
    }
}

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chunk {
    /// 32 hexadecimal digits: a hash of headings and text, and of how often the same was there before.
    pub id: String,
    /// The headings it stands under, outermost first, without `#`.
    pub headings: Vec<String>,
    /// The Markdown, with the heading of its section where it begins it.
    pub text: String,
    /// Estimated tokens of the text; see [`token_count`].
    pub tokens: u32,
}

/// Cuts Markdown into pieces: at headings, then between blocks, then between lines, sentences and words.
#[must_use]
pub fn chunk(markdown: &str, options: &ChunkOptions) -> Vec<Chunk> {
    let mut chunker =
        Chunker { limit: options.max_tokens.max(16), most: options.max_chunks, ..Chunker::default() };
    for block in blocks(markdown) {
        chunker.block(block);
    }
    chunker.flush();
    chunker.chunks
}

/// Estimated tokens of a text, as byte-pair encoders of large language models count them.
///
/// A word of Latin letters counts one token for each 6 letters begun, a word of another alphabet one for each 3, three digits
/// one, an ideograph, kana or hangul syllable one, other signs one each, but runs of one sign one for each 4. Good to about a
/// fifth for prose; no model's own count.
#[must_use]
pub fn token_count(text: &str) -> u32 {
    let mut tokens = 0usize;
    let mut run: Option<(Sort, usize)> = None;
    for c in text.chars() {
        let sort = Sort::of(c);
        match &mut run {
            Some((same, length)) if *same == sort => *length += 1,
            _ => {
                tokens += run.map_or(0, |(sort, length)| sort.tokens(length));
                run = Some((sort, 1));
            }
        }
    }
    tokens += run.map_or(0, |(sort, length)| sort.tokens(length));
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Space,
    Latin,
    Letter,
    Digit,
    Wide,
    Sign(char),
}

impl Sort {
    fn of(c: char) -> Self {
        match c {
            c if c.is_whitespace() => Self::Space,
            c if c.is_ascii_alphabetic() || ('\u{c0}'..='\u{24f}').contains(&c) => Self::Latin,
            '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{20000}'.. => {
                Self::Wide
            }
            c if c.is_numeric() => Self::Digit,
            c if c.is_alphabetic() => Self::Letter,
            c => Self::Sign(c),
        }
    }

    fn tokens(self, length: usize) -> usize {
        match self {
            Self::Space => 0,
            Self::Latin => length.div_ceil(6),
            Self::Letter | Self::Digit => length.div_ceil(3),
            Self::Wide => length,
            Self::Sign(_) => length.div_ceil(4),
        }
    }
}

/// The blocks of Markdown: what stands between blank lines, code with its blank lines, headings by themselves.
fn blocks(markdown: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut fence: Option<&str> = None;
    for line in markdown.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        match (fence, fence_marker(line)) {
            (Some(open), Some(close)) if close.starts_with(open) && line.trim().len() == close.len() => {
                fence = None
            }
            (Some(_), _) => continue,
            (None, Some(open)) => fence = Some(open),
            (None, None) if line.trim().is_empty() || heading(line).is_some() => {
                blocks.push(&markdown[start..begin]);
                blocks.push(&markdown[begin..at]);
                start = at;
            }
            (None, None) => {}
        }
    }
    blocks.push(&markdown[start..]);
    blocks.retain(|block| !block.trim().is_empty());
    blocks
}

/// Level and text of a heading.
fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    ((1..=6).contains(&level) && text.starts_with(' ')).then(|| (level, text.trim()))
}

#[derive(Default)]
struct Chunker {
    limit: u32,
    most: usize,
    /// The open sections and their levels.
    path: Vec<(usize, String)>,
    text: String,
    tokens: u32,
    /// Nothing but headings has been written.
    bare: bool,
    seen: HashMap<blake3::Hash, u32>,
    chunks: Vec<Chunk>,
}

impl Chunker {
    fn block(&mut self, block: &str) {
        let block = block.trim_end();
        if let Some((level, text)) = heading(block) {
            // A heading right under a heading opens the same piece: a heading alone finds nothing.
            if !self.bare {
                self.flush();
            }
            while self.path.last().is_some_and(|(above, _)| *above >= level) {
                self.path.pop();
            }
            self.path.push((level, text.to_owned()));
            self.bare = true;
            self.append(block, token_count(block), "\n\n");
            return;
        }
        let tokens = token_count(block);
        if tokens > self.limit {
            self.split(block);
        } else {
            self.add(block, tokens, "\n\n");
        }
    }

    /// Appends to the open piece, or to a new one if it does not fit.
    fn add(&mut self, text: &str, tokens: u32, joint: &str) {
        if !self.bare && self.tokens.saturating_add(tokens) > self.limit {
            self.flush();
        }
        self.bare = false;
        self.append(text, tokens, joint);
    }

    fn append(&mut self, text: &str, tokens: u32, joint: &str) {
        if !self.text.is_empty() {
            self.text.push_str(joint);
        }
        self.text.push_str(text);
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// Adds a block that is too long, line by line, and a line that is too long by sentences, then words.
    fn split(&mut self, block: &str) {
        let mut joint = "\n\n";
        for line in block.split('\n') {
            let tokens = token_count(line);
            if tokens <= self.limit {
                self.add(line, tokens, joint);
            } else {
                for sentence in line.split_inclusive(['.', '!', '?', '。', '！', '？', '\t', ';']) {
                    self.sentence(sentence, joint);
                    joint = "";
                }
            }
            joint = "\n";
        }
    }

    fn sentence(&mut self, sentence: &str, joint: &str) {
        let tokens = token_count(sentence);
        if tokens <= self.limit {
            return self.add(sentence, tokens, joint);
        }
        let mut joint = joint;
        for word in sentence.split_inclusive(' ') {
            // A token is a character at least, so such a piece of a word always fits.
            let mut rest = word;
            while !rest.is_empty() {
                let end = rest.char_indices().nth(self.limit as usize).map_or(rest.len(), |(at, _)| at);
                let (piece, after) = rest.split_at(end);
                self.add(piece, token_count(piece), joint);
                joint = "";
                rest = after;
            }
        }
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim_matches('\n').trim_end();
        self.tokens = 0;
        self.bare = false;
        if text.is_empty() || self.chunks.len() >= self.most {
            return;
        }
        let headings: Vec<String> = self.path.iter().map(|(_, text)| text.clone()).collect();
        let mut hasher = blake3::Hasher::new();
        for part in headings.iter().map(String::as_str).chain([text]) {
            // The length parts what is hashed: ["ab", "c"] is not ["a", "bc"].
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let repeat = self.seen.entry(hasher.finalize()).or_insert(0);
        hasher.update(&repeat.to_le_bytes());
        *repeat += 1;
        let id = hasher.finalize().to_hex()[..32].to_owned();
        self.chunks.push(Chunk { id, headings, tokens: token_count(text), text: text.to_owned() });
    }
}
