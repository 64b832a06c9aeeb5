//! A nats-server child process on loopback: for `crawlmesh up` and for tests.
//!
//! Promises: it listens on 127.0.0.1 only and asks for a password that nobody else knows; it keeps its port and store over
//! restarts; it dies when dropped. A child whose parent was killed is found by its pid file and ended by the next start on
//! the same directory.

use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::{RngExt, distr::Alphanumeric};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// A server that has much to read, on a busy machine, takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);
const USER: &str = "crawlmesh";
/// See [`free_port`].
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const PORTS_TRIED: usize = 100;

/// Finds nats-server in `path` (the value of `PATH`) and in the usual folders.
#[must_use]
pub fn find_server(path: Option<OsString>) -> Option<PathBuf> {
    let usual = ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/opt/homebrew/bin"];
    let folders = path.iter().flat_map(std::env::split_paths).chain(usual.iter().map(PathBuf::from));
    folders.map(|folder| folder.join("nats-server")).find(|file| executable(file))
}

fn executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// A running nats-server with JetStream.
#[derive(Debug)]
pub struct NatsServer {
    binary: PathBuf,
    dir: PathBuf,
    port: u16,
    password: String,
    child: Child,
}

impl NatsServer {
    /// Starts a server that keeps its store, log and configuration in `dir`, which it makes if need be.
    ///
    /// `port` 0 takes a [`free_port`]. Returns when the server takes connections; fails after 30 s with the end of its log.
    pub async fn start(binary: &Path, dir: &Path, port: u16) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        reap(&dir).await;
        let password: String = rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect();
        let port = if port == 0 { free_port()? } else { port };
        let child = launch(binary, &dir, port, &password).await?;
        Ok(Self { binary: binary.to_owned(), dir, port, password, child })
    }

    /// Where it listens, with its password: do not log it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{USER}:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where JetStream keeps its files.
    #[must_use]
    pub fn store_dir(&self) -> PathBuf {
        self.dir.join("jetstream")
    }

    /// Resolves when the process has ended by itself.
    pub async fn ended(&mut self) -> io::Result<std::process::ExitStatus> {
        self.child.wait().await
    }

    /// Kills it (`SIGKILL`) and waits until it is gone.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to end and waits; kills it after 5 s.
    pub async fn stop(&mut self) -> io::Result<()> {
        if let Some(pid) = self.child.id() {
            terminate(pid, Signal::SIGTERM);
        }
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(status) => status.map(|_| ()),
            Err(_) => self.child.kill().await,
        }
    }

    /// Ends it if it runs, and starts it again with the same store, port and password.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.stop().await?;
        self.child = launch(&self.binary, &self.dir, self.port, &self.password).await?;
        Ok(())
    }
}

/// A port of loopback that nobody listens on, and that nobody gets by chance while its server is away: systems hand out
/// ports from 32768 (Linux) or 49152 (RFC 6335) upwards.
pub fn free_port() -> io::Result<u16> {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let tried = (0..PORTS_TRIED).map(|_| rand::rng().random_range(PORTS));
    tried.into_iter().find(free).ok_or_else(|| io::Error::other("no free port on loopback"))
}

async fn launch(binary: &Path, dir: &Path, port: u16, password: &str) -> io::Result<Child> {
    let log = dir.join("nats-server.log");
    let _ = std::fs::remove_file(&log);
    let config = dir.join("nats-server.conf");
    write_config(&config, dir, port, password)?;
    let mut child = Command::new(binary)
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().unwrap_or_default();
    std::fs::write(dir.join("nats-server.pid"), pid.to_string())?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if listening(dir, pid).await {
            return Ok(child);
        }
        let ended = child.try_wait()?;
        if ended.is_some() || Instant::now() > deadline {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let end: Vec<&str> = text.lines().rev().take(3).collect();
            return Err(io::Error::other(format!("nats-server did not start: {}", end.join(" | "))));
        }
        sleep(POLL).await;
    }
}

fn write_config(file: &Path, dir: &Path, port: u16, password: &str) -> io::Result<()> {
    // JSON strings are valid in the server's configuration language.
    let quoted = |path: PathBuf| serde_json::Value::from(path.to_string_lossy()).to_string();
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\nports_file_dir: {}\nlog_file: {}\nlog_size_limit: 8388608\n\
         jetstream {{ store_dir: {} }}\nauthorization {{ user: {USER}, password: \"{password}\" }}\n",
        quoted(dir.to_owned()),
        quoted(dir.join("nats-server.log")),
        quoted(dir.to_owned()),
    );
    let _ = std::fs::remove_file(file);
    let mut open = std::fs::OpenOptions::new();
    open.write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

/// Whether the server of this pid takes connections at the port that it wrote down.
async fn listening(dir: &Path, pid: u32) -> bool {
    match written_port(dir, pid) {
        Some(port) => tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok(),
        None => false,
    }
}

fn written_port(dir: &Path, pid: u32) -> Option<u16> {
    let ending = format!("_{pid}.ports");
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let file = entries.map(|e| e.path()).find(|p| p.to_string_lossy().ends_with(&ending))?;
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}

/// Ends a server that an earlier, killed process left running on this directory, and removes its files.
async fn reap(dir: &Path) {
    if let Ok(text) = std::fs::read_to_string(dir.join("nats-server.pid"))
        && let Ok(pid) = text.trim().parse()
    {
        // A pid is reused: only a process that runs with this very configuration file is ours.
        let deadline = Instant::now() + STOP_TIMEOUT;
        while is_ours(pid, dir) && Instant::now() < deadline {
            terminate(pid, Signal::SIGKILL);
            sleep(POLL).await;
        }
    }
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for file in entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "ports")) {
        let _ = std::fs::remove_file(file);
    }
}

fn is_ours(pid: u32, dir: &Path) -> bool {
    let config = dir.join("nats-server.conf");
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.split(|b| *b == 0).any(|word| word == config.as_os_str().as_encoded_bytes())
}

fn terminate(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        // It may have ended a moment ago, which is what we want.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
