//! A whole mesh as six processes, to be killed and started again.

use std::{
    collections::BTreeMap,
    fs::File,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use domain::Service;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use queue::server::NatsServer;
use tempfile::TempDir;

use crate::mesh::{Clients, overlay, test_plan};

/// Six services, each its own process from its own binary, and a NATS server.
pub struct Processes {
    clients: Clients,
    binaries: PathBuf,
    folder: TempDir,
    children: BTreeMap<Service, Child>,
    /// The NATS server.
    pub nats: NatsServer,
}

impl Processes {
    /// Starts them, with an OTLP endpoint or without, and waits until the gateway is ready.
    ///
    /// # Panics
    /// Where they do not start; their logs are named.
    pub async fn start(otlp_endpoint: Option<&str>) -> Self {
        ::mesh::tls::install_crypto_provider();
        let folder = tempfile::tempdir().expect("because the temporary folder can be written");
        let data = folder.path().join("data");
        let binary = queue::server::find_server(None).expect("because `make test` installs nats-server");
        let nats =
            NatsServer::start(&binary, &folder.path().join("nats"), 0).await.expect("because NATS starts");
        let mut plan = test_plan(&data, None, None);
        plan.nats_url = nats.url();
        // All ports are held at once, so that no two services get the same one.
        let free: Vec<_> = (0..=Service::ALL.len())
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("because loopback can be bound"))
            .collect();
        let mut ports = free.iter().map(|listener| listener.local_addr().expect("because it is bound"));
        plan.listen = ports.next().expect("because there is one for each");
        plan.peers = Service::ALL.iter().copied().zip(ports).collect();
        drop(free);
        for service in Service::ALL {
            let endpoint = otlp_endpoint.unwrap_or_default();
            overlay(
                &mut plan,
                *service,
                &format!("[telemetry]\nlog_format = \"json\"\notlp_endpoint = \"{endpoint}\"\n"),
            );
        }
        plan.write(&folder.path().join("plan")).expect("because the folder can be written");
        let key_file = plan.admin_key_file.clone().expect("because the plan names one");
        let mut mesh = Self {
            clients: Clients::new(&format!("http://{}", plan.listen), ""),
            binaries: binaries(),
            folder,
            children: BTreeMap::new(),
            nats,
        };
        for service in Service::ALL {
            mesh.spawn(*service);
        }
        mesh.wait_ready().await;
        let key = std::fs::read_to_string(key_file).expect("because the first start wrote it");
        mesh.clients = mesh.clients.with_key(key.trim());
        mesh
    }

    /// Waits until the gateway and what it stands on are ready.
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
    pub fn spawn(&mut self, service: Service) {
        let plan = self.folder.path().join("plan");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(service))
            .expect("because the folder can be written");
        let binary = self.binaries.join(service.as_str());
        let child = Command::new(&binary)
            .arg("--config")
            .arg(plan.join(format!("{service}.toml")))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("because the file is open"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("start {}: {error}; `make test` builds it first", binary.display())
            });
        self.children.insert(service, child);
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

    /// The log file of a service.
    #[must_use]
    pub fn log(&self, service: Service) -> PathBuf {
        self.folder.path().join(format!("{service}.log"))
    }

    /// The folder with everything: databases, documents, logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a signal to a service.
    pub fn signal(&self, service: Service, signal: Signal) {
        if let Some(child) = self.children.get(&service) {
            let pid = i32::try_from(child.id()).expect("because process ids are small");
            kill(Pid::from_raw(pid), signal).expect("because the process is ours");
        }
    }

    /// Waits until a service that was told to stop is gone.
    ///
    /// # Panics
    /// Where it does not exit with code 0.
    pub async fn wait_exit(&mut self, service: Service) {
        let mut child = self.children.remove(&service).expect("because it was started");
        let gone = crate::eventually(async || child.try_wait().ok().flatten(), Option::is_some).await;
        assert!(gone.is_some_and(|status| status.success()), "{service} did not exit in order: {gone:?}");
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self, service: Service) {
        if let Some(mut child) = self.children.remove(&service) {
            let _ = child.kill();
            let _ = child.wait();
        }
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
        if std::thread::panicking() {
            for service in Service::ALL {
                let log = std::fs::read_to_string(self.log(*service)).unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(15).collect();
                eprintln!("--- {service}, last lines of its log, newest first\n{}", tail.join("\n"));
            }
        }
        // Crawlers first and politely: a killed one cannot end its browsers.
        self.signal(Service::Crawler, Signal::SIGTERM);
        if let Some(mut crawler) = self.children.remove(&Service::Crawler) {
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
            while std::time::Instant::now() < deadline && matches!(crawler.try_wait(), Ok(None)) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let _ = crawler.kill();
            let _ = crawler.wait();
        }
        for service in Service::ALL {
            self.kill(*service);
        }
    }
}

/// The folder of this build's binaries: the test binary's own is `…/deps`.
fn binaries() -> PathBuf {
    let test = std::env::current_exe().expect("because the test runs");
    let deps = test.parent().expect("because it is in a folder");
    deps.parent().expect("because deps is in a folder").to_owned()
}
