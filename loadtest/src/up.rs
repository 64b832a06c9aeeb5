//! A mesh as users start it: `crawlmesh up`, one release process with SQLite, in a folder of its own.

use std::{fs::File, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::{Instant, sleep, timeout},
};

use crate::{
    client::{Connection, Jobs},
    process::{self, Process},
};

/// How long the ready line may take.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long it may be busy with its spare browser after that, and how often it is looked at.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(250);
/// Less of a core than this is at rest.
const REST: f64 = 0.05;

/// A running `crawlmesh up`.
pub(crate) struct Up {
    process: Process,
    /// Address of the public port.
    pub(crate) addr: SocketAddr,
    /// The admin's API key.
    pub(crate) key: String,
    /// From starting the process to its ready line.
    pub(crate) start: Duration,
    folder: TempDir,
}

impl Up {
    /// Starts a mesh with an empty data directory that may crawl loopback, with these environment variables, and waits until it is
    /// at rest: the start of its spare browser takes both cores for a moment.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for the mesh")?;
        let data = folder.path().join("data");
        let key_file = data.join("admin.key");
        let mut command = Command::new(process::binary("crawlmesh")?);
        command.arg("up").arg("--data").arg(&data).arg("--admin-key-file").arg(&key_file);
        command.args(["--listen", "127.0.0.1:0", "--allow-target", "127.0.0.0/8"]);
        if nix::unistd::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        // So that what its browsers leave behind is found in one place.
        command.env("TMPDIR", folder.path()).envs(settings.iter().copied());
        let log = folder.path().join("log");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let started = Instant::now();
        let mut process = Process::start(&mut command)?;
        let ready = timeout(START_TIMEOUT, ready_line(&mut process)).await.context("wait for crawlmesh up");
        let line = ready.flatten().with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        let start = started.elapsed();
        let addr = address(&line).with_context(|| format!("no address in {line:?}"))?;
        let key = std::fs::read_to_string(&key_file).context("read the admin key")?.trim().to_owned();
        timeout(SETTLE_TIMEOUT, at_rest(&process)).await.context("wait for the mesh to come to rest")??;
        // What was measured before may have left much to be written: this mesh would wait for it at its first commits.
        Command::new("sync").status().await.context("write what is to be written")?;
        Ok(Self { process, addr, key, start, folder })
    }

    /// A gRPC client.
    pub(crate) async fn jobs(&self) -> anyhow::Result<Jobs> {
        Jobs::connect(self.addr, &self.key).await
    }

    /// A REST connection.
    pub(crate) async fn connection(&self) -> anyhow::Result<Connection> {
        Connection::open(self.addr, &self.key).await
    }

    /// The folder that holds everything of it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }
}

async fn ready_line(process: &mut Process) -> anyhow::Result<String> {
    let out = process.child().stdout.take().context("the process has no output")?;
    let mut lines = BufReader::new(out).lines();
    while let Some(line) = lines.next_line().await? {
        if line.contains("is ready at") {
            return Ok(line);
        }
    }
    anyhow::bail!("crawlmesh up ended before it was ready")
}

async fn at_rest(process: &Process) -> anyhow::Result<()> {
    let mut before = process.family_processor()?;
    loop {
        sleep(LOOK).await;
        let now = process.family_processor()?;
        // One of its processes may have ended meanwhile, and its time with it.
        if (0.0..REST * LOOK.as_secs_f64()).contains(&(now - before)) {
            return Ok(());
        }
        before = now;
    }
}

/// The address in `… ready at http://127.0.0.1:8700 (…)`.
fn address(line: &str) -> Option<SocketAddr> {
    line.split("http://").nth(1)?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_ready_line() {
        let line = "crawlmesh is ready at http://127.0.0.1:8700 (documentation: http://127.0.0.1:8700/docs)";
        assert_eq!(address(line), Some(SocketAddr::from(([127, 0, 0, 1], 8700))));
        assert_eq!(address("crawlmesh is not ready"), None);
    }
}
