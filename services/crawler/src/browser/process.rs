//! One Chromium process with its group, its profile folder and its end.
//!
//! Promises: the browser has a process group and a profile of its own; `end` returns when no process of the group lives and
//! the profile is gone; what a crawler that was killed has left behind is found and ended by the next one.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::proc;

/// The note in each profile folder that says whose it is.
const OWNER_FILE: &str = "crawlmesh-owner.json";
const PROFILE_PREFIX: &str = "browser-";
/// How long the processes of a killed group may take to go.
const GONE_TIMEOUT: Duration = Duration::from_secs(3);
const GONE_POLL: Duration = Duration::from_millis(10);
/// What Chromium says before it listens is kept up to this size, for the error message.
const MAX_LAST_WORDS: usize = 8 * 1024;

/// Whose a profile folder is.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    crawler: Named,
    browser: Option<Named>,
    program: PathBuf,
}

/// A process, named so that another one that got its id later is not mistaken for it.
#[derive(Debug, Serialize, Deserialize)]
struct Named {
    pid: u32,
    start_ticks: u64,
}

impl Named {
    fn of(pid: u32) -> Option<Self> {
        proc::start_ticks(pid).map(|start_ticks| Self { pid, start_ticks })
    }

    fn alive(&self) -> bool {
        proc::start_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// A running Chromium.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Its process id, which is that of its group.
    pub(super) pid: u32,
    profile: PathBuf,
    stderr: Option<BufReader<ChildStderr>>,
}

/// A new profile folder, not yet in use.
pub(super) fn new_profile(work_dir: &Path) -> io::Result<PathBuf> {
    let profile = work_dir.join(format!("{PROFILE_PREFIX}{}", Uuid::now_v7()));
    DirBuilder::new().mode(0o700).create(&profile)?;
    Ok(profile)
}

/// The folder for profiles: the configured one, or one of our own that no other user can write to.
pub(super) fn prepare_work_dir(configured: &Path) -> io::Result<PathBuf> {
    let own = fs::metadata("/proc/self")?.uid();
    let configured_here = !configured.as_os_str().is_empty();
    let dir = match configured_here {
        true => configured.to_owned(),
        false => std::env::temp_dir().join(format!("crawlmesh-browser-{own}")),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    let meta = fs::symlink_metadata(&dir)?;
    if !configured_here && (!meta.is_dir() || meta.uid() != own) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the work folder belongs to somebody else",
        ));
    }
    dir.canonicalize()
}

impl Process {
    /// Starts `program` in a process group of its own, with the profile that `arguments` name.
    pub(super) fn start(program: &Path, arguments: &[String], profile: PathBuf) -> io::Result<Self> {
        let mut owner = Owner {
            crawler: Named::of(std::process::id()).ok_or(io::ErrorKind::NotFound)?,
            browser: None,
            program: program.canonicalize()?,
        };
        write_owner(&profile, &owner)?;
        let mut command = Command::new(program);
        // Our environment may hold passwords, and a page may come to own the browser.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
        for name in ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
            command.env(name, &profile);
        }
        command.args(arguments).process_group(0).kill_on_drop(true);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
        owner.browser = Named::of(pid);
        let stderr = child.stderr.take().map(BufReader::new);
        let process = Self { child, pid, profile, stderr };
        write_owner(&process.profile, &owner)?;
        Ok(process)
    }

    /// Waits for Chromium to listen, and returns the address of its DevTools socket. Goes on reading what it says
    /// afterwards, so that it can never block on its own complaints.
    pub(super) async fn devtools(&mut self, limit: Duration) -> Result<String, String> {
        let mut stderr = self.stderr.take().ok_or("its messages are not readable")?;
        let mut said = Vec::new();
        let found = timeout(limit, async {
            loop {
                if let Some(url) = devtools_url(&said) {
                    return Some(url);
                }
                let mut chunk = [0; 1024];
                match stderr.read(&mut chunk).await {
                    Ok(n) if n > 0 && said.len() < MAX_LAST_WORDS => said.extend_from_slice(&chunk[..n]),
                    Ok(_) | Err(_) => return None,
                }
            }
        })
        .await;
        match found {
            Ok(Some(url)) => {
                mesh::spawn("browser stderr", drain(stderr)).detach();
                Ok(url)
            }
            Ok(None) => Err(format!("Chromium ended at once: {}", last_line(&said))),
            Err(_) => Err(format!("Chromium did not start in time: {}", last_line(&said))),
        }
    }

    /// Waits until the browser process has ended by itself.
    pub(super) async fn ended(&mut self) {
        // An error means that there is nothing to wait for.
        let _ = self.child.wait().await;
    }

    /// Kills the group, waits until its processes are gone, and removes the profile.
    pub(super) async fn end(mut self) {
        proc::kill_group(self.pid);
        let _ = self.child.start_kill();
        let _ = timeout(GONE_TIMEOUT, self.child.wait()).await;
        if !wait_gone(self.pid).await {
            tracing::error!(pid = self.pid, "processes of a browser do not end");
        }
        remove_profile(&self.profile).await;
    }
}

