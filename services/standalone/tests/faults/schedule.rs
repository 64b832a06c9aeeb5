//! From a seed to a schedule: which mesh, which faults, and how far the crawl has come when each strikes.

use std::{collections::BTreeSet, time::Duration};

use domain::Service;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use testkit::{Link, Member, Toxic, Way};

/// Faults of one schedule.
const FAULTS: std::ops::RangeInclusive<usize> = 6..=10;

/// One fault.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// `kill -9`, and started again after a pause.
    Kill(Member, Duration),
    /// `SIGSTOP`, and `SIGCONT` after a pause, which may be longer than the lease of a page.
    Stop(Member, Duration),
    /// `kill -9` of NATS, and started again after a pause.
    KillNats(Duration),
    /// NATS loses everything it kept.
    WipeNats,
    /// NATS goes back to what it kept when this fault before struck, or notes it for the next time.
    RollNatsBack,
    /// `kill -9` of everything at once.
    PowerCut,
    /// Postgres dies as in a crash, and comes back after a pause.
    KillPostgres(Duration),
    /// A connection is harmed for a time. `true`: it is cut in the end.
    Harm(Link, Vec<Way>, Toxic, Duration, bool),
    /// Every connection of a link is reset.
    Cut(Link),
    /// Every outcome so far is told once more, and page tasks are doubled.
    Duplicates,
}

/// What one seed stands for.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) postgres: bool,
    /// Two job services share the database.
    pub(crate) two_job_services: bool,
    /// Pages that the crawl may read; fewer than the site has or more.
    pub(crate) max_pages: usize,
    /// Faults with the number of pages that are read when they strike, in order.
    pub(crate) faults: Vec<(usize, Fault)>,
    /// When another job is cancelled.
    pub(crate) cancel: usize,
}

impl Schedule {
    /// The schedule of a seed for a site of `pages` pages: the same for the same seed.
    pub(crate) fn new(seed: u64, pages: usize) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let postgres = seed % 2 == 1;
        let two_job_services = seed % 4 == 3;
        let max_pages = if random.random_bool(0.5) { pages * 2 } else { pages * 7 / 10 };
        let read = pages.min(max_pages);
        let count = random.random_range(FAULTS);
        let times: BTreeSet<usize> = (0..count).map(|_| random.random_range(1..read * 95 / 100)).collect();
        let mut faults: Vec<(usize, Fault)> =
            times.into_iter().map(|time| (time, fault(&mut random, postgres, two_job_services))).collect();
        // A rollback needs something to go back to.
        if let Some(first) = faults.iter().position(|(_, fault)| *fault == Fault::RollNatsBack) {
            let time = faults[first].0 / 2;
            faults.push((time, Fault::RollNatsBack));
            faults.sort_by_key(|(time, _)| *time);
        }
        let cancel = random.random_range(1..read * 9 / 10);
        Self { seed, postgres, two_job_services, max_pages, faults, cancel }
    }
}

fn millis(random: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}

fn member(random: &mut StdRng, two_job_services: bool) -> Member {
    let mut members = vec![
        Member(Service::Crawler, 1),
        Member(Service::Crawler, 2),
        Member(Service::Job, 1),
        Member(Service::Result, 1),
    ];
    members.extend(two_job_services.then_some(Member(Service::Job, 2)));
    *members.choose(random).expect("because there are some")
}

fn link(random: &mut StdRng, postgres: bool) -> Link {
    let mut links = vec![Link::JobNats, Link::CrawlerNats, Link::CrawlerResult];
    links.extend(postgres.then_some(Link::JobPostgres));
    *links.choose(random).expect("because there are some")
}

fn fault(random: &mut StdRng, postgres: bool, two: bool) -> Fault {
    match random.random_range(0..100) {
        0..22 => Fault::Kill(member(random, two), millis(random, 0..3000)),
        22..36 => Fault::Stop(member(random, two), millis(random, 500..8000)),
        36..46 => Fault::KillNats(millis(random, 0..4000)),
        46..52 => Fault::WipeNats,
        52..58 => Fault::RollNatsBack,
        58..62 => Fault::PowerCut,
        62..68 if postgres => Fault::KillPostgres(millis(random, 0..4000)),
        62..85 => {
            let ways = [vec![Way::Up], vec![Way::Down], vec![Way::Up, Way::Down]];
            let ways = ways.choose(random).cloned().unwrap_or_default();
            let toxic = toxic(random);
            Fault::Harm(
                link(random, postgres),
                ways,
                toxic,
                millis(random, 500..6000),
                random.random_bool(0.5),
            )
        }
        85..92 => Fault::Cut(link(random, postgres)),
        _ => Fault::Duplicates,
    }
}

fn toxic(random: &mut StdRng) -> Toxic {
    match random.random_range(0..4) {
        0 => Toxic::Latency(millis(random, 50..500), millis(random, 1..400)),
        1 => Toxic::Bandwidth(random.random_range(2_000..100_000)),
        2 => Toxic::CutAfter(random.random_range(1..100_000)),
        _ => Toxic::Silence,
    }
}
