//! A disk that is soon full: a file system in memory of a few megabytes, where the tests may mount one.

use std::{fs, io, path::Path, process::Command};

use tempfile::TempDir;

/// A small file system. Dropped, it is unmounted.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many megabytes. None, with a word on the console: this machine does not allow it, e.g. because we
    /// are not root.
    ///
    /// # Panics
    /// Where the temporary folder cannot be written.
    #[must_use]
    #[expect(clippy::print_stderr, reason = "a test that is skipped says why")]
    pub fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("because the temporary folder can be written");
        let size = format!("size={megabytes}m,mode=0755");
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", &size, "crawlmesh-test"]).arg(folder.path()).output();
        match done {
            Ok(output) if output.status.success() => Some(Self { folder }),
            Ok(output) => {
                eprintln!("SKIPPED, no small disk: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                eprintln!("SKIPPED, no small disk: {error}");
                None
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fills what is left of it.
    ///
    /// # Panics
    /// Where that fails for another reason than that it is full.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.ballast()).expect("because it can be written");
        for size in [1 << 20, 4096, 1] {
            let piece = vec![0; size];
            loop {
                match io::Write::write_all(&mut file, &piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => panic!("fill the disk: {error}"),
                }
            }
        }
    }

    /// Takes back what [`SmallDisk::fill`] did.
    ///
    /// # Panics
    /// Where it was not filled.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("because it was filled");
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that was just killed may still hold a file.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