/// The processes of the group get a moment to go; they are killed again, because one may have been born meanwhile.
async fn wait_gone(leader: u32) -> bool {
    let patience = Instant::now() + GONE_TIMEOUT;
    while !proc::group(leader).is_empty() {
        if Instant::now() > patience {
            return false;
        }
        proc::kill_group(leader);
        sleep(GONE_POLL).await;
    }
    true
}

/// Removes a profile folder in which no process works any more.
pub(super) async fn remove_profile(profile: &Path) {
    for _ in 0..3 {
        match tokio::fs::remove_dir_all(profile).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => sleep(GONE_POLL).await,
            Ok(()) | Err(_) => return,
        }
    }
    tracing::warn!("a browser's profile could not be removed");
}

async fn drain(mut stderr: BufReader<ChildStderr>) {
    let mut chunk = [0; 4096];
    while matches!(stderr.read(&mut chunk).await, Ok(n) if n > 0) {}
}

fn write_owner(profile: &Path, owner: &Owner) -> io::Result<()> {
    let text = serde_json::to_vec(owner).map_err(io::Error::other)?;
    fs::write(profile.join(OWNER_FILE), text)
}

/// Ends the browsers of crawlers that did not live to do it, and removes their profiles. Returns how many there were.
pub(super) async fn reap(work_dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(work_dir) else { return 0 };
    let mut reaped = 0;
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PROFILE_PREFIX) {
            continue;
        }
        let profile = entry.path();
        let owner = fs::read(profile.join(OWNER_FILE)).ok();
        let owner = owner.and_then(|text| serde_json::from_slice::<Owner>(&text).ok());
        if let Some(owner) = &owner {
            if owner.crawler.alive() {
                continue;
            }
            end_left_over(owner).await;
        } else if young(&profile) {
            // Another crawler is just making it.
            continue;
        }
        remove_profile(&profile).await;
        reaped += 1;
    }
    reaped
}

async fn end_left_over(owner: &Owner) {
    let Some(browser) = &owner.browser else { return };
    // The leader may be gone while others of its group live on; then they must at least be the same program.
    let ours = browser.alive() || proc::group(browser.pid).iter().any(|&pid| proc::runs(pid, &owner.program));
    if ours {
        proc::kill_group(browser.pid);
        wait_gone(browser.pid).await;
    }
}

fn young(profile: &Path) -> bool {
    let age =
        fs::metadata(profile).and_then(|meta| meta.modified()).map(|time| time.elapsed().unwrap_or_default());
    age.is_ok_and(|age| age < Duration::from_secs(60))
}

fn devtools_url(said: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(said);
    let (lines, _) = text.rsplit_once('\n')?;
    let url = lines.lines().find_map(|line| line.trim().strip_prefix("DevTools listening on "))?;
    url.starts_with("ws://127.0.0.1:").then(|| url.to_owned())
}

fn last_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devtools_line_is_read_when_it_is_whole() {
        let whole: &[u8] = b"[0101:WARNING] x\nDevTools listening on ws://127.0.0.1:9/devtools/browser/a\n";
        assert_eq!(devtools_url(whole).as_deref(), Some("ws://127.0.0.1:9/devtools/browser/a"));
        assert_eq!(devtools_url(&whole[..whole.len() - 1]), None);
        assert_eq!(devtools_url(b"DevTools listening on ws://10.0.0.1:9/x\n"), None);
        assert_eq!(last_line(b"a\nno display\n\n"), "no display");
    }

    #[tokio::test]
    async fn what_a_dead_crawler_left_is_reaped_and_what_a_live_one_has_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let work_dir = prepare_work_dir(dir.path()).unwrap();
        let sleeper = Path::new("/bin/sleep");
        let start = || Process::start(sleeper, &["600".to_owned()], new_profile(&work_dir).unwrap()).unwrap();
        let (left, live) = (start(), start());
        let orphan = left.pid;
        let mut owner: Owner =
            serde_json::from_slice(&fs::read(left.profile.join(OWNER_FILE)).unwrap()).unwrap();
        owner.crawler.start_ticks += 1;
        write_owner(&left.profile, &owner).unwrap();

        assert_eq!(reap(&work_dir).await, 1);
        assert!(!left.profile.exists() && proc::group(orphan).is_empty());
        assert!(live.profile.exists() && !proc::group(live.pid).is_empty());
        let (pid, profile) = (live.pid, live.profile.clone());
        live.end().await;
        assert!(!profile.exists() && proc::group(pid).is_empty());
    }
}
