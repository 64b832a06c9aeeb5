//! How often loops turn that are woken by others.

use std::time::Duration;

use tokio::time::Instant;

/// Turns that may follow each other at once after a pause.
const BURST: u32 = 4;

/// When the next turn may begin if one begins now, which was due at `due`: one in each `interval` on average, so that those
/// who wake the loop meanwhile share a turn, and none waits while they are few (generic cell rate algorithm).
pub(crate) fn next(due: Instant, interval: Duration) -> Instant {
    let now = Instant::now();
    let earliest = now.checked_sub(interval * BURST).unwrap_or(now);
    due.max(earliest) + interval
}

/// Whether what was begun `last` is to be done again, because that is `interval` ago or more; then it counts as begun now.
pub(crate) fn again(last: &mut Option<Instant>, interval: Duration) -> bool {
    let again = last.is_none_or(|last| last.elapsed() >= interval);
    if again {
        *last = Some(Instant::now());
    }
    again
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_turns_follow_at_once_and_then_one_in_each_interval() {
        let interval = Duration::from_millis(10);
        tokio::time::advance(interval * 100).await;
        let start = Instant::now();
        let mut due = start;
        tokio::time::advance(interval * 100).await;
        let begun = Instant::now();
        for _ in 0..20 {
            tokio::time::sleep_until(due).await;
            due = next(due, interval);
        }
        let took = begun.elapsed();
        assert!(took >= interval * 14 && took <= interval * 17, "{took:?}");
    }
}
