//! A child process: started from the binaries beside ours, measured through /proc, ended in order.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

/// How long a process may take to end in order.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Ticks of processor time in a second; Linux has shown 100 of them to programs on every machine for decades.
const TICKS: f64 = 100.0;

/// A child process. Dropped, it is told to end.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: Option<u32>,
}

impl Process {
    /// Starts a command.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("start {:?}", command.as_std().get_program()))?;
        let pid = child.id();
        Ok(Self { child, pid })
    }

    /// The child, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Resident memory in MB (10⁶ bytes).
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        let pid = self.pid.context("the process has ended")?;
        let text = fs::read_to_string(format!("/proc/{pid}/status")).context("read the size of a process")?;
        let line =
            text.lines().find(|line| line.starts_with("VmRSS:")).context("a process without memory")?;
        let kib: f64 = line.split_whitespace().nth(1).unwrap_or_default().parse()?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// Memory of it and of every process below it in MB (10⁶ bytes). What several of them share counts once (PSS).
    pub(crate) fn family(&self) -> anyhow::Result<f64> {
        Ok(self.below()?.into_iter().filter_map(proportional).sum())
    }

    /// Processor time of it and of every process below it so far, in seconds.
    pub(crate) fn family_processor(&self) -> anyhow::Result<f64> {
        Ok(self.below()?.into_iter().filter_map(|pid| processor(pid).ok()).sum())
    }

    /// It and every process below it.
    fn below(&self) -> anyhow::Result<Vec<u32>> {
        let root = self.pid.context("the process has ended")?;
        let parents: HashMap<u32, u32> = fs::read_dir("/proc")?
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
                Some((pid, stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?))
            })
            .collect();
        let below = |pid: &u32| {
            std::iter::successors(Some(*pid), |pid| parents.get(pid).copied()).any(|pid| pid == root)
        };
        Ok(parents.keys().copied().filter(below).collect())
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> anyhow::Result<usize> {
        let pid = self.pid.context("the process has ended")?;
        Ok(fs::read_dir(format!("/proc/{pid}/fd")).context("count descriptors")?.count())
    }

    /// Processor time so far, in seconds.
    pub(crate) fn processor(&self) -> anyhow::Result<f64> {
        let pid = self.pid.context("the process has ended")?;
        processor(pid)
    }

    /// Tells it to end and waits; kills it if it does not.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.terminate();
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            self.child.kill().await.context("kill a process that does not end")?;
        }
        self.pid = None;
        Ok(())
    }

    fn terminate(&self) {
        if let Some(pid) = self.pid.and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.terminate();
    }
}

/// The binary of that name beside ours.
pub(crate) fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find this program's file")?;
    let path = own.parent().unwrap_or(Path::new(".")).join(name);
    anyhow::ensure!(path.is_file(), "there is no {name} beside this program: build it with the same profile");
    Ok(path)
}

/// Memory of a process in MB, if it is still there.
fn proportional(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// User and system time in /proc/[pid]/stat, fields 14 and 15; the name before may hold anything, but ends with `)`.
fn processor(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("read the times of a process")?;
    let after = text.rsplit_once(')').context("a process without a name")?.1;
    let ticks: f64 =
        after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS)
}
