//! The progress of a job on a terminal: pages, rate, verdicts.

use std::collections::HashMap;

use api::job::v1::Job;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar on standard error; nothing where that is not a terminal.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} pages  {per_sec}  {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Shows `job` as it stands.
    pub(crate) fn show(&self, job: &Job) {
        let counts = job.counts.unwrap_or_default();
        let done = counts.succeeded + counts.failed + counts.skipped + counts.cancelled;
        self.0.set_length(u64::try_from(counts.found).unwrap_or_default());
        self.0.set_position(u64::try_from(done).unwrap_or_default());
        self.0.set_message(verdicts(&job.verdicts));
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// `ok 198, dns 2`: the most frequent verdict first.
pub(crate) fn verdicts(verdicts: &HashMap<String, i64>) -> String {
    let mut counts: Vec<_> = verdicts.iter().collect();
    counts.sort_by_key(|(word, count)| (std::cmp::Reverse(**count), (*word).clone()));
    let words: Vec<_> = counts.iter().map(|(word, count)| format!("{word} {count}")).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_verdict_comes_first() {
        let counts =
            HashMap::from([("dns".to_owned(), 2), ("ok".to_owned(), 198), ("connect".to_owned(), 2)]);
        assert_eq!(verdicts(&counts), "ok 198, connect 2, dns 2");
    }
}
