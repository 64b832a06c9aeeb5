//! Pictures and copies of a page as it stands: PNG, PDF, MHTML. Each is bounded.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::io::{CloseParams, ReadParams};
use chromiumoxide::cdp::browser_protocol::page::{
    CaptureScreenshotFormat, CaptureScreenshotParams, CaptureSnapshotParams, GetLayoutMetricsParams,
    PrintToPdfParams, PrintToPdfTransferMode, Viewport,
};
use domain::Verdict;

use super::options::Area;
use crate::fetch::Failure;

/// CSS pixels of a screenshot's height, and of its area.
const MAX_HEIGHT: f64 = 16_384.0;
const MAX_AREA: f64 = 25_000_000.0;
/// Pages of a PDF.
const PDF_PAGES: &str = "1-50";
/// A4, inches.
const PAPER: (f64, f64) = (8.27, 11.69);
/// Bytes of a PDF that are read at a time.
const PDF_CHUNK: i64 = 256 << 10;

/// A PNG of the page.
pub(super) async fn screenshot(page: &Page, area: Area) -> Result<Bytes, Failure> {
    let failed = || Failure::Ours("no screenshot can be taken");
    let mut params = CaptureScreenshotParams::builder().format(CaptureScreenshotFormat::Png).build();
    if area == Area::FullPage {
        let layout = page.execute(GetLayoutMetricsParams::default()).await.map_err(|_| failed())?;
        let size = &layout.result.css_content_size;
        let width = size.width.clamp(1.0, MAX_HEIGHT);
        let height = size.height.clamp(1.0, MAX_HEIGHT).min((MAX_AREA / width).floor());
        params.clip = Some(Viewport { x: 0.0, y: 0.0, width, height, scale: 1.0 });
        params.capture_beyond_viewport = Some(true);
    }
    let answer = page.execute(params).await.map_err(|_| failed())?;
    BASE64_STANDARD.decode(&answer.result.data).map(Bytes::from).map_err(|_| failed())
}

/// The page as PDF, read piece by piece so that a large one is given up early.
pub(super) async fn pdf(page: &Page, max: usize) -> Result<Bytes, Failure> {
    let failed = || Failure::Ours("no PDF can be made");
    let params = PrintToPdfParams {
        print_background: Some(true),
        paper_width: Some(PAPER.0),
        paper_height: Some(PAPER.1),
        page_ranges: Some(PDF_PAGES.to_owned()),
        transfer_mode: Some(PrintToPdfTransferMode::ReturnAsStream),
        ..PrintToPdfParams::default()
    };
    let printed = page.execute(params).await.map_err(|_| failed())?;
    let stream = printed.result.stream.clone().ok_or_else(failed)?;
    let mut pdf = Vec::new();
    let outcome = loop {
        let mut read = ReadParams::new(stream.clone());
        read.size = Some(PDF_CHUNK);
        let Ok(chunk) = page.execute(read).await else { break Err(failed()) };
        let data = match chunk.result.base64_encoded {
            Some(true) => BASE64_STANDARD.decode(&chunk.result.data).map_err(|_| failed()),
            _ => Ok(chunk.result.data.clone().into_bytes()),
        };
        match data {
            Ok(data) => pdf.extend(data),
            Err(failure) => break Err(failure),
        }
        if pdf.len() > max {
            break Err(Failure::Page(Verdict::TooLarge, "pdf"));
        }
        if chunk.result.eof {
            break Ok(Bytes::from(std::mem::take(&mut pdf)));
        }
    };
    // The tab ends it anyway.
    let _ = page.execute(CloseParams::new(stream)).await;
    outcome
}

/// The page with its resources as MHTML.
pub(super) async fn mhtml(page: &Page, max: usize) -> Result<Bytes, Failure> {
    let answer = page.execute(CaptureSnapshotParams::default()).await;
    let data = answer.map_err(|_| Failure::Ours("no MHTML can be made"))?.result.data;
    if data.len() > max {
        return Err(Failure::Page(Verdict::TooLarge, "mhtml"));
    }
    Ok(Bytes::from(data))
}
