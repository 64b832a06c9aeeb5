//! Real pages to crawl: the HTML documentation that comes with the Rust toolchain.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Sizes of the pages, in bytes.
const SIZES: std::ops::RangeInclusive<u64> = 50_000..=100_000;

/// Why there are none.
pub(crate) const MISSING: &str = "the toolchain has no HTML documentation (rustup component add rust-docs)";

/// A folder of documentation and the pages of it to crawl.
#[derive(Debug, Clone)]
pub(crate) struct Documents {
    /// The folder.
    pub(crate) root: PathBuf,
    /// Paths below it, with `/` in front.
    pub(crate) paths: Vec<String>,
}

impl Documents {
    /// At most `count` distinct pages of 50 to 100 KB, from all over the folder. `None`: the toolchain has none.
    pub(crate) fn find(count: usize) -> Option<Self> {
        let output = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
        let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        let root = sysroot.join("share/doc/rust/html").canonicalize().ok()?;
        let mut all = pages(&root);
        all.sort();
        let take = count.min(all.len());
        // Every n-th page, so that a small number is as mixed as a large one.
        let paths = (0..take).map(|number| all[number * all.len() / take].clone()).collect();
        (take > 0).then_some(Self { root, paths })
    }
}

fn pages(root: &Path) -> Vec<String> {
    let mut pages = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(path);
            } else if SIZES.contains(&metadata.len()) && path.extension().is_some_and(|kind| kind == "html") {
                let below = path.strip_prefix(root).ok().and_then(Path::to_str);
                pages.extend(below.filter(|path| plain(path)).map(|path| format!("/{path}")));
            }
        }
    }
    pages
}

/// Whether a path stands in a URL as it is.
fn plain(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
}
