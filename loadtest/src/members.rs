//! A mesh as it runs in production: six processes and a NATS server, laid out by `crawlmesh plan`.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{SocketAddr, TcpListener},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use domain::Service;
use queue::server::NatsServer;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use crate::{
    client::{Jobs, answers},
    process::{self, Process},
};

/// How long the six may take until the gateway is ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Where the search for free ports in a row begins, and what it may cost.
const PORTS: std::ops::Range<u16> = 21_000..31_000;

/// Six processes and a NATS server.
pub(crate) struct Members {
    processes: BTreeMap<Service, Process>,
    nats: NatsServer,
    /// Address of the public port.
    pub(crate) addr: SocketAddr,
    /// The admin's API key.
    pub(crate) key: String,
    _folder: TempDir,
}

impl Members {
    /// Starts them with an empty data directory and, over the plan, these environment variables; returns when the gateway
    /// is ready.
    pub(crate) async fn start(settings: &[(&str, String)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for the mesh")?;
        let binary = queue::server::find_server(None).context("find nats-server")?;
        let nats = NatsServer::start(&binary, &folder.path().join("nats"), 0).await.context("start NATS")?;
        let first = free_ports()?;
        let addr = SocketAddr::from(([127, 0, 0, 1], first));
        let key_file = folder.path().join("admin.key");
        let plan = folder.path().join("plan");
        let mut command = Command::new(process::binary("crawlmesh")?);
        command.arg("plan").arg("--out").arg(&plan).arg("--data").arg(folder.path().join("data"));
        command.arg("--admin-key-file").arg(&key_file).args(["--allow-target", "127.0.0.0/8"]);
        command.arg("--listen").arg(addr.to_string()).arg("--first-port").arg((first + 1).to_string());
        // The URL holds a password: the environment is read by its owner only, a command line by everybody.
        command.env("CRAWLMESH_NATS_URL", nats.url());
        if nix::unistd::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        anyhow::ensure!(command.status().await?.success(), "crawlmesh plan failed");
        let mut processes = BTreeMap::new();
        for service in Service::ALL {
            let log = File::create(folder.path().join(format!("{service}.log")))?;
            let mut command = Command::new(process::binary(service.as_str())?);
            command.arg("--config").arg(plan.join(format!("{service}.toml")));
            command.envs(settings.iter().map(|(key, value)| (*key, value)));
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            processes.insert(*service, Process::start(&mut command)?);
        }
        let ready = timeout(START_TIMEOUT, answers(addr, "/ready")).await;
        ready.with_context(|| format!("the six were not ready within {START_TIMEOUT:?}"))?;
        let key = std::fs::read_to_string(&key_file).context("read the admin key")?.trim().to_owned();
        Ok(Self { processes, nats, addr, key, _folder: folder })
    }

    /// A gRPC client.
    pub(crate) async fn jobs(&self) -> anyhow::Result<Jobs> {
        Jobs::connect(self.addr, &self.key).await
    }

    /// Where the queue is, with its password.
    pub(crate) fn queue(&self) -> String {
        self.nats.url()
    }

    /// Ends one of them.
    pub(crate) async fn halt(&mut self, service: Service) -> anyhow::Result<()> {
        match self.processes.remove(&service) {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Resident memory of each service, in MB.
    pub(crate) fn resident(&self) -> anyhow::Result<Vec<(Service, f64)>> {
        self.processes.iter().map(|(service, process)| Ok((*service, process.resident()?))).collect()
    }

    /// Memory of a service and of every process below it, each shared page counted in parts, in MB.
    pub(crate) fn family(&self, service: Service) -> anyhow::Result<f64> {
        self.processes.get(&service).context("a service that was ended")?.family()
    }

    /// Processor time of the six so far, in seconds.
    pub(crate) fn processor(&self) -> anyhow::Result<f64> {
        self.processes.values().map(Process::processor).sum()
    }

    /// Ends them in order, NATS last.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for service in [
            Service::Gateway,
            Service::Crawler,
            Service::Webhook,
            Service::Job,
            Service::Result,
            Service::Auth,
        ] {
            self.halt(service).await?;
        }
        self.nats.stop().await.context("stop NATS")
    }
}

/// The first of seven free ports in a row.
fn free_ports() -> anyhow::Result<u16> {
    let needed = 1 + u16::try_from(Service::ALL.len())?;
    PORTS
        .step_by(usize::from(needed))
        .find(|first| (*first..first + needed).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()))
        .context("find free ports in a row")
}
