//! Hosts whose pages are written by their scripts: learned from the last pages, so that the next ones are not fetched twice.
//!
//! Promises: one page that can be read without a browser makes it forget; a page in twenty is asked for over HTTP all the same, so
//! that a host that has changed is noticed; hosts and time have a bound. Each crawler learns for itself: what it does not know
//! costs one request.

use std::{sync::Arc, time::Duration};

use extract::{Document, PageStatus};
use moka::future::Cache;
use parking_lot::Mutex;
use serde::Deserialize;

/// Pages in a row that tell a habit.
const ENOUGH: u32 = 3;
/// One page of so many is asked for over HTTP nevertheless.
const SAMPLE: u32 = 20;

/// `[render]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Hosts that are remembered.
    pub hosts: u64,
    /// For how long after their last page.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
}

/// What is known of a host.
#[derive(Debug, Default)]
struct Habit {
    /// Pages in a row that needed a browser.
    needed: u32,
    /// Pages that went there unasked.
    skipped: u32,
    /// Why the last one needed it.
    reason: &'static str,
}

/// The habits of hosts. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub(crate) struct Habits(Cache<String, Arc<Mutex<Habit>>>);

impl Habits {
    pub(crate) fn new(config: &Config) -> Self {
        Self(Cache::builder().max_capacity(config.hosts).time_to_idle(config.keep).build())
    }

    /// Why the next page of a host goes to the browser without being asked for over HTTP. `None`: it does not.
    pub(crate) async fn skip(&self, host: &str) -> Option<String> {
        let habit = self.0.get(host).await?;
        let mut habit = habit.lock();
        if habit.needed < ENOUGH {
            return None;
        }
        habit.skipped += 1;
        let told = format!("like the last pages of its host ({})", habit.reason);
        (!habit.skipped.is_multiple_of(SAMPLE)).then_some(told)
    }

    /// Notes what a page of a host, fetched over HTTP, was like.
    pub(crate) async fn note(&self, host: &str, document: &Document, html: bool) {
        match document.needs_javascript {
            Some(reason) => {
                let habit = self.0.get_with_by_ref(host, async { Arc::default() }).await;
                let mut habit = habit.lock();
                habit.needed = habit.needed.saturating_add(1);
                habit.reason = reason;
            }
            // A file, an error page or a bot wall says nothing about the others.
            None if html && document.page_status == PageStatus::Ok => self.0.invalidate(host).await,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(needs_javascript: Option<&'static str>) -> Document {
        Document { needs_javascript, ..Document::default() }
    }

    #[tokio::test]
    async fn three_pages_make_a_habit_and_one_ends_it() {
        let habits = Habits::new(&Config { hosts: 10, keep: Duration::from_secs(60) });
        for _ in 0..ENOUGH {
            assert_eq!(habits.skip("a").await, None);
            habits.note("a", &page(Some("empty application root")), true).await;
        }
        let told = habits.skip("a").await.unwrap();
        assert!(told.contains("empty application root"), "{told}");
        assert_eq!(habits.skip("b").await, None);
        let asked = async |pages: u32| {
            let mut asked = 0;
            for _ in 0..pages {
                asked += u32::from(habits.skip("a").await.is_none());
            }
            asked
        };
        assert_eq!(asked(5 * SAMPLE).await, 5, "now and then it is asked");
        habits.note("a", &page(None), false).await;
        assert!(asked(2).await < 2, "a file says nothing");
        habits.note("a", &page(None), true).await;
        assert_eq!(habits.skip("a").await, None);
    }
}
