//! A whole mesh as processes of their own, to be killed, stopped and cut off from each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use domain::Service;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use queue::server::NatsServer;
use standalone::Plan;
use store::testing::Postgres;
use tempfile::TempDir;

use crate::{
    Proxy,
    mesh::{Clients, QUEUE_TIMES, overlay, test_plan},
};

/// A connection between two members that can be given a [`Proxy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// From every other member to the job service.
    Job,
    /// From the job service to NATS.
    JobNats,
    /// From the crawlers to NATS.
    CrawlerNats,
    /// From the crawlers to the result service.
    CrawlerResult,
    /// From the job service to Postgres.
    JobPostgres,
}

/// A process of a service: its first, or its second where there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member(pub Service, pub u8);

impl From<Service> for Member {
    fn from(service: Service) -> Self {
        Self(service, 1)
    }
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self(service, 1) => write!(f, "{service}"),
            Self(service, number) => write!(f, "{service}-{number}"),
        }
    }
}

/// How to start [`Processes`].
#[derive(Default)]
pub struct ProcessesBuilder {
    otlp_endpoint: String,
    postgres: bool,
    links: Vec<Link>,
    overlays: Vec<(Service, String)>,
    second: Vec<Service>,
    data: Option<PathBuf>,
}

impl ProcessesBuilder {
    /// Exports traces to an OTLP endpoint.
    #[must_use]
    pub fn otlp_endpoint(mut self, endpoint: &str) -> Self {
        endpoint.clone_into(&mut self.otlp_endpoint);
        self
    }

    /// Postgres instead of SQLite.
    #[must_use]
    pub fn postgres(mut self) -> Self {
        self.postgres = true;
        self
    }

    /// Leads a connection through a proxy.
    #[must_use]
    pub fn proxied(mut self, links: impl IntoIterator<Item = Link>) -> Self {
        self.links.extend(links);
        self
    }

    /// Settings of one service, as TOML.
    #[must_use]
    pub fn set(mut self, service: Service, settings: &str) -> Self {
        self.overlays.push((service, settings.to_owned()));
        self
    }

    /// A second process of a service. Nobody calls it; it shares the work that waits in the database or in the queue.
    #[must_use]
    pub fn second(mut self, service: Service) -> Self {
        self.second.push(service);
        self
    }

    /// Keeps databases and documents in this folder, which stays.
    #[must_use]
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// Starts them, and waits until the gateway is ready.
    ///
    /// # Panics
    /// Where they do not start; their logs are shown.
    pub async fn start(self) -> Processes {
        ::mesh::tls::install_crypto_provider();
        let folder = tempfile::tempdir().expect("because the temporary folder can be written");
        let data = self.data.clone().unwrap_or_else(|| folder.path().join("data"));
        let binary = queue::server::find_server(None).expect("because `make test` installs nats-server");
        let nats =
            NatsServer::start(&binary, &folder.path().join("nats"), 0).await.expect("because NATS starts");
        let postgres =
            self.postgres.then(|| Postgres::start().expect("because `make test` installs Postgres"));
        let mut plan = test_plan(&data, None, postgres.as_ref());
        plan.nats_url = nats.url();
        let mut ports = free_ports(1 + Service::ALL.len() + self.second.len()).into_iter();
        plan.listen = ports.next().expect("because there is one for each");
        plan.peers = Service::ALL.iter().copied().zip(&mut ports).collect();
        for service in Service::ALL {
            let endpoint = &self.otlp_endpoint;
            let logs = format!("[telemetry]\nlog_format = \"json\"\notlp_endpoint = \"{endpoint}\"\n");
            overlay(&mut plan, *service, &logs);
        }
        for (service, settings) in &self.overlays {
            overlay(&mut plan, *service, settings);
        }
        let job_database = database(&plan, Service::Job);
        let mut proxies = BTreeMap::new();
        for link in &self.links {
            proxies.insert(*link, lead(&mut plan, *link).await);
        }
        plan.write(&folder.path().join("plan")).expect("because the folder can be written");
        let mut addresses: BTreeMap<Member, SocketAddr> =
            plan.peers.iter().map(|(service, port)| (Member::from(*service), *port)).collect();
        for (service, port) in self.second.iter().zip(ports) {
            write_second(&plan, *service, port, &folder.path().join("plan"));
            addresses.insert(Member(*service, 2), port);
        }
        let members: Vec<Member> = addresses.keys().copied().collect();
        let key_file = plan.admin_key_file.clone().expect("because the plan names one");
        let mut mesh = Processes {
            clients: Clients::new(&format!("http://{}", plan.listen), ""),
            binaries: binaries(),
            folder,
            children: BTreeMap::new(),
            addresses,
            proxies,
            job_database,
            postgres,
            nats,
        };
        for member in members {
            mesh.spawn(member);
        }
        mesh.wait_ready().await;
        let key = std::fs::read_to_string(key_file).expect("because the first start wrote it");
        mesh.clients = mesh.clients.with_key(key.trim());
        mesh
    }
}

