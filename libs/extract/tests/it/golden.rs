//! Construct by construct: `tests/golden/NAME.html` becomes exactly `tests/golden/NAME.md`.

use std::path::Path;

use super::html;

#[test]
fn every_construct_becomes_the_markdown_a_person_would_write() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let (mut seen, mut wrong) = (0, String::new());
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "html")) {
        seen += 1;
        let found = html(&std::fs::read_to_string(path).unwrap()).markdown;
        let expected = std::fs::read_to_string(path.with_extension("md")).unwrap_or_default();
        if found.trim_end() != expected.trim_end() {
            wrong += &format!("--- {}\n{}", path.display(), differences(expected.trim_end(), &found));
        }
    }
    assert!(seen >= 20, "only {seen} golden files");
    assert!(wrong.is_empty(), "{wrong}");
}

fn differences(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let mut report = String::new();
    for at in 0..expected.len().max(found.len()) {
        let (wanted, got) = (expected.get(at), found.get(at));
        if wanted != got {
            report += &format!("line {}\n  expected {wanted:?}\n  found    {got:?}\n", at + 1);
        }
    }
    report
}
