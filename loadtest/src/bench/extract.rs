//! Time of an extraction on one core, against a bare parse of the same pages by the same parser.

use std::{
    fs,
    hint::black_box,
    io::Read as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use extract::{Input, Options, Part, Parts};
use url::Url;

use crate::{
    command::BenchArgs,
    documents::Documents,
    report::{Bar, Report},
};

const PARTS: &str = "markdown, links, tables, metadata";
const WHOLE: &str = "with main content";
/// Times of the bare parse that an extraction may take.
const MAX_PARTS: f64 = 3.0;
const MAX_WHOLE: f64 = 6.0;
/// Largest page that is read, decompressed.
const MAX_PAGE: u64 = 16 << 20;

/// Runs it, on documentation and on the articles in `args.corpus`, where they are.
pub(crate) async fn run(args: &BenchArgs, report: &mut Report) -> anyhow::Result<()> {
    match Documents::find(args.pages) {
        Some(documents) => {
            let files = documents.paths.iter().map(|path| documents.root.join(&path[1..]));
            measure("documentation", files.collect(), args, report)?;
        }
        None => report.skipped("extract, documentation", "the toolchain has no HTML documentation")?,
    }
    let mut articles: Vec<PathBuf> =
        fs::read_dir(&args.corpus).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    articles.sort();
    if articles.is_empty() {
        return report.skipped("extract, articles", "there is no corpus; name its folder with --corpus");
    }
    measure("articles", articles, args, report)
}

fn measure(name: &str, files: Vec<PathBuf>, args: &BenchArgs, report: &mut Report) -> anyhow::Result<()> {
    let pages = files.iter().map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let url = Url::parse("https://example.com/docs/page.html")?;
    let some = [Part::Markdown, Part::Links, Part::Tables, Part::Metadata];
    let parts = Options { parts: some.into_iter().fold(Parts::NONE, Parts::with), ..Options::default() };
    let whole = Options::default();
    let extract = |options: &Options| {
        let one = |bytes: &Vec<u8>| {
            let input = Input { bytes, content_type: Some("text/html; charset=utf-8"), url: &url };
            extract::extract(input, options).map_or(0, |document| document.markdown.len())
        };
        time(|| pages.iter().map(one).sum())
    };
    let parse = || {
        time(|| {
            pages
                .iter()
                .map(|page| dom_query::Document::from(&*String::from_utf8_lossy(page)).tree.len())
                .sum()
        })
    };
    // The fastest of the rounds: what disturbs a round makes it slower, never faster.
    let mut best = [Duration::MAX; 3];
    for _ in 0..args.rounds.max(1) {
        let times = [parse(), extract(&parts), extract(&whole)];
        best = std::array::from_fn(|at| best[at].min(times[at]));
    }
    let bytes: usize = pages.iter().map(Vec::len).sum();
    let rate = |time: Duration| pages.len() as f64 / time.as_secs_f64();
    report.note(&format!(
        "extract, {name}: {} pages of {} KiB on one core; bare parse {:.0} pages/s, {PARTS} {:.0} pages/s, {WHOLE} {:.0} pages/s",
        pages.len(),
        bytes / 1024 / pages.len().max(1),
        rate(best[0]),
        rate(best[1]),
        rate(best[2]),
    ))?;
    for (what, time, bar) in [(PARTS, best[1], MAX_PARTS), (WHOLE, best[2], MAX_WHOLE)] {
        let ratio = time.as_secs_f64() / best[0].as_secs_f64();
        report.measured(&format!("extract, {name}, {what}"), ratio, "x the parse", Some(Bar::Below(bar)))?;
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let content = fs::File::open(file).with_context(|| format!("read {}", file.display()))?;
    let packed = file.extension().is_some_and(|extension| extension == "gz");
    let mut source: Box<dyn std::io::Read> =
        if packed { Box::new(flate2::read::GzDecoder::new(content)) } else { Box::new(content) };
    source
        .as_mut()
        .take(MAX_PAGE)
        .read_to_end(&mut bytes)
        .with_context(|| format!("read {}", file.display()))?;
    Ok(bytes)
}

fn time(work: impl FnOnce() -> usize) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}
