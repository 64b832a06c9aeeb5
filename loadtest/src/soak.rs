//! Many pages in the browser, hostile ones among them: whether processes, descriptors and memory come back to what they were.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use api::job::v1::{CrawlConfig, CreateCrawlJobRequest, Job, crawl_config::Render};
use tokio::time::{Instant, sleep};

use crate::{
    command::SoakArgs,
    report::{Bar, Report},
    site::Site,
    up::Up,
};

/// One page of so many is hostile.
const HOSTILE: usize = 10;
/// Pages of one job.
const BATCH: usize = 200;
/// Pages before anything is measured.
const WARM_UP: usize = 20;
/// Seconds that a hostile page is given.
const SHORT: i64 = 3;
/// Seconds that any other page is given.
const LONG: i64 = 60;
/// How long the mesh may take to come to rest; the crawler keeps contexts for 30 s, and idle connections of a browser for 60 s.
const REST: Duration = Duration::from_secs(90);
/// Descriptors more than before that are no leak.
const DESCRIPTORS: usize = 32;

/// Pages that misbehave, by the name that stands in their path.
const PAGES: [(&str, &str); 8] = [
    ("loop", "<h1>x</h1><script>while (true) {}</script>"),
    ("alerts", "<h1>x</h1><script>while (true) alert(1)</script>"),
    ("popups", "<h1>x</h1><script>for (let i = 0; i < 1000; i++) open('/p/popup' + i)</script>"),
    (
        "frames",
        "<h1>x</h1><script>for (let i = 0; i < 300; i++) document.body.append(document.createElement('iframe'))</script>",
    ),
    (
        "nodes",
        "<body><script>for (let i = 0; i < 1e6; i++) document.body.append(document.createElement('b'))</script>",
    ),
    ("memory", "<h1>x</h1><script>const a = []; while (true) a.push(new Array(1e6).fill({}))</script>"),
    (
        "stay",
        "<h1>x</h1><script>onbeforeunload = e => { e.preventDefault(); return 'stay' }; setInterval(() => fetch('/p/x'), 10)</script>",
    ),
    ("away", "<script>location = location.pathname + '?' + Math.random()</script>"),
];

/// The hostile page at this path, if there is one.
pub(crate) fn hostile(path: &str) -> Option<&'static str> {
    let name = path.strip_prefix("/hostile/")?.split('/').next()?;
    PAGES.iter().find(|(known, _)| *known == name).map(|(_, page)| *page)
}

/// What a mesh holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    processes: usize,
    zombies: usize,
    profiles: usize,
    descriptors: usize,
    /// MB.
    resident: f64,
}

