//! Links as citations, code and brackets left alone.

use extract::cite;
use proptest::prelude::*;

#[test]
fn links_become_numbers() {
    for (markdown, expected, references) in [
        ("no links", "no links", ""),
        (
            "[a](https://a.example/) and [b](https://b.example/ \"B \\\"x\\\"\"), [again](https://a.example/).",
            "a⟨1⟩ and b⟨2⟩, again⟨1⟩.",
            "## References\n\n⟨1⟩ https://a.example/: a\n⟨2⟩ https://b.example/: B \\\"x\\\" - b\n",
        ),
        (
            "![alt](https://a.example/i.png)",
            "![alt⟨1⟩]",
            "## References\n\n⟨1⟩ https://a.example/i.png: alt\n",
        ),
        (
            "[![alt](https://a.example/i.png)](https://b.example/)",
            "![alt⟨1⟩]⟨2⟩",
            "## References\n\n⟨1⟩ https://a.example/i.png: alt\n⟨2⟩ https://b.example/\n",
        ),
        ("[part](#part) of", "part of", ""),
        (
            "[**b** `c](d)` e](https://a.example/x_(y))",
            "**b** `c](d)` e⟨1⟩",
            "## References\n\n⟨1⟩ https://a.example/x_(y): **b** `c](d)` e\n",
        ),
        ("\\[a](https://a.example/)", "\\[a](https://a.example/)", ""),
        ("a [x] (y) [z](a b) ](https://c.example/)", "a [x] (y) [z](a b) ](https://c.example/)", ""),
        (
            "```md\n[a](https://a.example/)\n```\n[b](https://b.example/)",
            "```md\n[a](https://a.example/)\n```\nb⟨1⟩",
            "## References\n\n⟨1⟩ https://b.example/: b\n",
        ),
        (
            "> ````\n> ```\n> [a](https://a.example/)\n> ````",
            "> ````\n> ```\n> [a](https://a.example/)\n> ````",
            "",
        ),
        ("[open\n\n](https://a.example/)", "[open\n\n](https://a.example/)", ""),
        ("`` ` [a](u) `` [b](u)", "`` ` [a](u) `` b⟨1⟩", "## References\n\n⟨1⟩ u: b\n"),
    ] {
        let cited = cite(markdown);
        assert_eq!(
            (cited.markdown.as_str(), cited.references.as_str()),
            (expected, references),
            "{markdown}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_can_be_cited(text in "[\\[\\]()!`\\\\a #\"\n>⟨é-]{0,80}") {
        let cited = cite(&text);
        prop_assert!(cited.markdown.len() <= text.len() * 8);
    }
}
