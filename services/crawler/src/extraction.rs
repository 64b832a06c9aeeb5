//! Extraction off the runtime's threads: as many at once as there are cores, and a panic is the page's fault alone.
//!
//! The threads are our own and few. The runtime's blocking threads take turns by the dozen, each with a cold heap of its own.
//!
//! Promises: whoever waits may stop waiting; the thread ends by itself (libs/extract is linear and bounded), and until then
//! its place stays taken, so that hostile pages cannot pile up threads.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use extract::{Document, Input, Options};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use url::Url;

use crate::metrics;

/// Extracts pages. Cheap to clone; clones share their places.
#[derive(Clone)]
pub(crate) struct Extractor {
    /// One for each thread, so that nothing waits in the pool.
    places: Arc<Semaphore>,
    threads: Arc<ThreadPool>,
}

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Content that is no document.
    #[error(transparent)]
    Unreadable(#[from] extract::Error),
    /// The extraction panicked.
    #[error("the extraction panicked")]
    Panicked,
}

impl Extractor {
    /// An extractor with so many threads.
    pub(crate) fn new(threads: usize) -> anyhow::Result<Self> {
        let count = threads.max(1);
        let threads = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|_| "extract".to_owned())
            // Without it a panic ends the process. Whoever waits hears of it: its channel is dropped.
            .panic_handler(|_| {})
            .build();
        let threads = Arc::new(threads.context("start the threads of extraction")?);
        Ok(Self { places: Arc::new(Semaphore::new(count)), threads })
    }

    /// Makes a document of `bytes`, as `options` ask for it.
    pub(crate) async fn extract(
        &self,
        bytes: Bytes,
        content_type: Option<String>,
        url: Url,
        options: Arc<Options>,
    ) -> Result<Document, Error> {
        let place = self.places.clone().acquire_owned().await.map_err(|_| Error::Panicked)?;
        let span = tracing::Span::current();
        let (done, result) = oneshot::channel();
        self.threads.spawn(move || {
            let _in_span = span.entered();
            let _place = place;
            let started = Instant::now();
            let input = Input { bytes: &bytes, content_type: content_type.as_deref(), url: &url };
            let document = std::panic::catch_unwind(AssertUnwindSafe(|| extract::extract(input, &options)));
            metrics::extracted(started.elapsed());
            // Whoever asked may have stopped waiting.
            let _ = done.send(document);
        });
        match result.await {
            Ok(Ok(document)) => Ok(document?),
            Ok(Err(_)) | Err(_) => {
                tracing::error!("an extraction panicked");
                Err(Error::Panicked)
            }
        }
    }
}
