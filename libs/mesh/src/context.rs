//! What the code below a call can find out without being told: which service runs it, for which request, until when.
//!
//! It is set by the server for the length of a handler and inherited by `spawn`, so that errors carry the right domain
//! and outgoing calls the right request id and deadline.

use std::{future::Future, sync::OnceLock};

use domain::Service;
use tokio::{task::futures::TaskLocalFuture, task_local, time::Instant};

/// The surroundings of a call, or of a task that a call started.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The service that runs the handler.
    pub(crate) service: Service,
    /// The id of the request that is being answered.
    pub(crate) request_id: String,
    /// When the answer is due. None in a stream's body and in tasks, which may outlive the call.
    pub(crate) deadline: Option<Instant>,
}

task_local! {
    static CONTEXT: Context;
}

/// The service of the process, where it is only one.
static PROCESS: OnceLock<Service> = OnceLock::new();

impl Context {
    /// Runs `future` in this context.
    pub(crate) fn scope<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CONTEXT.scope(self, future)
    }

    /// Runs `f` in this context.
    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        CONTEXT.sync_scope(self.clone(), f)
    }

    /// The same without the deadline.
    pub(crate) fn without_deadline(mut self) -> Self {
        self.deadline = None;
        self
    }
}

/// The context of the running task.
pub(crate) fn current() -> Option<Context> {
    CONTEXT.try_with(Clone::clone).ok()
}

/// Names the service of a process that runs only one.
pub(crate) fn name_process(service: Service) {
    // Set once: a second service in the process would find the name of the first.
    let _ = PROCESS.set(service);
}

/// The `ErrorInfo.domain` of errors made here, e.g. `job.crawlmesh`.
pub(crate) fn error_domain() -> String {
    match CONTEXT.try_with(|context| context.service).ok().or_else(|| PROCESS.get().copied()) {
        Some(service) => format!("{service}.crawlmesh"),
        None => "crawlmesh".to_owned(),
    }
}
