//! Pages per second of a whole extraction, against a bare parse of the same pages.
//! Usage: `speed FOLDER [ROUNDS]`: every `.html` and `.html.gz` directly in the folder, on one core.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: speed FOLDER [ROUNDS]")?;
    let rounds: u32 = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    let pages = pages(Path::new(&folder))?;
    let url = url::Url::parse("https://example.com/docs/page.html")?;
    let options = extract::Options::default();
    let (mut parse, mut whole) = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        parse = parse.min(time(|| {
            pages
                .iter()
                .map(|page| dom_query::Document::from(&*String::from_utf8_lossy(page)).tree.len())
                .sum()
        }));
        whole = whole.min(time(|| {
            let input =
                |bytes| extract::Input { bytes, content_type: Some("text/html; charset=utf-8"), url: &url };
            pages
                .iter()
                .map(|page| {
                    extract::extract(input(page), &options).map_or(0, |document| document.markdown.len())
                })
                .sum()
        }));
    }
    let rate = |time: Duration| pages.len() as f64 / time.as_secs_f64();
    let bytes: usize = pages.iter().map(Vec::len).sum();
    writeln!(
        std::io::stdout(),
        "{} pages of {} KiB: parse {:.0} pages/s, extract {:.0} pages/s, ratio {:.2}",
        pages.len(),
        bytes / 1024 / pages.len().max(1),
        rate(parse),
        rate(whole),
        whole.as_secs_f64() / parse.as_secs_f64()
    )?;
    Ok(())
}

fn time(work: impl FnOnce() -> usize) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}

fn pages(folder: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let bytes = match path.extension().and_then(|extension| extension.to_str()) {
            Some("html") => std::fs::read(&path)?,
            Some("gz") => {
                let mut bytes = Vec::new();
                flate2::read::GzDecoder::new(std::fs::File::open(&path)?).read_to_end(&mut bytes)?;
                bytes
            }
            _ => continue,
        };
        pages.push(bytes);
    }
    Ok(pages)
}
