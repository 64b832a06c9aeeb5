//! Which consumers have something, before they are asked for it.
//!
//! A server before 2.14 may forget to answer a `no_wait` request, so that those we send it expire, and then it holds them
//! where nothing is. Whoever pulls from three priorities, of which two are empty, would wait for that each time: asking how
//! much is there costs a tenth of a millisecond.

use std::sync::Arc;

use futures::future::join_all;
use tokio::time::{Duration, Instant};

use crate::{Error, link::Link};

/// A consumer whose messages are held by workers is asked this often: the server does not count one that was given back.
const REVISIT: Duration = Duration::from_secs(1);

/// What is known of some consumers.
pub(crate) struct Looks {
    link: Arc<Link>,
    consumers: Vec<Known>,
}

struct Known {
    stream: String,
    name: String,
    /// The last message said that more wait.
    more: bool,
    /// When it was asked last though nothing was to be seen. None: it may have something that is not to be seen.
    asked: Option<Instant>,
}

impl Looks {
    /// `consumers`: stream and name of each.
    pub(crate) fn new(link: Arc<Link>, consumers: &[(String, String)]) -> Self {
        let known = |(stream, name): &(String, String)| Known {
            stream: stream.clone(),
            name: name.clone(),
            more: false,
            asked: None,
        };
        Self { consumers: consumers.iter().map(known).collect(), link }
    }

    /// A message of a consumer came; so many more waited there.
    pub(crate) fn came(&mut self, source: usize, pending: u64) {
        self.consumers[source].more = pending > 0;
    }

    /// A consumer had nothing, or less than it was asked for.
    pub(crate) fn over(&mut self, source: usize) {
        self.consumers[source].more = false;
    }

    /// The server may have sent messages into nothing: whoever asks next gets them, but they do not count as waiting.
    pub(crate) fn doubt(&mut self) {
        self.consumers.iter_mut().for_each(|known| known.asked = None);
    }

    /// For each consumer whether asking it is in vain. On servers that say so themselves at once none is.
    pub(crate) async fn empty(&mut self) -> Result<Vec<bool>, Error> {
        if self.link.answers_no_wait() {
            return Ok(vec![false; self.consumers.len()]);
        }
        let link = Arc::clone(&self.link);
        join_all(self.consumers.iter_mut().map(|known| known.empty(&link))).await.into_iter().collect()
    }
}

impl Known {
    async fn empty(&mut self, link: &Link) -> Result<bool, Error> {
        if self.more {
            return Ok(false);
        }
        let info = link.consumer(&self.stream, &self.name).await?;
        let due = self.asked.is_none_or(|asked| asked.elapsed() >= REVISIT);
        let revisit = info.num_ack_pending > 0 && due;
        if revisit {
            self.asked = Some(Instant::now());
        }
        Ok(info.num_pending == 0 && !revisit)
    }
}
