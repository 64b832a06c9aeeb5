//! Pieces for retrieval: nothing lost, nothing too large, ids that stay.

use std::collections::HashSet;

use extract::{ChunkOptions, chunk, token_count};
use proptest::prelude::*;

fn small(max_tokens: u32) -> ChunkOptions {
    ChunkOptions { max_tokens, ..ChunkOptions::default() }
}

#[test]
fn sections_are_pieces_and_know_their_headings() {
    let markdown = "Intro.\n\n# A\n\n## B\n\none two\n\nthree\n\n```\n# no heading\n\ncode\n```\n\n## C\n\nfour\n\n# D\n\n# E\n";
    let chunks = chunk(markdown, &ChunkOptions::default());
    let told: Vec<_> = chunks.iter().map(|chunk| (chunk.headings.join("/"), chunk.text.as_str())).collect();
    let expected = [
        ("", "Intro."),
        ("A/B", "# A\n\n## B\n\none two\n\nthree\n\n```\n# no heading\n\ncode\n```"),
        ("A/C", "## C\n\nfour"),
        ("E", "# D\n\n# E"),
    ];
    assert_eq!(told, expected.map(|(path, text)| (path.to_owned(), text)));
}

#[test]
fn ids_stay_when_text_moves_and_differ_when_it_differs() {
    let ids = |markdown: &str| -> Vec<String> {
        chunk(markdown, &ChunkOptions::default()).into_iter().map(|chunk| chunk.id).collect()
    };
    let before = ids("# A\n\none\n\n# B\n\ntwo");
    let after = ids("# New\n\nzero\n\n# B\n\ntwo\n\n# A\n\none");
    assert_eq!((&before[0], &before[1]), (&after[2], &after[1]));
    assert_eq!(before[0], "ab3e59ea9d90859443980a62a791f022");
    let twice = ids("# A\n\none\n\n# A\n\none");
    assert_eq!(twice[0], before[0]);
    assert_ne!(twice[0], twice[1], "a repeat has an id of its own");
    assert_ne!(ids("# A\n\n# B\n\none"), ids("# A B\n\none"));
}

#[test]
fn tokens_are_near_what_encoders_count() {
    for (text, tokens) in [
        ("", 0),
        ("   \n\n ", 0),
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("internationalization", 4),
        ("你好，世界", 5),
        ("1234567", 3),
        ("----------", 3),
        ("привет мир", 3),
    ] {
        assert_eq!(token_count(text), tokens, "{text}");
    }
}

#[test]
fn long_blocks_are_split_and_nothing_is_lost() {
    let word = "a".repeat(5_000);
    let sentence = "Words make a sentence, and sentences a paragraph. ".repeat(40);
    let rows = "| cell | cell |\n".repeat(100);
    let markdown =
        format!("# T\n\n{sentence}\n\n{rows}\n\n{word}\n\n```rust\n{}```", "let x = 1;\n".repeat(100));
    let chunks = chunk(&markdown, &small(40));
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let all: String = chunks.iter().map(|chunk| squeeze(&chunk.text)).collect();
    assert_eq!(all, squeeze(&markdown));
    for chunk in &chunks {
        assert!(chunk.tokens <= 40 + token_count("# T"), "{} {}", chunk.tokens, chunk.text);
        assert_eq!(chunk.tokens, token_count(&chunk.text));
        assert_eq!(chunk.headings, ["T"]);
    }
    let few = chunk(&markdown, &ChunkOptions { max_tokens: 40, max_chunks: 3 });
    assert_eq!(few, chunks[..3]);
}

proptest! {
    #[test]
    fn any_text_can_be_cut(text in "[#a `\n.é你0-9>~-]{0,200}", limit in 0u32..40) {
        let chunks = chunk(&text, &small(limit));
        let ids: HashSet<_> = chunks.iter().map(|chunk| &chunk.id).collect();
        prop_assert_eq!(ids.len(), chunks.len());
        let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let all: String = chunks.iter().map(|chunk| squeeze(&chunk.text)).collect();
        prop_assert_eq!(all, squeeze(&text));
    }
}
