//! Robots.txt files and sitemaps as pages of a job: nothing is kept of them but where they lead.

use api::job::v1::page::Kind;
use domain::{PageUrl, Verdict, follow::Rules};
use extract::{Sitemap, SitemapEntry};
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::classify::{self, Judgement};
use crate::discover::{self, Discovery, Lead};
use crate::fetch::{Fetched, Order};
use crate::outcome::{Outcome, Visit};
use crate::page::{Bench, SLACK};
use crate::permission;
use crate::spec::Spec;
use crate::task::Task;

/// Sitemaps that one robots.txt file may name, and the bytes of it that are read (RFC 9309, 2.5).
const MAX_NAMED: usize = 100;
const MAX_ROBOTS_BYTES: usize = 500 * 1024;
/// Depth of a sitemap, counted from the robots.txt file, that is not read: an index may name indexes, and no more.
pub(crate) const MAX_DEPTH: u32 = 3;

impl Bench {
    /// Reads a robots.txt file or a sitemap.
    pub(crate) async fn source(&self, task: &Task, spec: &Spec, visit: &Mutex<Visit>) -> Outcome {
        let deadline = Instant::now() + spec.page_timeout;
        let order = Order::new(task, spec, deadline);
        let work = async {
            if spec.respect_robots {
                permission::ask(&self.robots, &order, visit).await?;
            }
            visit.lock().start = Some(mesh::clock::now());
            self.fetch(&order).await
        };
        let fetched = match timeout_at(deadline + SLACK, work).await {
            Ok(Ok(fetched)) => fetched,
            Ok(Err(judgement)) => return judgement.into(),
            Err(_) => return Judgement::late("fetch").into(),
        };
        {
            let mut visit = visit.lock();
            visit.latency = fetched.latency;
            visit.throttled |= order.authentic() && fetched.throttled();
        }
        let mut outcome = Outcome {
            http_status: Some(fetched.status),
            wire_bytes: fetched.wire_bytes,
            ..Outcome::from(Judgement::done(Verdict::Ok, ""))
        };
        let none = matches!(fetched.status, 404 | 410);
        let refused = classify::status(fetched.status, fetched.retry_after(mesh::clock::now()));
        if let Some(judgement) = refused.filter(|_| !none) {
            outcome.judgement = judgement;
            return outcome;
        }
        let (found, detail) = match task.kind {
            Kind::RobotsFile => named(&fetched, none),
            _ if none => (Some(Sitemap::default()), "there is none (HTTP 404)".to_owned()),
            _ => read(fetched).await,
        };
        outcome.judgement = match (&found, &spec.follow) {
            (Some(found), Some(rules)) => {
                let discovery = leads(task, rules, found, mesh::clock::now());
                outcome.discovery = Some(Box::new(discovery));
                Judgement::done(Verdict::Ok, detail)
            }
            _ => Judgement::done(Verdict::UnsupportedType, "is not a sitemap"),
        };
        outcome
    }
}

/// The sitemaps that a robots.txt file names; if it names none, the one where they usually are.
pub(crate) fn named(fetched: &Fetched, none: bool) -> (Option<Sitemap>, String) {
    let text = String::from_utf8_lossy(&fetched.body[..fetched.body.len().min(MAX_ROBOTS_BYTES)]);
    let lines = if none { "" } else { &text };
    let mut sitemaps: Vec<SitemapEntry> = lines
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("sitemap"))
        .filter_map(|(_, url)| fetched.final_url.join(url.split('#').next().unwrap_or_default().trim()).ok())
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .take(MAX_NAMED)
        .map(entry)
        .collect();
    let detail = match (none, sitemaps.len()) {
        (true, _) => "there is none (HTTP 404)".to_owned(),
        (false, count) => format!("{count} sitemaps"),
    };
    if sitemaps.is_empty() {
        sitemaps.extend(fetched.final_url.join("/sitemap.xml").ok().map(entry));
    }
    (Some(Sitemap { sitemaps, ..Sitemap::default() }), detail)
}

fn entry(url: Url) -> SitemapEntry {
    SitemapEntry { url: url.into(), lastmod: None }
}

/// Reads a sitemap off the runtime's threads: it may have 50 MiB.
pub(crate) async fn read(fetched: Fetched) -> (Option<Sitemap>, String) {
    let work = move || extract::sitemap(&fetched.body, &fetched.final_url);
    let sitemap = tokio::task::spawn_blocking(work).await.ok().flatten();
    let detail = sitemap.as_ref().map(|sitemap| match (sitemap.pages.len(), sitemap.sitemaps.len()) {
        (pages, 0) => format!("{pages} URLs"),
        (_, sitemaps) => format!("{sitemaps} sitemaps"),
    });
    (sitemap, detail.unwrap_or_default())
}

fn leads(task: &Task, rules: &Rules, found: &Sitemap, now: OffsetDateTime) -> Discovery {
    let mut discovery = Discovery { dropped: found.dropped, ..Discovery::default() };
    let seed: &PageUrl = task.seed.as_ref().unwrap_or(&task.url);
    let lead = |kind| move |entry| lead(rules, entry, kind, now);
    let deeper = if task.depth < MAX_DEPTH { found.sitemaps.as_slice() } else { &[] };
    discovery.refuse("sitemap depth", found.sitemaps.len() - deeper.len());
    let sitemaps = deeper.iter().map(lead(Kind::Sitemap));
    discovery.judge(rules, seed, 1, sitemaps.chain(found.pages.iter().map(lead(Kind::Page))));
    discovery
}

fn lead<'a>(rules: &Rules, entry: &'a SitemapEntry, kind: Kind, now: OffsetDateTime) -> Lead<'a> {
    let age_days = discover::age(rules, &entry.url, entry.lastmod.as_deref(), now);
    Lead { url: &entry.url, text: "", nofollow: false, age_days, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn robots_txt_names_sitemaps() {
        let fetched = |body: &'static str| Fetched {
            status: 200,
            final_url: Url::parse("https://example.com/robots.txt").unwrap(),
            redirects: Vec::new(),
            headers: Vec::new(),
            content_type: None,
            body: body.into(),
            wire_bytes: 0,
            artifacts: Vec::new(),
            changes: crate::session::Changes::default(),
            latency: None,
            ads_blocked: 0,
        };
        let urls = |body, none| {
            let found = named(&fetched(body), none).0.unwrap();
            found.sitemaps.into_iter().map(|entry| entry.url).collect::<Vec<_>>()
        };
        let text = "User-agent: *\nDisallow: /x\nSITEMAP: https://cdn.example/a.xml # main\nSitemap: /b.xml\nSitemap: ftp://x/";
        assert_eq!(urls(text, false), ["https://cdn.example/a.xml", "https://example.com/b.xml"]);
        for (body, none) in [("User-agent: *", false), ("<h1>404</h1>", true)] {
            assert_eq!(urls(body, none), ["https://example.com/sitemap.xml"]);
        }
    }
}
