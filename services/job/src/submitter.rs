//! The submitter: one writer for submissions, so that many small ones share a transaction.
//!
//! Promises: what waits when the writer is free goes in one transaction, and nobody waits for others to come; an answer means
//! that the job is on disk; no submission fails because of another.

use tokio::sync::{mpsc, oneshot};

use crate::{
    error::Error,
    store::{Accepted, Prepared, Store},
};

/// Pages of a submission that is written on its own, so that it does not hold up small ones longer than it must.
const LARGE: usize = 256;

/// Hands submissions to the writer. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Submitter {
    store: Store,
    waiting: mpsc::Sender<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    prepared: Prepared,
    /// Of a caller who may be gone.
    answer: oneshot::Sender<Accepted>,
}

impl Submitter {
    /// A submitter with a queue of `waiting` submissions and its writer, which ends when the last clone is gone.
    pub(crate) fn new(store: Store, waiting: usize, group: usize) -> (Self, impl Future<Output = ()>) {
        let (sender, receiver) = mpsc::channel(waiting);
        (Self { store: store.clone(), waiting: sender }, write(store, receiver, group))
    }

    /// Writes a submission.
    pub(crate) async fn submit(&self, prepared: Prepared) -> Accepted {
        if prepared.pages() > LARGE {
            return self.store.submit(&prepared).await;
        }
        let (answer, accepted) = oneshot::channel();
        self.waiting.send(Waiting { prepared, answer }).await.map_err(|_| Error::away())?;
        accepted.await.map_err(|_| Error::away())?
    }
}

async fn write(store: Store, mut receiver: mpsc::Receiver<Waiting>, group: usize) {
    let mut waiting = Vec::with_capacity(group);
    while receiver.recv_many(&mut waiting, group).await > 0 {
        let (group, answers): (Vec<Prepared>, Vec<_>) =
            waiting.drain(..).map(|waiting| (waiting.prepared, waiting.answer)).unzip();
        for (answer, accepted) in answers.into_iter().zip(store.submit_all(&group).await) {
            // A caller who is gone asks again under its request id.
            let _ = answer.send(accepted);
        }
    }
}
