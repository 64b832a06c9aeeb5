//! The parts of a zip archive, counted as they are unpacked: what the archive says of their sizes is not believed.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::{MAX_PARTS, MAX_UNPACKED_BYTES};

/// An open archive.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// Bytes that may still be unpacked.
    left: u64,
}

impl<'a> Archive<'a> {
    /// Nothing if it is broken or has too many parts.
    pub(super) fn open(bytes: &'a [u8]) -> Option<Self> {
        let zip = ZipArchive::new(Cursor::new(bytes)).ok()?;
        (zip.len() <= MAX_PARTS).then_some(Self { zip, left: MAX_UNPACKED_BYTES })
    }

    /// Whether there is a part of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    /// The names of all parts.
    pub(super) fn names(&self) -> Vec<String> {
        self.zip.file_names().flatten().map(std::borrow::Cow::into_owned).collect()
    }

    /// A part as text; nothing if there is none, it is broken, or the limit is passed.
    pub(super) fn part(&mut self, name: &str) -> Option<String> {
        let mut bytes = Vec::new();
        self.zip.by_name(name).ok()?.take(self.left + 1).read_to_end(&mut bytes).ok()?;
        self.left = self.left.checked_sub(bytes.len() as u64)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether all parts together stay within the limit.
    pub(super) fn harmless(&mut self) -> bool {
        let mut left = self.left;
        (0..self.zip.len()).all(|at| {
            let unpacked = self
                .zip
                .by_index(at)
                .ok()
                .and_then(|part| std::io::copy(&mut part.take(left + 1), &mut std::io::sink()).ok());
            unpacked.and_then(|bytes| left.checked_sub(bytes)).is_some_and(|rest| {
                left = rest;
                true
            })
        })
    }
}
