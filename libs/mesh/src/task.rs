//! The only way to start a task. A task has a name, keeps the span, trace and request of the code that started it, ends
//! when its handle drops, and never dies in silence.

use std::{
    any::Any,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{self, Poll},
};

use futures::FutureExt;
use tokio::task::JoinHandle;
use tracing::{Instrument, Span, error};

use crate::{context, metrics};

/// Why a task has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// It panicked; the panic was logged and counted.
    #[error("the task panicked")]
    Panicked,
    /// It was aborted, or the runtime shut down.
    #[error("the task was aborted")]
    Aborted,
}

/// A running task. Dropping it aborts the task; `detach` lets it run on.
#[derive(Debug)]
#[must_use = "a task is aborted when its handle drops"]
pub struct Task<T> {
    handle: Option<JoinHandle<Result<T, TaskError>>>,
}

impl<T> Task<T> {
    /// Lets the task run until it ends by itself.
    pub fn detach(mut self) {
        self.handle = None;
    }

    /// Stops the task at its next await.
    pub fn abort(&self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let Some(handle) = &mut self.handle else { return Poll::Ready(Err(TaskError::Aborted)) };
        Pin::new(handle).poll(cx).map(|joined| joined.unwrap_or(Err(TaskError::Aborted)))
    }
}

/// Starts a task. `name` shows in logs and metrics, so it comes from a closed set. The task inherits the span, the trace
/// and the request id of its starter, not the deadline.
pub fn spawn<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let guarded = async move {
        AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| {
            report_panic(name, panic.as_ref());
            TaskError::Panicked
        })
    }
    .instrument(Span::current());
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let handle = match context::current() {
        Some(context) => tokio::spawn(context.without_deadline().scope(guarded)),
        None => tokio::spawn(guarded),
    };
    Task { handle: Some(handle) }
}

/// Logs and counts a panic.
pub(crate) fn report_panic(task: &'static str, panic: &(dyn Any + Send)) {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "not a text".to_owned());
    metrics::panic(task);
    error!(task, panic = text, "panicked");
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use domain::Service;
    use tokio::{sync::Notify, time::Instant};

    use super::*;
    use crate::context::Context;

    #[tokio::test]
    async fn a_task_returns_its_result_and_reports_its_panic() {
        assert_eq!(spawn("sum", async { 1 + 1 }).await, Ok(2));
        let panicking = spawn("panics", async { assert_eq!(1, 2, "on purpose") });
        assert_eq!(panicking.await, Err(TaskError::Panicked));
    }

    #[tokio::test]
    async fn dropping_the_handle_aborts_and_detaching_does_not() {
        let held = Arc::new(());
        let (dropped, kept, gate) = (held.clone(), held.clone(), Arc::new(Notify::new()));
        let waiting = spawn("waits", async move {
            let _held = dropped;
            std::future::pending::<()>().await;
        });
        let gate2 = gate.clone();
        spawn("detached", async move {
            let _held = kept;
            gate2.notified().await;
        })
        .detach();
        drop(waiting);
        until(|| Arc::strong_count(&held) == 2).await;
        gate.notify_one();
        until(|| Arc::strong_count(&held) == 1).await;
    }

    #[tokio::test]
    async fn a_task_inherits_the_request_but_not_its_deadline() {
        let context = Context {
            service: Service::Job,
            request_id: "r-1".to_owned(),
            deadline: Some(Instant::now() + Duration::from_secs(1)),
        };
        let inherited = context.scope(async { spawn("child", async { context::current() }).await }).await;
        let inherited = inherited.expect("because it does not panic").expect("because it was in a scope");
        assert_eq!((inherited.request_id.as_str(), inherited.deadline), ("r-1", None));
    }

    async fn until(condition: impl Fn() -> bool) {
        let patience = Instant::now() + Duration::from_secs(5);
        while !condition() {
            assert!(Instant::now() < patience, "waited in vain");
            tokio::task::yield_now().await;
        }
    }
}
