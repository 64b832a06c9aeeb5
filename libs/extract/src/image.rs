//! Images: what their headers say, and no pixel of them. Format, size, and from EXIF orientation, time and camera.
//! Promises: nothing is decompressed, so that a small file cannot become a large picture; no panic gets out.

use std::io::Cursor;

use exif::{In, Tag, Value};
use imagesize::ImageType;

use crate::{ContentKind, Document, Image, Options};

/// Longest text taken from EXIF, in bytes.
const MAX_FIELD_BYTES: usize = 256;

/// The document of an image; nothing if its header is broken or of a format that is not known.
pub(crate) fn read(bytes: &[u8], url: &url::Url, options: &Options) -> Option<Document> {
    // The parsers are careful, but what they read is hostile.
    let parsed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| parse(bytes, url, options)));
    parsed.ok().flatten()
}

fn parse(bytes: &[u8], url: &url::Url, options: &Options) -> Option<Document> {
    let format = format(imagesize::image_type(bytes).ok()?)?;
    let size = imagesize::blob_size(bytes).ok()?;
    let (width, height) = (u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?);
    let mut document = Document { content_kind: ContentKind::Data, confidence: 1.0, ..Document::default() };
    let mut about = |name: &str, value: String| document.metadata.insert(name.to_owned(), value);
    about("format", format.to_owned());
    about("width", width.to_string());
    about("height", height.to_string());
    // Without a place: where a picture was taken is nobody's business who did not ask.
    if let Ok(exif) = exif::Reader::new()
        .continue_on_error(true)
        .read_from_container(&mut Cursor::new(bytes))
        .or_else(|error| error.distill_partial_result(|_| {}))
    {
        let text = |tag| exif.get_field(tag, In::PRIMARY).and_then(|field| text(&field.value));
        if let Some(orientation) =
            exif.get_field(Tag::Orientation, In::PRIMARY).and_then(|field| field.value.get_uint(0))
        {
            about("orientation", orientation.to_string());
        }
        for (name, tag) in [("make", Tag::Make), ("model", Tag::Model)] {
            if let Some(value) = text(tag) {
                about(name, value);
            }
        }
        document.published =
            text(Tag::DateTimeOriginal).or_else(|| text(Tag::DateTime)).map(|time| iso(&time));
        document.author = text(Tag::Artist);
        document.description = text(Tag::ImageDescription);
    }
    let address = url.as_str().replace('(', "%28").replace(')', "%29");
    document.markdown = format!("![]({address})\n\n{format} image, {width} × {height} pixels");
    document.fit_markdown.clone_from(&document.markdown);
    if options.max_images > 0 {
        document.images = vec![Image {
            url: url.to_string(),
            alt: String::new(),
            width: Some(width),
            height: Some(height),
        }];
    }
    Some(document)
}

fn format(kind: ImageType) -> Option<&'static str> {
    Some(match kind {
        ImageType::Png => "PNG",
        ImageType::Jpeg => "JPEG",
        ImageType::Gif => "GIF",
        ImageType::Webp => "WebP",
        ImageType::Bmp => "BMP",
        ImageType::Ico => "ICO",
        ImageType::Tiff => "TIFF",
        ImageType::Heif(_) => "HEIF",
        _ => return None,
    })
}

/// A text of EXIF, in one line.
fn text(value: &Value) -> Option<String> {
    let Value::Ascii(parts) = value else { return None };
    let text = String::from_utf8_lossy(parts.first()?);
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    (!line.is_empty() && line.len() <= MAX_FIELD_BYTES).then_some(line)
}

/// `2024:01:31 12:00:00` → `2024-01-31T12:00:00`; anything else as it is.
fn iso(time: &str) -> String {
    match time.split_once(' ') {
        Some((day, clock)) if day.len() == 10 && day.bytes().filter(|byte| *byte == b':').count() == 2 => {
            format!("{}T{clock}", day.replace(':', "-"))
        }
        _ => time.to_owned(),
    }
}
