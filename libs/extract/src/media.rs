//! What a body is: HTML, XHTML, text, JSON, XML, PDF, an image or an office document; by its `Content-Type`, and by its first bytes where there is
//! none or where it lies (WHATWG MIME Sniffing, the part that matters for pages).

use crate::Error;
use crate::charset::find_ignore_case;

/// How much of a body is looked at.
const SNIFF_BYTES: usize = 4096;

/// The sorts of bodies that can be extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Html,
    Xhtml,
    Text,
    Json,
    Xml,
    Pdf,
    /// An image, by its media type.
    Image(&'static str),
    /// A zip archive: an office document, or none.
    Archive,
}

/// Media type of PDF.
pub(crate) const PDF: &str = "application/pdf";

/// Media type of zip archives.
pub(crate) const ZIP: &str = "application/zip";

/// First bytes that no text has, and what they are.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"%PDF-", PDF),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"PK\x03\x04", ZIP),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x7fELF", "application/x-elf"),
    (b"\x00asm", "application/wasm"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "application/ogg"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\0\0\x01\0", "image/x-icon"),
];

/// The sort of a body, or its media type as an error if it is none that can be read.
pub(crate) fn detect(bytes: &[u8], header: Option<&str>) -> Result<Media, Error> {
    let declared = header.map(essence).filter(|essence| essence.contains('/'));
    let wide = utf16(bytes, header);
    if let Some(found) = signed(bytes) {
        return match found {
            PDF => Ok(Media::Pdf),
            ZIP => Ok(Media::Archive),
            image if image.starts_with("image/") => Ok(Media::Image(image)),
            other => Err(Error::UnsupportedType(other.to_owned())),
        };
    }
    let media = match declared.as_deref() {
        None | Some("application/octet-stream" | "unknown/unknown" | "*/*") => sniff(bytes, wide)?,
        Some("text/html") => Media::Html,
        Some("application/xhtml+xml") => Media::Xhtml,
        Some("application/json" | "text/json" | "application/x-ndjson" | "application/manifest+json") => {
            Media::Json
        }
        Some("text/xml" | "application/xml") => xml(bytes),
        Some(other) if other.ends_with("+json") => Media::Json,
        Some(other) if other.ends_with("+xml") && !other.starts_with("image/") => xml(bytes),
        Some(other) if other.starts_with("text/") || is_script(other) => Media::Text,
        Some(other) => return Err(Error::UnsupportedType(other.to_owned())),
    };
    if !wide && binary(bytes, matches!(media, Media::Html | Media::Xhtml)) {
        let found = declared.filter(|essence| !text_like(essence));
        return Err(Error::UnsupportedType(found.unwrap_or_else(|| "application/octet-stream".to_owned())));
    }
    Ok(media)
}

/// What the first bytes say, where they say it for sure.
fn signed(bytes: &[u8]) -> Option<&'static str> {
    let simple =
        SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)).map(|(_, found)| *found);
    simple.or_else(|| match (bytes.get(..4)?, bytes.get(4..8)?, bytes.get(8..12)?) {
        (b"RIFF", _, b"WEBP") => Some("image/webp"),
        (_, b"ftyp", b"avif" | b"avis") => Some("image/avif"),
        (_, b"ftyp", b"heic" | b"heix" | b"mif1") => Some("image/heif"),
        _ => None,
    })
}

fn essence(header: &str) -> String {
    header.split([';', ',']).next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_script(essence: &str) -> bool {
    matches!(
        essence,
        "application/javascript" | "application/x-javascript" | "application/yaml" | "application/toml"
    )
}

fn text_like(essence: &str) -> bool {
    essence.starts_with("text/")
        || essence.ends_with("xml")
        || essence.ends_with("json")
        || is_script(essence)
}

fn utf16(bytes: &[u8], header: Option<&str>) -> bool {
    bytes.starts_with(b"\xff\xfe")
        || bytes.starts_with(b"\xfe\xff")
        || header.is_some_and(|header| find_ignore_case(header.as_bytes(), b"utf-16").is_some())
}

/// Whether the first bytes hold control characters that no text has. HTML in the wild has a stray NUL now and then.
fn binary(bytes: &[u8], html: bool) -> bool {
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    let odd = head.iter().filter(|byte| matches!(byte, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f)).count();
    if html { odd * 100 > head.len() } else { odd * 200 > head.len() || head.contains(&0) }
}

fn xml(bytes: &[u8]) -> Media {
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    let root = find_ignore_case(head, b"<html");
    let earlier =
        |at: usize| head[..at].windows(2).any(|pair| pair[0] == b'<' && pair[1].is_ascii_alphabetic());
    if root.is_some_and(|at| !earlier(at)) { Media::Xhtml } else { Media::Xml }
}

fn sniff(bytes: &[u8], wide: bool) -> Result<Media, Error> {
    if wide {
        return Ok(Media::Html);
    }
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if head.len() >= 5 && head[..5].eq_ignore_ascii_case(b"<?xml") {
        return Ok(xml(head));
    }
    if matches!(head.first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
    {
        return Ok(Media::Json);
    }
    let tag = head.first() == Some(&b'<')
        && head.get(1).is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'!');
    let inside = || {
        ["</p>", "</div>", "<html", "<body", "<br", "</a>"]
            .iter()
            .any(|tag| find_ignore_case(head, tag.as_bytes()).is_some())
    };
    Ok(if tag || inside() { Media::Html } else { Media::Text })
}
