//! Pages per second of an extraction, against a bare parse of the same pages.
//! Usage: `speed FOLDER [ROUNDS]`: every `.html` and `.html.gz` directly in the folder, on one core.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use extract::{Options, Part, Parts};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: speed FOLDER [ROUNDS]")?;
    let rounds: u32 = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    let pages = pages(Path::new(&folder))?;
    let url = url::Url::parse("https://example.com/docs/page.html")?;
    let some = [Part::Markdown, Part::Links, Part::Tables, Part::Metadata]
        .into_iter()
        .fold(Parts::NONE, Parts::with);
    let some = Options { parts: some, ..Options::default() };
    let all = Options::default();
    let (mut parse, mut parts, mut whole) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let extract = |page: &Vec<u8>, options: &Options| {
        let input = extract::Input { bytes: page, content_type: Some("text/html; charset=utf-8"), url: &url };
        extract::extract(input, options).map_or(0, |document| document.markdown.len())
    };
    for _ in 0..rounds {
        let bare = |page: &Vec<u8>| dom_query::Document::from(&*String::from_utf8_lossy(page)).tree.len();
        parse = parse.min(time(|| pages.iter().map(bare).sum())?);
        parts = parts.min(time(|| pages.iter().map(|page| extract(page, &some)).sum())?);
        whole = whole.min(time(|| pages.iter().map(|page| extract(page, &all)).sum())?);
    }
    let rate = |time: Duration| pages.len() as f64 / time.as_secs_f64();
    let bytes: usize = pages.iter().map(Vec::len).sum();
    writeln!(
        std::io::stdout(),
        "{} pages of {} KiB: parse {:.0} pages/s; markdown, links, tables, metadata {:.0} pages/s, {:.2} x the parse; \
         with main content {:.0} pages/s, {:.2} x the parse",
        pages.len(),
        bytes / 1024 / pages.len().max(1),
        rate(parse),
        rate(parts),
        parts.as_secs_f64() / parse.as_secs_f64(),
        rate(whole),
        whole.as_secs_f64() / parse.as_secs_f64()
    )?;
    Ok(())
}

/// Time on the processor: what else the machine does counts little.
fn time(work: impl FnOnce() -> usize) -> std::io::Result<Duration> {
    let before = processor_time()?;
    std::hint::black_box(work());
    Ok(processor_time()? - before)
}

fn processor_time() -> std::io::Result<Duration> {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = line.split(' ').next().and_then(|field| field.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| std::io::Error::other("no time of the thread"))
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