/// Addresses that nobody has, no two the same.
fn free_ports(count: usize) -> Vec<SocketAddr> {
    let mut ports = BTreeSet::new();
    while ports.len() < count {
        ports.insert(queue::server::free_port().expect("because loopback has free ports"));
    }
    ports.into_iter().map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
}

/// The URL of a service's database.
fn database(plan: &Plan, service: Service) -> String {
    let settings = plan.settings(service);
    settings["database"]["url"].as_str().expect("because the plan names one").to_owned()
}

/// Starts the proxy of a link, and lets the plan lead through it.
async fn lead(plan: &mut Plan, link: Link) -> Proxy {
    let (service, key, url) = match link {
        Link::JobNats => (Service::Job, "queue", plan.nats_url.clone()),
        Link::CrawlerNats => (Service::Crawler, "queue", plan.nats_url.clone()),
        Link::JobPostgres => (Service::Job, "database", database(plan, Service::Job)),
        Link::Job => {
            let proxy = Proxy::start(plan.peers[&Service::Job]).await;
            for service in Service::ALL.iter().filter(|service| **service != Service::Job) {
                overlay(plan, *service, &format!("[peers]\njob = \"{}\"\n", proxy.addr()));
            }
            return proxy;
        }
        Link::CrawlerResult => {
            let proxy = Proxy::start(plan.peers[&Service::Result]).await;
            overlay(plan, Service::Crawler, &format!("[peers]\nresult = \"{}\"\n", proxy.addr()));
            return proxy;
        }
    };
    let (before, after) = url.split_once("@127.0.0.1:").expect("because it is on loopback");
    let digits = after.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(after.len());
    let port: u16 = after[..digits].parse().expect("because a URL has a port");
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], port))).await;
    let url = format!("{before}@{}{}", proxy.addr(), &after[digits..]);
    overlay(plan, service, &format!("[{key}]\nurl = \"{url}\"\n"));
    proxy
}

/// Writes the settings of a second process: those of the first, at another port.
fn write_second(plan: &Plan, service: Service, port: SocketAddr, folder: &Path) {
    let first = std::fs::read_to_string(folder.join(format!("{service}.toml")))
        .expect("because the plan was written");
    let mut table: toml::Table = first.parse().expect("because it is TOML");
    let mut change = format!("[server]\nlisten = \"{port}\"\n");
    if service == Service::Crawler {
        change += &format!("[browser]\nwork_dir = \"{}\"\n", plan.data.join("browser-2").display());
    }
    standalone::plan::merge(&mut table, &change.parse().expect("because it is TOML"));
    let text = toml::to_string(&table).expect("because it was TOML");
    std::fs::write(folder.join(format!("{service}-2.toml")), text)
        .expect("because the folder can be written");
}

