//! Pages in both places: rows in the database, bytes in the object store.
//!
//! Order of a store: take a folder that is named as garbage, write the objects, then one transaction that makes the folder the
//! page's and the page's old folder garbage. A crash anywhere leaves nothing visible, and nothing that the janitor will
//! not find: it deletes by the garbage table, which is written first and cleared last.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use domain::{JobId, PageId, TenantId};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream::BoxStream};
use opentelemetry::{KeyValue, metrics::Counter};
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    document::{Artifact, CacheKey, DOCUMENT_OBJECT, Kept, PageKey, Record},
    error::Error,
    folders::Folders,
    objects::{Objects, pack, unpack},
    store::Store,
};

/// Documents that are loaded at once for one list.
const LOADING: usize = 4;
/// How often a document that is being replaced is looked for.
const LOOKS: usize = 3;

static STORES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh::metrics::meter()
        .u64_counter("crawlmesh.result.stores")
        .with_description("Attempts to store a page, by result.")
        .build()
});

/// Keeps pages and finds them again.
#[derive(Clone)]
pub(crate) struct Archive {
    store: Store,
    objects: Objects,
    folders: Folders,
    /// KiB of uploads that may be in memory.
    memory: Arc<Semaphore>,
}

impl Archive {
    /// An archive in `store` and `objects` that holds at most `memory` bytes of uploads at a time. The objects of a store that
    /// takes longer than `orphan_grace` may be garbage.
    pub(crate) fn new(store: Store, objects: Objects, orphan_grace: Duration, memory: u64) -> Self {
        let permits = usize::try_from(memory >> 10).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let folders = Folders::new(store.clone(), orphan_grace);
        Self { store, objects, folders, memory: Arc::new(Semaphore::new(permits)) }
    }

    /// Waits until there is memory for `bytes` of upload. The caller's deadline bounds the wait.
    pub(crate) async fn room(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Error> {
        let permits = u32::try_from((bytes >> 10) + 1).unwrap_or(u32::MAX);
        self.memory.clone().acquire_many_owned(permits).await.map_err(|_| Error::ObjectsSlow)
    }

    /// Keeps a page: its document, and its artifacts, which are those of the record.
    pub(crate) async fn keep(
        &self,
        mut record: Record,
        document: Bytes,
        artifacts: Vec<(Artifact, Bytes)>,
    ) -> Result<Kept, Error> {
        record.folder = self.folders.take(record.store_time).await?;
        let kept = match self.write(&record.folder, document, artifacts).await {
            // The time now, not that of the call: writing may have taken long.
            Ok(()) => self.store.keep(&record, mesh::clock::now()).await,
            Err(error) => Err(error),
        };
        let result = match &kept {
            Ok(kept) => kept.as_str(),
            Err(_) => {
                self.folders.fail(record.folder, record.store_time).await;
                "failed"
            }
        };
        STORES.add(1, &[KeyValue::new("result", result)]);
        kept
    }

    /// The page that was last stored under a cache key. A tenant has none of another's.
    pub(crate) async fn latest(
        &self,
        tenant: TenantId,
        key: CacheKey,
        now: OffsetDateTime,
    ) -> Result<PageKey, Error> {
        self.store.latest(tenant, key, now).await?.ok_or(Error::NotCached)
    }

    /// The record of a page.
    pub(crate) async fn record(&self, key: PageKey, now: OffsetDateTime) -> Result<Record, Error> {
        self.store.find(key, now).await?.ok_or(Error::NoDocument(key.job, key.page))
    }

    /// The document of a page with its record.
    pub(crate) async fn document(&self, key: PageKey, now: OffsetDateTime) -> Result<(Record, Bytes), Error> {
        let record = self.record(key, now).await?;
        self.load(record, now).await?.ok_or(Error::NoDocument(key.job, key.page))
    }

    /// At most `limit` records of a job in the order of its pages, after `after`.
    pub(crate) async fn list(
        &self,
        tenant: TenantId,
        job: JobId,
        after: Option<PageId>,
        limit: u64,
        now: OffsetDateTime,
    ) -> Result<Vec<Record>, Error> {
        self.store.list(tenant, job, after, limit, now).await
    }

    /// The documents of `records`, in order, without those whose time ended meanwhile.
    pub(crate) async fn documents(
        &self,
        records: Vec<Record>,
        now: OffsetDateTime,
    ) -> Result<Vec<(Record, Bytes)>, Error> {
        let loads = records.into_iter().map(|record| self.load(record, now));
        let loaded: Vec<_> = futures::stream::iter(loads).buffered(LOADING).try_collect().await?;
        Ok(loaded.into_iter().flatten().collect())
    }

    /// An artifact of a page in pieces.
    pub(crate) async fn artifact(
        &self,
        record: Record,
        artifact: &Artifact,
        now: OffsetDateTime,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let key = record.key;
        let mut record = record;
        for _ in 0..LOOKS {
            let kind = artifact.kind;
            if let Some(pieces) =
                self.objects.stream(&record.folder, kind.object(), kind.compressed()).await?
            {
                return Ok(pieces);
            }
            record = self.again(record, now).await?.ok_or(Error::NoDocument(key.job, key.page))?;
            if !record.artifacts.contains(artifact) {
                return Err(Error::NoArtifact(key.job, key.page));
            }
        }
        Err(Error::Lost(record.folder))
    }

    async fn write(
        &self,
        folder: &str,
        document: Bytes,
        artifacts: Vec<(Artifact, Bytes)>,
    ) -> Result<(), Error> {
        self.objects.make_folder(folder).await?;
        let document = async { self.objects.put(folder, DOCUMENT_OBJECT, pack(document).await?).await };
        let artifacts = artifacts.into_iter().map(|(Artifact { kind, .. }, bytes)| async move {
            let bytes = if kind.compressed() { pack(bytes).await? } else { bytes };
            self.objects.put(folder, kind.object(), bytes).await
        });
        tokio::try_join!(document, try_join_all(artifacts))?;
        Ok(())
    }

    /// Reads the document of a record. None: its time ended meanwhile.
    async fn load(&self, record: Record, now: OffsetDateTime) -> Result<Option<(Record, Bytes)>, Error> {
        let mut record = record;
        for _ in 0..LOOKS {
            if let Some(packed) = self.objects.get(&record.folder, DOCUMENT_OBJECT).await? {
                let document = unpack(packed, record.size).await?;
                return Ok(Some((record, document)));
            }
            match self.again(record, now).await? {
                Some(newer) => record = newer,
                None => return Ok(None),
            }
        }
        Err(Error::Lost(record.folder))
    }

    /// The record that has replaced `record`, whose objects are gone. None: its time ended. Fails if it stands: then its
    /// objects are lost.
    async fn again(&self, record: Record, now: OffsetDateTime) -> Result<Option<Record>, Error> {
        match self.store.find(record.key, now.max(mesh::clock::now())).await? {
            Some(newer) if newer.folder == record.folder => Err(Error::Lost(record.folder)),
            newer => Ok(newer),
        }
    }
}
