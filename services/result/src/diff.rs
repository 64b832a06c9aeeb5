//! How two texts differ, as a unified diff. No I/O.
//!
//! Promises: bounded in time and in size, whatever the texts; what is cut is cut at a line and said so.

use std::time::Duration;

use similar::{ChangeTag, TextDiff};

/// Lines around a change.
const CONTEXT: usize = 3;

/// A unified diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diff {
    pub(crate) text: String,
    pub(crate) added: usize,
    pub(crate) removed: usize,
    pub(crate) truncated: bool,
}

/// Compares `base` with `page`, line by line. After `time` the rest is told as it stands, all removed and all added; the text
/// has at most `bytes`.
pub(crate) fn unified(base: (&str, &str), page: (&str, &str), time: Duration, bytes: usize) -> Diff {
    let diff = TextDiff::configure().timeout(time).diff_lines(base.1, page.1);
    let (mut added, mut removed) = (0, 0);
    for change in diff.iter_all_changes() {
        match change.tag() {
            ChangeTag::Insert => added += 1,
            ChangeTag::Delete => removed += 1,
            ChangeTag::Equal => {}
        }
    }
    let mut text = if added + removed == 0 {
        String::new()
    } else {
        diff.unified_diff().context_radius(CONTEXT).header(base.0, page.0).to_string()
    };
    let truncated = text.len() > bytes;
    if truncated {
        let end = text.as_bytes()[..bytes].iter().rposition(|byte| *byte == b'\n').map_or(0, |line| line + 1);
        text.truncate(end);
    }
    Diff { text, added, removed, truncated }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(30);

    #[test]
    fn a_changed_line_is_shown_with_its_neighbours() {
        let base = "# Prices\n\none: 1\ntwo: 2\nthree: 3\n";
        let page = "# Prices\n\none: 1\ntwo: 20\nthree: 3\n";
        let diff = unified(("a", base), ("b", page), TIME, 1000);
        assert_eq!(
            diff.text,
            "--- a\n+++ b\n@@ -1,5 +1,5 @@\n # Prices\n \n one: 1\n-two: 2\n+two: 20\n three: 3\n"
        );
        assert_eq!((diff.added, diff.removed, diff.truncated), (1, 1, false));
        let equal = unified(("a", base), ("b", base), TIME, 1000);
        assert_eq!(equal, Diff { text: String::new(), added: 0, removed: 0, truncated: false });
    }

    #[test]
    fn a_long_diff_is_cut_at_a_line() {
        let page: String = (0..1000).map(|n| format!("zeile {n} é\n")).collect();
        let diff = unified(("a", ""), ("b", &page), TIME, 100);
        assert!(diff.truncated && diff.text.len() <= 100 && diff.text.ends_with('\n'), "{diff:?}");
        assert_eq!((diff.added, diff.removed), (1000, 0));
    }

    #[test]
    fn texts_without_a_common_line_take_no_longer_than_they_may() {
        let text = |seed: u64| {
            let mut state = seed;
            let mut lines = String::new();
            for _ in 0..60_000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                lines += &format!("{}\n", state >> 54);
            }
            lines
        };
        let diff = unified(("a", &text(1)), ("b", &text(2)), Duration::from_millis(50), 10_000);
        assert!(diff.truncated && diff.added > 0 && diff.removed > 0);
    }
}
