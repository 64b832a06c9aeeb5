//! One writer for small things that are written alike, so that many share a transaction.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};

/// Hands things to their writer. Clones share it.
///
/// What waits when the writer is free is written at once and together, and nobody waits for others to come.
#[derive(Debug)]
pub struct Group<T, A> {
    waiting: mpsc::Sender<Waiting<T, A>>,
}

#[derive(Debug)]
struct Waiting<T, A> {
    thing: T,
    /// Of a caller who may be gone.
    answer: oneshot::Sender<A>,
}

impl<T, A> Clone for Group<T, A> {
    fn clone(&self) -> Self {
        Self { waiting: self.waiting.clone() }
    }
}

impl<T, A> Group<T, A> {
    /// A group in which at most `waiting` things wait, further callers for a place, and its writer, which ends when the last clone is
    /// gone. `write` gets at most `most` things and answers for each, in their order.
    pub fn new<W, F>(waiting: usize, most: usize, write: W) -> (Self, impl Future<Output = ()>)
    where
        W: Fn(Vec<T>) -> F,
        F: Future<Output = Vec<A>>,
    {
        let (sender, receiver) = mpsc::channel(waiting);
        (Self { waiting: sender }, run(receiver, most, write))
    }

    /// Has a thing written. None: the writer has ended. A caller who gives up does not undo it.
    pub async fn write(&self, thing: T) -> Option<A> {
        let (answer, answered) = oneshot::channel();
        self.waiting.send(Waiting { thing, answer }).await.ok()?;
        answered.await.ok()
    }
}

async fn run<T, A, W, F>(mut receiver: mpsc::Receiver<Waiting<T, A>>, most: usize, write: W)
where
    W: Fn(Vec<T>) -> F,
    F: Future<Output = Vec<A>>,
{
    let mut waiting = Vec::with_capacity(most);
    while receiver.recv_many(&mut waiting, most).await > 0 {
        let (things, callers): (Vec<T>, Vec<_>) =
            waiting.drain(..).map(|Waiting { thing, answer }| (thing, answer)).unzip();
        for (caller, answer) in callers.into_iter().zip(write(things).await) {
            // A caller who is gone asks again, and is told what there is.
            let _ = caller.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn what_waits_is_written_together_and_everyone_has_the_own_answer() {
        let groups = RefCell::new(Vec::new());
        let (group, writer) = Group::new(8, 3, |things: Vec<u32>| {
            let answers: Vec<u32> = things.iter().map(|thing| thing * 10).collect();
            groups.borrow_mut().push(things);
            async { answers }
        });
        let calls = async move {
            let group = &group;
            let write = |thing| async move { group.write(thing).await };
            tokio::join!(write(1), write(2), write(3), write(4), write(5))
        };
        // The writer ends with the last who could ask it.
        let ((), answers) = tokio::join!(writer, calls);
        assert_eq!(answers, (Some(10), Some(20), Some(30), Some(40), Some(50)));
        assert_eq!(*groups.borrow(), [vec![1, 2, 3], vec![4, 5]]);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_writer_that_is_gone() {
        let (group, writer) = Group::new(1, 1, |things: Vec<u8>| async move { things });
        drop(writer);
        assert_eq!(group.write(1).await, None);
    }
}
