//! The map of a site: its URLs by its sitemaps and the links of one page, without fetching the pages themselves.
//!
//! Promises: asks robots.txt first, and fetches each file at the one rate of its host; few maps at a time, few files each, all
//! within one deadline and with cookies of its own; what was not looked at is said.

pub(crate) mod wire;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use api::job::v1::page::Kind;
use domain::{
    JobId, PageUrl, Verdict,
    follow::{Candidate, Decision, Rules},
};
use extract::{Options, Sitemap};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::classify::{self, Judgement};
use crate::extraction::Extractor;
use crate::fetch::{Fetch, Fetched, Order};
use crate::outcome::Visit;
use crate::permission;
use crate::source;
use crate::visits::Visits;

/// Maps that are made at a time by one crawler.
const MAX_MAPS: usize = 4;
/// Files that one map reads.
const MAX_FILES: usize = 50;
/// Sources that are named for one URL.
const MAX_SOURCES: usize = 3;

/// What a map is asked for.
pub(crate) struct Plan {
    pub(crate) start: PageUrl,
    pub(crate) rules: Rules,
    /// URLs at most.
    pub(crate) limit: usize,
    /// Whether the links of the start page are read.
    pub(crate) links: bool,
    /// Whether sitemaps are.
    pub(crate) sitemaps: bool,
    pub(crate) deadline: Instant,
}

/// A file that was read for the map.
pub(crate) struct File {
    pub(crate) url: PageUrl,
    pub(crate) kind: Kind,
    pub(crate) judgement: Judgement,
    pub(crate) http_status: Option<u16>,
    /// URLs in it.
    pub(crate) urls: usize,
}

/// A URL of the site.
pub(crate) struct Place {
    pub(crate) url: PageUrl,
    pub(crate) text: String,
    pub(crate) lastmod: Option<String>,
    /// The files that have it, by their number.
    pub(crate) files: Vec<usize>,
}

/// A map.
#[derive(Default)]
pub(crate) struct Map {
    pub(crate) places: Vec<Place>,
    pub(crate) files: Vec<File>,
    /// URLs that were left out, by rule.
    pub(crate) refused: BTreeMap<String, i64>,
    /// Whether there is more than was looked at.
    pub(crate) truncated: bool,
    known: HashMap<[u8; 16], usize>,
}

/// Makes maps. Clones share their places.
#[derive(Clone)]
pub(crate) struct Mapper {
    fetch: Arc<dyn Fetch>,
    robots: egress::Robots,
    extractor: Extractor,
    visits: Visits,
    browser: Arc<crate::browser::options::Options>,
    places: Arc<Semaphore>,
}

impl Mapper {
    /// Maps with `fetch`, the HTTP lane, when `visits` says so.
    pub(crate) fn new(
        fetch: Arc<dyn Fetch>,
        robots: egress::Robots,
        extractor: Extractor,
        visits: Visits,
    ) -> Self {
        let places = Arc::new(Semaphore::new(MAX_MAPS));
        Self { fetch, robots, extractor, visits, browser: Arc::default(), places }
    }

    /// Makes a map. `None`: too many are being made.
    pub(crate) async fn map(&self, plan: &Plan) -> Option<Map> {
        let _place = self.places.try_acquire().ok()?;
        let (mut map, mut files) = (Map::default(), VecDeque::new());
        // No job, and yet the cookies of one.
        let job = JobId::new();
        if plan.links {
            files.push_back((plan.start.clone(), Kind::Page, 0));
        }
        let robots = plan.start.as_url().join("/robots.txt").ok().and_then(|url| PageUrl::try_from(url).ok());
        files.extend(robots.filter(|_| plan.sitemaps).map(|url| (url, Kind::RobotsFile, 0)));
        let mut asked: std::collections::HashSet<PageUrl> =
            files.iter().map(|(url, _, _)| url.clone()).collect();
        while let Some((url, kind, depth)) = files.pop_front() {
            if map.files.len() >= MAX_FILES
                || map.places.len() >= plan.limit
                || Instant::now() >= plan.deadline
            {
                map.truncated = true;
                break;
            }
            let number = map.files.len();
            let (file, found) = self.read(plan, job, url, kind).await;
            map.files.push(file);
            for place in found.places {
                map.add(plan, number, place);
            }
            let deeper = found.sitemaps.into_iter().filter(|_| depth < source::MAX_DEPTH);
            files.extend(
                deeper.filter(|url| asked.insert(url.clone())).map(|url| (url, Kind::Sitemap, depth + 1)),
            );
        }
        Some(map)
    }