/// Six services, each its own process from its own binary, and a NATS server.
pub struct Processes {
    clients: Clients,
    binaries: PathBuf,
    folder: TempDir,
    children: BTreeMap<Member, Child>,
    addresses: BTreeMap<Member, SocketAddr>,
    proxies: BTreeMap<Link, Proxy>,
    job_database: String,
    /// The Postgres server, where there is one.
    pub postgres: Option<Postgres>,
    /// The NATS server.
    pub nats: NatsServer,
}

impl Processes {
    /// Starts them with SQLite.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A mesh to be described.
    #[must_use]
    pub fn builder() -> ProcessesBuilder {
        ProcessesBuilder::default()
    }

    /// The proxy of a link that was given one.
    ///
    /// # Panics
    /// Where it was not.
    #[must_use]
    pub fn proxy(&self, link: Link) -> &Proxy {
        self.proxies.get(&link).unwrap_or_else(|| panic!("{link:?} has no proxy"))
    }

    /// Where a member listens, without a proxy.
    ///
    /// # Panics
    /// Where there is no such member.
    #[must_use]
    pub fn address(&self, member: impl Into<Member>) -> SocketAddr {
        let member = member.into();
        *self.addresses.get(&member).unwrap_or_else(|| panic!("there is no {member}"))
    }

    /// The proxies that there are.
    #[must_use]
    pub fn proxies(&self) -> &BTreeMap<Link, Proxy> {
        &self.proxies
    }

    /// The URL of the job service's database, without a proxy.
    #[must_use]
    pub fn job_database(&self) -> &str {
        &self.job_database
    }

    /// The queue of this mesh, without a proxy, to meddle with.
    ///
    /// # Panics
    /// Where it cannot be connected to.
    pub async fn bus(&self, name: &'static str) -> queue::Bus {
        // What the services say: a bus puts streams and consumers as its settings are.
        let (ack_wait, progress_interval, pull_wait) = QUEUE_TIMES;
        let config = queue::Config {
            url: self.nats.url(),
            ack_wait,
            progress_interval,
            pull_wait,
            ..queue::Config::default()
        };
        queue::Bus::connect(&config, name).await.expect("because the settings are valid")
    }

    /// A program of this build.
    #[must_use]
    pub fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// Waits until the gateway and what it stands on are ready. The gateway's word may be a second old: a service that was
    /// killed within it may still be starting, and the next call may find it so.
    pub async fn wait_ready(&self) {
        let rest = self.clients.rest.clone();
        let ask = || async {
            let answer = rest.request(reqwest::Method::GET, "/ready").send().await;
            answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
        };
        let _ready =
            crate::eventually(ask, |status| status.as_ref().is_ok_and(|status| *status == 200)).await;
    }

