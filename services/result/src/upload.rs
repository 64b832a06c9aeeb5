//! The artifacts of a page as they arrive: whole, in the order announced, no byte more or less. No I/O.

#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};

use crate::{
    document::{Artifact, Kind},
    error::Error,
};

/// Largest chunk.
pub(crate) const MAX_CHUNK: usize = 1 << 20;

/// Artifacts that are arriving.
pub(crate) struct Upload {
    announced: std::vec::IntoIter<Artifact>,
    /// The one that is arriving, and what has arrived of it.
    current: Option<(Artifact, BytesMut)>,
    done: Vec<(Artifact, Bytes)>,
}

impl Upload {
    /// Waits for the `announced` artifacts. Their sizes have been checked against the limits.
    pub(crate) fn new(announced: Vec<Artifact>) -> Self {
        let mut upload = Self { announced: announced.into_iter(), current: None, done: Vec::new() };
        upload.advance();
        upload
    }

    /// Takes the next chunk.
    pub(crate) fn push(&mut self, kind: Kind, data: &[u8]) -> Result<(), Error> {
        if data.len() > MAX_CHUNK {
            return Err(Error::Upload("a chunk is larger than 1 MiB"));
        }
        let Some((artifact, bytes)) = &mut self.current else {
            return Err(Error::Upload("a chunk follows the last artifact that was announced"));
        };
        if artifact.kind != kind {
            return Err(Error::Upload("a chunk belongs to another artifact than the one announced next"));
        }
        if (bytes.len() + data.len()) as u64 > artifact.size {
            return Err(Error::Upload("an artifact is larger than announced"));
        }
        bytes.extend_from_slice(data);
        self.advance();
        Ok(())
    }

    /// The artifacts, if all have arrived.
    pub(crate) fn finish(self) -> Result<Vec<(Artifact, Bytes)>, Error> {
        match self.current {
            None => Ok(self.done),
            Some(_) => Err(Error::Upload("an artifact is smaller than announced")),
        }
    }

    /// Puts complete artifacts aside; empty ones are complete at once.
    fn advance(&mut self) {
        loop {
            match self.current.take() {
                Some((artifact, bytes)) if (bytes.len() as u64) < artifact.size => {
                    self.current = Some((artifact, bytes));
                    return;
                }
                Some((artifact, bytes)) => self.done.push((artifact, bytes.freeze())),
                None => {}
            }
            let Some(next) = self.announced.next() else { return };
            self.current = Some((next, BytesMut::new()));
        }
    }
}
