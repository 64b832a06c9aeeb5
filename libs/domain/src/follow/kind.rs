//! What the name of a file says about its content type: whether a link can lead to a page at all.

/// Extensions of files that are no pages, or not of every crawl, with their content types. Sorted.
const TYPES: &[(&str, &str)] = &[
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("atom", "application/atom+xml"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("deb", "application/x-debian-package"),
    ("dmg", "application/x-apple-diskimage"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("eot", "application/vnd.ms-fontobject"),
    ("epub", "application/epub+zip"),
    ("exe", "application/x-msdownload"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/x-icon"),
    ("iso", "application/x-iso9660-image"),
    ("jar", "application/java-archive"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown"),
    ("mjs", "text/javascript"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("msi", "application/x-msdownload"),
    ("ogg", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("rar", "application/vnd.rar"),
    ("rpm", "application/x-rpm"),
    ("rss", "application/rss+xml"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("wmv", "video/x-ms-wmv"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "application/xml"),
    ("xz", "application/x-xz"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

/// Content types that are followed if nothing else is asked for. Style sheets, scripts and data are no pages.
const READ: &[&str] = &[
    "application/atom+xml",
    "application/pdf",
    "application/rss+xml",
    "application/xhtml+xml",
    "application/xml",
    "text/html",
    "text/markdown",
    "text/plain",
];

/// Whether one of the wanted types, `text/html` or `image/*`, is this one. No wanted types: all are.
#[must_use]
pub fn allows(wanted: &[String], content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    wanted.is_empty()
        || wanted.iter().any(|wanted| match wanted.strip_suffix("/*") {
            Some(family) => essence.split_once('/').is_some_and(|(first, _)| first == family),
            None => *wanted == essence,
        })
}

/// Whether a path can be a page of one of the wanted types. What its name does not tell may be one.
pub(super) fn may_be_page(path: &str, wanted: &[String]) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let Some((_, extension)) = name.rsplit_once('.') else { return true };
    let extension = extension.to_ascii_lowercase();
    let Ok(at) = TYPES.binary_search_by(|(known, _)| (*known).cmp(extension.as_str())) else { return true };
    let content_type = TYPES[at].1;
    if wanted.is_empty() { READ.contains(&content_type) } else { allows(wanted, content_type) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TYPES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn names_of_files_tell() {
        let images = ["image/*".to_owned()];
        for (path, plain, image) in [
            ("/", true, true),
            ("/a.html", true, false),
            ("/a.PDF", true, false),
            ("/a.jpg", false, true),
            ("/a.tar.gz", false, false),
            ("/v1.2", true, true),
            ("/a.b/c", true, true),
        ] {
            assert_eq!((may_be_page(path, &[]), may_be_page(path, &images)), (plain, image), "{path}");
        }
        assert!(allows(&["text/html".to_owned()], "text/HTML; charset=utf-8"));
    }
}
