//! The submitter: one writer for submissions, so that many small ones share a transaction.
//!
//! Promises: an answer means that the job is on disk; no submission fails because of another.

use store::Group;

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
    small: Group<Prepared, Accepted>,
}

impl Submitter {
    /// A submitter with a queue of `waiting` submissions and its writer, which ends when the last clone is gone.
    pub(crate) fn new(store: Store, waiting: usize, group: usize) -> (Self, impl Future<Output = ()>) {
        let writer = store.clone();
        let (small, writer) = Group::new(waiting, group, move |group: Vec<Prepared>| {
            let store = writer.clone();
            async move { store.submit_all(&group).await }
        });
        (Self { store, small }, writer)
    }

    /// Writes a submission.
    pub(crate) async fn submit(&self, prepared: Prepared) -> Accepted {
        if prepared.pages() > LARGE {
            return self.store.submit(&prepared).await;
        }
        self.small.write(prepared).await.ok_or_else(Error::away)?
    }
}
