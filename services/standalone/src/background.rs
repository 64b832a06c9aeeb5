//! A runtime for work that can wait: the crawler's, beside services that somebody waits for.
//!
//! In one process all services share the cores of one machine. Its threads, and the browsers and extraction threads that they
//! start, have a lower priority than the rest (`setpriority(2)`, which on Linux is of a thread), so that a submit or a
//! question is answered while pages are crawled, and the crawl takes what is left.

use std::io;

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// How nice its threads are: at the same load they get about a tenth of what others get (`sched(7)`).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// A running runtime. Dropping it does not wait for what runs in it.
pub(crate) struct Background(Option<Runtime>);

impl Background {
    /// Starts its threads.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("background")
            .enable_all()
            .on_thread_start(step_back)
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// What is spawned while the guard lives is spawned here.
    pub(crate) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of this thread, where a thread has one of its own.
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let lowered = getpriority_process(None).and_then(|now| setpriority_process(None, now.max(NICENESS)));
        if let Err(error) = lowered {
            tracing::warn!(%error, "the crawler has the priority of the other services");
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn its_tasks_step_back_and_others_do_not() {
        let nice = || rustix::process::getpriority_process(None).expect("because a thread may ask");
        let ours = nice();
        let background = Background::start().expect("because threads can be started");
        let theirs = {
            let _in = background.enter();
            mesh::spawn("asks", async move { nice() })
        };
        assert_eq!(theirs.await, Ok(NICENESS.max(ours)));
        assert_eq!(nice(), ours);
    }
}