    async fn read(&self, plan: &Plan, job: JobId, url: PageUrl, kind: Kind) -> (File, Found) {
        let mut file =
            File { url, kind, judgement: Judgement::done(Verdict::Ok, ""), http_status: None, urls: 0 };
        let fetched = match self.fetch(plan, job, &file.url).await {
            Ok(fetched) => fetched,
            Err(judgement) => return (File { judgement, ..file }, Found::default()),
        };
        file.http_status = Some(fetched.status);
        let none = matches!(fetched.status, 404 | 410) && kind != Kind::Page;
        if let Some(judgement) = classify::status(fetched.status, None).filter(|_| !none) {
            return (File { judgement, ..file }, Found::default());
        }
        let found = match kind {
            Kind::Page => self.page(fetched).await,
            Kind::RobotsFile => Ok(source::named(&fetched, none).0.map(Found::from).unwrap_or_default()),
            _ if none => Ok(Found::default()),
            _ => match source::read(fetched).await.0 {
                Some(sitemap) => Ok(Found::from(sitemap)),
                None => Err(Judgement::done(Verdict::UnsupportedType, "is not a sitemap")),
            },
        };
        match found {
            Ok(found) => (File { urls: found.places.len() + found.sitemaps.len(), ..file }, found),
            Err(judgement) => (File { judgement, ..file }, Found::default()),
        }
    }

    async fn fetch(&self, plan: &Plan, job: JobId, url: &PageUrl) -> Result<Fetched, Judgement> {
        let visit = Mutex::new(Visit::default());
        let (headers, validators, relay) = (Vec::new(), (None, None), None);
        let (asked, browser, deadline) = (url.clone(), self.browser.clone(), plan.deadline);
        let order = Order {
            job,
            url: asked,
            browser,
            deadline,
            headers,
            validators,
            relay,
            both_lanes: false,
            session: None,
        };
        let work = async {
            permission::ask(&self.robots, &order, &visit).await?;
            self.visits.wait(url, plan.deadline).await?;
            visit.lock().start = Some(mesh::clock::now());
            self.fetch.fetch(&order).await.map_err(|failure| failure.judgement())
        };
        let fetched = timeout_at(plan.deadline, work).await.unwrap_or_else(|_| Err(Judgement::late("fetch")));
        let mut visit = visit.into_inner();
        if let Ok(fetched) = &fetched {
            (visit.latency, visit.throttled) = (fetched.latency, fetched.throttled());
        } else if visit.throttled {
            // By its robots.txt, before the file itself was asked for.
            visit.start = visit.start.or_else(|| Some(mesh::clock::now()));
        }
        let retry_after = fetched.as_ref().ok().and_then(|fetched| fetched.retry_after(mesh::clock::now()));
        self.visits.report(url, &visit, fetched.is_ok(), retry_after).await;
        fetched
    }

    async fn page(&self, fetched: Fetched) -> Result<Found, Judgement> {
        let (body, media, url) = (fetched.body, fetched.content_type, fetched.final_url);
        let document = self.extractor.extract(body, media, url, Arc::new(Options::default())).await;
        let document =
            document.map_err(|error| Judgement::done(Verdict::UnsupportedType, error.to_string()))?;
        let place = |link: extract::Link| Some((PageUrl::parse(&link.url).ok()?, link.text, None));
        Ok(Found { places: document.links.into_iter().filter_map(place).collect(), sitemaps: Vec::new() })
    }
}

/// What a file has: URLs with their texts and dates, and other sitemaps.
#[derive(Default)]
struct Found {
    places: Vec<(PageUrl, String, Option<String>)>,
    sitemaps: Vec<PageUrl>,
}

impl From<Sitemap> for Found {
    fn from(sitemap: Sitemap) -> Self {
        let place = |entry: extract::SitemapEntry| {
            Some((PageUrl::parse(&entry.url).ok()?, String::new(), entry.lastmod))
        };
        Self {
            places: sitemap.pages.into_iter().filter_map(place).collect(),
            sitemaps: sitemap.sitemaps.iter().filter_map(|entry| PageUrl::parse(&entry.url).ok()).collect(),
        }
    }
}

impl Map {
    fn add(&mut self, plan: &Plan, file: usize, (url, text, lastmod): (PageUrl, String, Option<String>)) {
        let (url, key) = (url.cleaned(), url.normal_key());
        if let Some(number) = self.known.get(&key) {
            let place = &mut self.places[*number];
            if place.files.len() < MAX_SOURCES && !place.files.contains(&file) {
                place.files.push(file);
            }
            place.lastmod = place.lastmod.take().or(lastmod);
            return;
        }
        let candidate = Candidate { url: &url, text: &text, depth: 1, age_days: None };
        if let Decision::Out { rule } = plan.rules.judge(&plan.start, candidate) {
            *self.refused.entry(rule.into_owned()).or_default() += 1;
            return;
        }
        if self.places.len() >= plan.limit {
            self.truncated = true;
            return;
        }
        self.known.insert(key, self.places.len());
        self.places.push(Place { url, text, lastmod, files: vec![file] });
    }
}
