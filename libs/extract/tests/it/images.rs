//! Images: what their headers say, and nothing of broken ones.

use extract::{ContentKind, Error, PageStatus};
use proptest::prelude::*;

use super::{PAGE, read, try_read};

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend(b"\x08\x02\0\0\0\0\0\0\0");
    bytes
}

/// A JPEG of 640 × 480 pixels, turned by 90°, taken on the last day of January 2024; no pixel in it.
fn jpeg() -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x02\0".to_vec();
    // Orientation, SHORT, one value: 6. DateTime, ASCII, 20 bytes behind the directory.
    tiff.extend(b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0");
    tiff.extend(b"\x32\x01\x02\0\x14\0\0\0\x26\0\0\0");
    tiff.extend(b"\0\0\0\0");
    tiff.extend(b"2024:01:31 12:00:00\0");
    let mut bytes = b"\xff\xd8\xff\xe1".to_vec();
    bytes.extend((u16::try_from(tiff.len()).expect("because it is short") + 8).to_be_bytes());
    bytes.extend(b"Exif\0\0");
    bytes.extend(tiff);
    bytes.extend(b"\xff\xc0\0\x11\x08\x01\xe0\x02\x80\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xd9");
    bytes
}

#[test]
fn an_image_is_its_format_and_size() {
    let document = read(&png(640, 480), Some("image/png"));
    assert_eq!((document.content_kind, &document.page_status), (ContentKind::Data, &PageStatus::Ok));
    assert_eq!(document.markdown, format!("![]({PAGE})\n\nPNG image, 640 × 480 pixels"));
    let image = &document.images[0];
    assert_eq!((image.url.as_str(), image.width, image.height), (PAGE, Some(640), Some(480)));
    assert_eq!(document.metadata["format"], "PNG");
    let gif = read(b"GIF89a\x0a\0\x14\0\0\0\0", Some("image/gif"));
    assert_eq!((gif.metadata["width"].as_str(), gif.metadata["height"].as_str()), ("10", "20"));
    // The size of a picture costs nothing, since no picture is made.
    assert_eq!(read(&png(2_000_000_000, 2_000_000_000), None).metadata["width"], "2000000000");
}

#[test]
fn a_photograph_says_how_it_is_turned_and_when_it_was_taken() {
    let document = read(&jpeg(), Some("image/jpeg"));
    assert_eq!(
        (document.metadata["width"].as_str(), document.metadata["orientation"].as_str()),
        ("640", "6")
    );
    assert_eq!(document.published.as_deref(), Some("2024-01-31T12:00:00"));
}

#[test]
fn an_image_that_breaks_off_is_refused_by_name() {
    assert_eq!(try_read(&png(1, 1)[..12], None), Err(Error::UnsupportedType("image/png".to_owned())));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn broken_images_never_panic(at in 0usize..90, byte: u8, cut in 0usize..120) {
        for mut bytes in [jpeg(), png(64, 64)] {
            bytes.truncate(cut.max(4));
            if let Some(hit) = bytes.get_mut(at) {
                *hit = byte;
            }
            let _ = try_read(&bytes, None);
        }
    }
}
