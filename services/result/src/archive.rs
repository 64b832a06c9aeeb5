//! Pages in both places: rows in the database, bytes in the object store.
//!
//! Order of a store: take a folder that is named as garbage, write the objects, then one transaction that makes the folder the
//! page's and the page's old folder garbage. A crash anywhere leaves nothing visible, and nothing that the janitor will
//! not find: it deletes by the garbage table, which is written first and cleared last. A small page has no
//! objects: its parts are rows in that transaction.

use std::{
    io,
    sync::{Arc, LazyLock},
    time::Duration,
};

use ::store::Group;
use bytes::Bytes;
use domain::{JobId, PageId, TenantId, id::page_name};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream::BoxStream};
use opentelemetry::{KeyValue, metrics::Counter};
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    document::{Artifact, CacheKey, DOCUMENT_OBJECT, Kept, Kind, PageKey, Part, Record},
    error::Error,
    folders::Folders,
    objects::{Objects, pack, pieces, unpack},
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

/// Pages on their way into the database, many of them in one transaction.
pub(crate) type Keeper = Group<(Record, Vec<Part>), Result<Kept, Error>>;

/// Keeps pages and finds them again.
#[derive(Clone)]
pub(crate) struct Archive {
    store: Store,
    keeper: Keeper,
    objects: Objects,
    folders: Folders,
    /// Packed bytes of a page that is kept in the database, at most.
    inline_limit: usize,
    /// KiB of uploads that may be in memory.
    memory: Arc<Semaphore>,
}

impl Archive {
    /// An archive in `store` and `objects` that holds at most `memory` bytes of uploads at a time. The objects of a store that
    /// takes longer than `orphan_grace` may be garbage. A page that is packed to `inline_limit` bytes or less has none: a file
    /// of a few kilobytes costs more than a row.
    pub(crate) fn new(
        store: Store,
        keeper: Keeper,
        objects: Objects,
        orphan_grace: Duration,
        inline_limit: u64,
        memory: u64,
    ) -> Self {
        let permits = usize::try_from(memory >> 10).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let folders = Folders::new(store.clone(), orphan_grace);
        let inline_limit = usize::try_from(inline_limit).unwrap_or(usize::MAX);
        Self { store, keeper, objects, folders, inline_limit, memory: Arc::new(Semaphore::new(permits)) }
    }

    /// Waits until there is memory for `bytes` of upload. The caller's deadline bounds the wait.
    pub(crate) async fn room(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Error> {
        let permits = u32::try_from((bytes >> 10) + 1).unwrap_or(u32::MAX);
        self.memory.clone().acquire_many_owned(permits).await.map_err(|_| Error::ObjectsSlow)
    }

    /// Keeps a page: its document, and its artifacts, which are those of the record.
    pub(crate) async fn keep(
        &self,
        record: Record,
        document: Bytes,
        artifacts: Vec<(Artifact, Bytes)>,
    ) -> Result<Kept, Error> {
        let parts = packed(document, artifacts).await?;
        let size: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
        let kept = if size <= self.inline_limit {
            self.hand_over(record, parts).await
        } else {
            self.keep_objects(record, parts).await
        };
        STORES.add(1, &[KeyValue::new("result", kept.as_ref().map_or("failed", |kept| kept.as_str()))]);
        kept
    }

    async fn keep_objects(&self, mut record: Record, parts: Vec<Part>) -> Result<Kept, Error> {
        record.folder = self.folders.take(record.store_time).await?;
        let (folder, time) = (record.folder.clone(), record.store_time);
        let kept = match self.write(&folder, parts).await {
            Ok(()) => self.hand_over(record, Vec::new()).await,
            Err(error) => Err(error),
        };
        if kept.is_err() {
            self.folders.fail(folder, time).await;
        }
        kept
    }

    async fn hand_over(&self, record: Record, parts: Vec<Part>) -> Result<Kept, Error> {
        self.keeper.write((record, parts)).await.ok_or_else(Error::away)?
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
            if let Some(pieces) = self.pieces(&record, artifact.kind).await? {
                return Ok(pieces);
            }
            record = self.again(record, now).await?.ok_or(Error::NoDocument(key.job, key.page))?;
            if !record.artifacts.contains(artifact) {
                return Err(Error::NoArtifact(key.job, key.page));
            }
        }
        Err(lost(&record))
    }

    async fn write(&self, folder: &str, parts: Vec<Part>) -> Result<(), Error> {
        self.objects.make_folder(folder).await?;
        try_join_all(parts.into_iter().map(|(name, bytes)| self.objects.put(folder, name, bytes))).await?;
        Ok(())
    }

    /// An artifact of a record in pieces. None: it is not there.
    async fn pieces(
        &self,
        record: &Record,
        kind: Kind,
    ) -> Result<Option<BoxStream<'static, Result<Bytes, Error>>>, Error> {
        if !record.folder.is_empty() {
            return self.objects.stream(&record.folder, kind.object(), kind.compressed()).await;
        }
        let part = self.store.part(record, kind.object()).await?;
        Ok(part.map(|bytes| pieces(io::Cursor::new(bytes), kind.compressed(), self.objects.timeout)))
    }

    /// Reads the document of a record. None: its time ended meanwhile.
    async fn load(&self, record: Record, now: OffsetDateTime) -> Result<Option<(Record, Bytes)>, Error> {
        let mut record = record;
        for _ in 0..LOOKS {
            let packed = if record.folder.is_empty() {
                self.store.part(&record, DOCUMENT_OBJECT).await?
            } else {
                self.objects.get(&record.folder, DOCUMENT_OBJECT).await?
            };
            if let Some(packed) = packed {
                let document = unpack(packed, record.size).await?;
                return Ok(Some((record, document)));
            }
            match self.again(record, now).await? {
                Some(newer) => record = newer,
                None => return Ok(None),
            }
        }
        Err(lost(&record))
    }

    /// The record that has replaced `record`, whose objects are gone. None: its time ended. Fails if it stands: then its
    /// objects are lost.
    async fn again(&self, record: Record, now: OffsetDateTime) -> Result<Option<Record>, Error> {
        match self.store.find(record.key, now.max(mesh::clock::now())).await? {
            Some(newer) if newer.place() == record.place() => Err(lost(&record)),
            newer => Ok(newer),
        }
    }
}

/// A page's document and artifacts as they are kept, by the names of their objects.
async fn packed(document: Bytes, artifacts: Vec<(Artifact, Bytes)>) -> Result<Vec<Part>, Error> {
    let mut parts = vec![(DOCUMENT_OBJECT, pack(document).await?)];
    for (Artifact { kind, .. }, bytes) in artifacts {
        let bytes = if kind.compressed() { pack(bytes).await? } else { bytes };
        parts.push((kind.object(), bytes));
    }
    Ok(parts)
}

fn lost(record: &Record) -> Error {
    Error::Lost(format!("{} {}", page_name(record.key.job, record.key.page), record.folder))
}
