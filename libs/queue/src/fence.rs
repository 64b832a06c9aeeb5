//! A fence around answers: the server knows a message by its number only, and a store that was made anew counts from one.
//!
//! An ack of what the store before held would take away another message, unseen, and whatever stood in it would be lost.

use std::sync::Arc;

use tokio::sync::watch;

use crate::Epoch;

/// Which store messages came from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fence {
    epochs: Arc<watch::Receiver<Epoch>>,
    since: Epoch,
}

impl Fence {
    pub(crate) fn new(epochs: watch::Receiver<Epoch>) -> Self {
        let since = *epochs.borrow();
        Self { epochs: Arc::new(epochs), since }
    }

    /// Whether the store is still the one that it was: only then may messages from it be answered. What is not answered comes
    /// again, if it is there at all.
    #[must_use]
    pub fn holds(&self) -> bool {
        let now = *self.epochs.borrow();
        (now.work_created, now.rollbacks) == (self.since.work_created, self.since.rollbacks)
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn a_reconnect_is_no_new_store() {
        let first = Epoch { number: 1, work_created: Some(OffsetDateTime::UNIX_EPOCH), rollbacks: 0 };
        let epochs = watch::Sender::new(first);
        let fence = Fence::new(epochs.subscribe());
        epochs.send_replace(Epoch { number: 2, ..first });
        assert!(fence.holds());
        epochs.send_replace(Epoch { number: 3, rollbacks: 1, ..first });
        assert!(!fence.holds());
        let made_anew = Some(OffsetDateTime::UNIX_EPOCH + time::Duration::SECOND);
        epochs.send_replace(Epoch { number: 4, work_created: made_anew, rollbacks: 0 });
        assert!(!fence.holds());
        assert!(Fence::new(epochs.subscribe()).holds());
    }
}