    /// Starts one service that is not running.
    ///
    /// # Panics
    /// Where its binary cannot be started.
    pub fn spawn(&mut self, member: impl Into<Member>) {
        let member = member.into();
        let plan = self.folder.path().join("plan");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(member))
            .expect("because the folder can be written");
        let binary = self.binary(member.0.as_str());
        let child = Command::new(&binary)
            .arg("--config")
            .arg(plan.join(format!("{member}.toml")))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("because the file is open"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("start {}: {error}; `make test` builds it first", binary.display())
            });
        self.children.insert(member, child);
    }

    /// Kills NATS, removes everything it kept, and starts it again.
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn wipe_nats(&mut self) {
        self.nats.kill().await.expect("because the process is ours");
        std::fs::remove_dir_all(self.nats.store_dir()).expect("because the folder is ours");
        self.nats.restart().await.expect("because it can be started again");
    }

    /// Restarts NATS as after a kill, and keeps what it has now for [`Processes::roll_nats_back`].
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn keep_nats(&mut self) {
        self.nats.kill().await.expect("because the process is ours");
        let kept = self.kept();
        let _ = std::fs::remove_dir_all(&kept);
        let copied = Command::new("cp").arg("-a").args([self.nats.store_dir(), kept]).status();
        assert!(copied.is_ok_and(|status| status.success()), "the store of NATS was not copied");
        self.nats.restart().await.expect("because it can be started again");
    }

    /// Kills NATS and starts it with what [`Processes::keep_nats`] kept: what came later is forgotten. `false`: there was nothing.
    ///
    /// # Panics
    /// Where that does not work.
    pub async fn roll_nats_back(&mut self) -> bool {
        if !self.kept().exists() {
            return false;
        }
        self.nats.kill().await.expect("because the process is ours");
        std::fs::remove_dir_all(self.nats.store_dir()).expect("because the folder is ours");
        std::fs::rename(self.kept(), self.nats.store_dir()).expect("because the folders are ours");
        self.nats.restart().await.expect("because it can be started again");
        true
    }

    fn kept(&self) -> PathBuf {
        self.folder.path().join("kept")
    }

    /// The log file of a process.
    #[must_use]
    pub fn log(&self, member: impl Into<Member>) -> PathBuf {
        self.folder.path().join(format!("{}.log", member.into()))
    }

    /// The folder with everything: databases, documents, logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a signal to a process.
    pub fn signal(&self, member: impl Into<Member>, signal: Signal) {
        if let Some(child) = self.children.get(&member.into()) {
            let pid = i32::try_from(child.id()).expect("because process ids are small");
            kill(Pid::from_raw(pid), signal).expect("because the process is ours");
        }
    }

    /// Waits until a process that was told to stop is gone.
    ///
    /// # Panics
    /// Where it does not exit with code 0.
    pub async fn wait_exit(&mut self, member: impl Into<Member>) {
        let member = member.into();
        let gone = self.wait_gone(member).await;
        assert!(gone.success(), "{member} did not exit in order: {gone:?}");
    }

    /// Waits until a process is gone, however it ends.
    ///
    /// # Panics
    /// Where it stays.
    pub async fn wait_gone(&mut self, member: impl Into<Member>) -> ExitStatus {
        let mut child = self.children.remove(&member.into()).expect("because it was started");
        let gone = crate::eventually(async || child.try_wait().ok().flatten(), Option::is_some).await;
        gone.expect("because it is gone")
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self, member: impl Into<Member>) {
        if let Some(mut child) = self.children.remove(&member.into()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The processes that run, stopped ones among them.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.children.keys().copied().collect()
    }

    /// `kill -9` of everything that runs, NATS included, as a power cut would do it. Returns what ran.
    pub async fn kill_everything(&mut self) -> Vec<Member> {
        let members = self.members();
        for child in self.children.values_mut() {
            let _ = child.kill();
        }
        for member in &members {
            self.kill(*member);
        }
        self.nats.kill().await.expect("because the process is ours");
        members
    }
}

impl Deref for Processes {
    type Target = Clients;

    /// A mesh is its clients, with the admin's key.
    fn deref(&self) -> &Clients {
        &self.clients
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let members = self.members();
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("its databases and logs are kept in {}", self.folder.path().display());
            for member in &members {
                let log = std::fs::read_to_string(self.log(*member)).unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(15).collect();
                eprintln!("--- {member}, last lines of its log, newest first\n{}", tail.join("\n"));
            }
        }
        // Crawlers first and politely: a killed one cannot end its browsers.
        let crawlers: Vec<_> = members.iter().filter(|member| member.0 == Service::Crawler).collect();
        for crawler in &crawlers {
            self.signal(**crawler, Signal::SIGCONT);
            self.signal(**crawler, Signal::SIGTERM);
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        for crawler in crawlers {
            let Some(mut child) = self.children.remove(crawler) else { continue };
            while std::time::Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        for member in members {
            self.kill(member);
        }
    }
}

/// The folder of this build's binaries: the test binary's own is `…/deps`.
fn binaries() -> PathBuf {
    let test = std::env::current_exe().expect("because the test runs");
    let deps = test.parent().expect("because it is in a folder");
    deps.parent().expect("because deps is in a folder").to_owned()
}
