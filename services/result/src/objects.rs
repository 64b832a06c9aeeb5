//! The bytes: documents and artifacts in the object store.
//!
//! Promises: an object is whole or not there; every operation has a time limit; a document is never unpacked to more
//! bytes than it had when it was stored.

use std::{
    cell::RefCell,
    future::Future,
    io,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use async_compression::tokio::bufread::ZstdDecoder;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path};
use tokio::io::AsyncBufRead;
use tokio_util::io::{ReaderStream, StreamReader};
use zstd::bulk::Compressor;

use crate::error::Error;

/// Where the knee of the curve is: higher levels cost much time and save little.
const LEVEL: i32 = 3;
/// What takes longer to pack than a task may keep its thread.
const SMALL: usize = 256 << 10;
/// Largest piece of a stream.
pub(crate) const PIECE: usize = 256 << 10;

/// The object store.
#[derive(Clone)]
pub(crate) struct Objects {
    inner: Arc<dyn ObjectStore>,
    /// The folder that it is on this machine.
    root: PathBuf,
    /// Of one operation.
    pub(crate) timeout: Duration,
}

impl Objects {
    /// Opens the store at `url`: `file:///folder` or the path of a folder, which is made if need be.
    pub(crate) fn open(url: &str, fsync: bool, timeout: Duration) -> anyhow::Result<Self> {
        let folder = FilePath::new(url.strip_prefix("file://").unwrap_or(url));
        let open = || -> anyhow::Result<Self> {
            std::fs::create_dir_all(folder)?;
            let root = folder.canonicalize()?;
            let files = LocalFileSystem::new_with_prefix(&root)?.with_fsync(fsync);
            Ok(Self { inner: Arc::new(files), root, timeout })
        };
        open().with_context(|| format!("open the object store {}", folder.display()))
    }

    /// Writes one object of a folder.
    pub(crate) async fn put(&self, folder: &str, name: &str, bytes: Bytes) -> Result<(), Error> {
        let path = path(folder, name);
        self.limit(self.inner.put(&path, bytes.into())).await?;
        Ok(())
    }

    /// Makes a folder before its objects are written: each of them would find it missing and make it.
    pub(crate) async fn make_folder(&self, folder: &str) -> Result<(), Error> {
        let path = self.root.join(folder);
        self.limit(async {
            tokio::fs::create_dir_all(&path)
                .await
                .map_err(|source| object_store::Error::Generic { store: "folder", source: source.into() })
        })
        .await
    }

    /// Reads one object of a folder; None if it is not there.
    pub(crate) async fn get(&self, folder: &str, name: &str) -> Result<Option<Bytes>, Error> {
        let path = path(folder, name);
        let read = async { self.inner.get(&path).await?.bytes().await };
        match self.limit(read).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Objects(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads one object in pieces, unpacked if it is packed; None if it is not there. Each piece has a time limit.
    pub(crate) async fn stream(
        &self,
        folder: &str,
        name: &str,
        packed: bool,
    ) -> Result<Option<BoxStream<'static, Result<Bytes, Error>>>, Error> {
        let path = path(folder, name);
        let object = match self.limit(self.inner.get(&path)).await {
            Ok(object) => object,
            Err(Error::Objects(object_store::Error::NotFound { .. })) => return Ok(None),
            Err(error) => return Err(error),
        };
        let reader = StreamReader::new(object.into_stream().map_err(io::Error::other));
        Ok(Some(pieces(reader, packed, self.timeout)))
    }

    /// Deletes a folder with all its objects. A folder that is not there is deleted already.
    pub(crate) async fn delete_folder(&self, folder: &str) -> Result<(), Error> {
        let (root, path) = (self.root.clone(), self.root.join(folder));
        // Not through the store, which does not see the drafts of objects that a crash leaves behind.
        let delete = tokio::task::spawn_blocking(move || {
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let above = path.ancestors().skip(1).take_while(|above| *above != root);
            // The page's, the job's and the tenant's folder: each goes when it is empty, and stays when it is not.
            for folder in above {
                if std::fs::remove_dir(folder).is_err() {
                    break;
                }
            }
            Ok(())
        });
        match tokio::time::timeout(self.timeout, delete).await {
            Ok(Ok(done)) => done.map_err(Error::Delete),
            Ok(Err(panic)) => Err(Error::Delete(io::Error::other(panic))),
            Err(_) => Err(Error::ObjectsSlow),
        }
    }

    async fn limit<T>(&self, work: impl Future<Output = object_store::Result<T>>) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(Error::ObjectsSlow),
        }
    }
}