/// Runs it.
pub(crate) async fn run(args: &SoakArgs, report: &mut Report) -> anyhow::Result<()> {
    let (site, _visits) = Site::start(None).await?;
    let up = Up::start(&[]).await?;
    let jobs = up.jobs().await?;
    let warm: Vec<String> = (0..WARM_UP).map(|number| site.url(&format!("/p/w{number}"))).collect();
    jobs.crawl(request(warm, LONG)).await?.rate(WARM_UP)?;
    let before = at_rest(&up, None).await?;
    report.note(&format!("soak, before: {before:?}"))?;
    let (mut good, mut bad, mut ended) = (0, 0, 0);
    for start in (0..args.pages).step_by(BATCH) {
        let numbers = start..args.pages.min(start + BATCH);
        let (hostile, plain): (Vec<usize>, Vec<usize>) = numbers.partition(|number| number % HOSTILE == 0);
        let trap = |number: &usize| {
            let (name, _) = PAGES[number / HOSTILE % PAGES.len()];
            site.url(&format!("/hostile/{name}/{number}"))
        };
        let traps: Vec<String> = hostile.iter().map(trap).collect();
        let pages: Vec<String> = plain.iter().map(|number| site.url(&format!("/p/{number}"))).collect();
        bad += traps.len();
        good += pages.len();
        let traps = async {
            if traps.is_empty() {
                Ok(0)
            } else {
                anyhow::Ok(done(&jobs.crawl(request(traps, SHORT)).await?.job))
            }
        };
        let pages = async { anyhow::Ok(jobs.crawl(request(pages, LONG)).await?.job) };
        let (trapped, crawled) = tokio::try_join!(traps, pages)?;
        ended += trapped;
        let succeeded = crawled.counts.unwrap_or_default().succeeded;
        anyhow::ensure!(succeeded == plain.len() as i64, "{succeeded} of {} plain pages are ok", plain.len());
    }
    let after = at_rest(&up, Some(before)).await?;
    report.note(&format!("soak, after {good} pages and {bad} hostile ones: {after:?}"))?;
    let growth = |now: usize, then: usize| now as f64 - then as f64;
    report.measured(
        "hostile pages with a verdict",
        ended as f64 / bad.max(1) as f64,
        "of all",
        Some(Bar::AtLeast(1.0)),
    )?;
    report.measured(
        "processes left",
        growth(after.processes, before.processes),
        "",
        Some(Bar::Below(3.0)),
    )?;
    report.measured("zombies", after.zombies as f64, "", Some(Bar::Below(1.0)))?;
    report.measured("profiles left", growth(after.profiles, before.profiles), "", Some(Bar::Below(1.0)))?;
    report.measured(
        "descriptors left",
        growth(after.descriptors, before.descriptors),
        "",
        Some(Bar::Below(DESCRIPTORS as f64)),
    )?;
    report.measured("memory added", after.resident - before.resident, "MB", Some(Bar::Below(100.0)))?;
    let folder = up.folder().to_owned();
    up.stop().await?;
    report.measured("processes after the end", held_by(&folder)?.0 as f64, "", Some(Bar::Below(1.0)))
}

/// What the mesh holds once it holds no more than `base`, or when its time to rest is over.
async fn at_rest(up: &Up, base: Option<Held>) -> anyhow::Result<Held> {
    let patience = Instant::now() + REST;
    loop {
        sleep(Duration::from_secs(3)).await;
        let held = hold(up)?;
        let rested = base.is_none_or(|base| {
            held.processes <= base.processes
                && held.profiles <= base.profiles
                && held.descriptors < base.descriptors + DESCRIPTORS
        });
        if rested || Instant::now() > patience {
            return Ok(held);
        }
    }
}

fn hold(up: &Up) -> anyhow::Result<Held> {
    let (processes, zombies) = held_by(up.folder())?;
    let profiles = fs::read_dir(up.folder())?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("crawlmesh-browser"));
    let profiles = profiles.filter_map(|folder| fs::read_dir(folder.path()).ok()).map(Iterator::count).sum();
    let (descriptors, resident) = (up.process().descriptors()?, up.process().resident()?);
    Ok(Held { processes, zombies, profiles, descriptors, resident })
}

/// Processes that name the folder on their command line, and zombies among the browsers of this machine's user.
fn held_by(folder: &Path) -> anyhow::Result<(usize, usize)> {
    let folder = folder.to_string_lossy().into_owned();
    let (mut processes, mut zombies) = (0, 0);
    for entry in fs::read_dir("/proc").context("read /proc")?.flatten() {
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        if read("cmdline").contains(&folder) {
            processes += 1;
        }
        let stat = read("stat");
        let ours = stat.contains("(chromium") || stat.contains("(headless");
        zombies += usize::from(
            ours && stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        );
    }
    Ok((processes, zombies))
}

fn done(job: &Job) -> usize {
    let counts = job.counts.unwrap_or_default();
    usize::try_from(counts.succeeded + counts.failed + counts.skipped).unwrap_or_default()
}

fn request(urls: Vec<String>, seconds: i64) -> CreateCrawlJobRequest {
    let config = CrawlConfig {
        render: Render::Browser.into(),
        page_timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
        max_attempts: Some(1),
        ..CrawlConfig::default()
    };
    CreateCrawlJobRequest { urls, config: Some(config), ..CreateCrawlJobRequest::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_pages_are_found_by_their_path() {
        assert!(hostile("/hostile/loop/10").is_some_and(|page| page.contains("while")));
        assert_eq!((hostile("/hostile/none/1"), hostile("/p/1")), (None, None));
    }
}