/// What a reader brings, unpacked if it is packed. Each piece has a time limit.
pub(crate) fn pieces(
    reader: impl AsyncBufRead + Send + 'static,
    packed: bool,
    timeout: Duration,
) -> BoxStream<'static, Result<Bytes, Error>> {
    let pieces = if packed {
        ReaderStream::with_capacity(ZstdDecoder::new(reader), PIECE).boxed()
    } else {
        ReaderStream::with_capacity(reader, PIECE).boxed()
    };
    let pieces = futures::stream::unfold(pieces, move |mut pieces| async move {
        let piece = match tokio::time::timeout(timeout, pieces.next()).await {
            Ok(None) => return None,
            Ok(Some(piece)) => piece.map_err(broken),
            Err(_) => Err(Error::ObjectsSlow),
        };
        Some((piece, pieces))
    });
    // An error is the end: what follows a broken piece would be taken for the rest.
    let pieces = pieces.scan(false, |broken, piece| {
        let over = *broken;
        *broken = piece.is_err();
        futures::future::ready((!over).then_some(piece))
    });
    pieces.boxed()
}

/// Why a stream broke: the store failed, or what it holds cannot be unpacked.
fn broken(error: io::Error) -> Error {
    match error.downcast::<object_store::Error>() {
        Ok(error) => Error::Objects(error),
        Err(error) => Error::Lost(error.to_string()),
    }
}

fn path(folder: &str, name: &str) -> Path {
    Path::from(format!("{folder}/{name}"))
}

thread_local! {
    /// What zstd works with is larger than most documents: each thread makes it once.
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn pack_small(bytes: &[u8]) -> io::Result<Vec<u8>> {
    PACKER.with_borrow_mut(|packer| match packer {
        Some(packer) => packer.compress(bytes),
        None => packer.insert(Compressor::new(LEVEL)?).compress(bytes),
    })
}

/// Packs bytes with zstd.
pub(crate) async fn pack(bytes: Bytes) -> Result<Bytes, Error> {
    let packed = if bytes.len() > SMALL {
        off_thread(move || zstd::bulk::compress(&bytes, LEVEL)).await
    } else {
        pack_small(&bytes)
    };
    packed.map(Bytes::from).map_err(|error| Error::Lost(error.to_string()))
}

/// Unpacks what `pack` packed, to at most `size` bytes.
pub(crate) async fn unpack(bytes: Bytes, size: u64) -> Result<Bytes, Error> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let work = move || zstd::bulk::decompress(&bytes, size);
    let unpacked = if size > SMALL { off_thread(work).await } else { work() };
    unpacked.map(Bytes::from).map_err(|error| Error::Lost(error.to_string()))
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_unpacked_to_their_size_and_no_further() {
        for size in [0, 1, SMALL, SMALL * 8] {
            let bytes = Bytes::from(vec![b'a'; size]);
            let packed = pack(bytes.clone()).await.expect("it can be packed");
            assert_eq!(unpack(packed.clone(), size as u64).await.expect("it can be unpacked"), bytes);
            if size > 0 {
                assert!(unpack(packed, size as u64 - 1).await.is_err(), "a bomb of {size} bytes");
            }
        }
        assert!(unpack(Bytes::from_static(b"not packed"), 100).await.is_err());
    }

    #[tokio::test]
    async fn a_folder_goes_with_its_objects_and_leaves_nothing() {
        let files = tempfile::tempdir().expect("a folder");
        let root = files.path().join("objects");
        let objects =
            Objects::open(&root.display().to_string(), true, Duration::from_secs(5)).expect("a store");
        for name in ["a", "b"] {
            objects.put("t/j/p/1", name, Bytes::from_static(b"x")).await.expect("it is written");
        }
        objects.put("t/j/p/12", "a", Bytes::from_static(b"y")).await.expect("it is written");
        objects.delete_folder("t/j/p/1").await.expect("it is deleted");
        objects.delete_folder("t/j/p/1").await.expect("it is deleted already");
        assert_eq!(objects.get("t/j/p/1", "a").await.expect("an answer"), None);
        assert!(objects.get("t/j/p/12", "a").await.expect("an answer").is_some(), "a prefix is not a folder");
        objects.delete_folder("t/j/p/12").await.expect("it is deleted");
        assert_eq!(std::fs::read_dir(root).expect("it is there").count(), 0, "no empty folders are left");
    }
}
