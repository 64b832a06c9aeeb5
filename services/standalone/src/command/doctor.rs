//! `crawlmesh doctor`: what is installed, what is missing, and how to get it.

use std::{path::Path, process::ExitCode, time::Duration};

use tokio::process::Command;

use super::output;

/// How long a program may take to say its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    let mut healthy = true;
    output::line(&format!("crawlmesh     {}", env!("CARGO_PKG_VERSION")))?;

    match queue::server::find_server(None) {
        Some(path) => {
            output::line(&format!("nats-server   ok: {} ({})", version(&path).await, path.display()))?
        }
        None => {
            healthy = false;
            output::line(
                "nats-server   MISSING: the work queue. Get it: apt-get install nats-server, or give --nats-url",
            )?;
        }
    }
    match crawler::find_chromium() {
        Some(path) => {
            output::line(&format!("Chromium      ok: {} ({})", version(&path).await, path.display()))?
        }
        None => output::line(
            "Chromium      missing: pages are fetched over HTTP only. Get it: apt-get install chromium-headless-shell",
        )?,
    }
    let lists = crawler::find_ad_lists();
    if lists.is_empty() {
        output::line(
            "lists of ads  missing: pages of jobs with `block.ads` fail. Get them: put a list such as EasyList into \
             /usr/local/share/crawlmesh/ads, or name it in the crawler's browser.ad_lists",
        )?;
    }
    for list in lists {
        output::line(&format!("list of ads   ok: {}", list.display()))?;
    }
    if nix::unistd::geteuid().is_root() {
        output::line(
            "sandbox       off: Chromium's sandbox does not work as root. Run as another user, or accept it with --no-sandbox",
        )?;
    } else {
        output::line("sandbox       on")?;
    }
    match super::default_data_dir().map(|dir| (writable(&dir), dir)) {
        Ok((true, dir)) => output::line(&format!("data          ok: {}", dir.display()))?,
        Ok((false, dir)) => {
            healthy = false;
            output::line(&format!(
                "data          NOT WRITABLE: {}. Name another folder with --data",
                dir.display()
            ))?;
        }
        Err(error) => {
            healthy = false;
            output::line(&format!("data          UNKNOWN: {error:#}"))?;
        }
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").kill_on_drop(true).output();
    match tokio::time::timeout(VERSION_TIMEOUT, output).await {
        Ok(Ok(output)) => {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().next().map_or_else(|| "unknown version".to_owned(), |line| line.trim().to_owned())
        }
        Ok(Err(error)) => format!("does not start: {error}"),
        Err(_) => "does not answer".to_owned(),
    }
}

/// Whether the nearest existing folder on the way to `dir` can be written to.
fn writable(dir: &Path) -> bool {
    dir.ancestors().find(|dir| dir.exists()).is_some_and(|dir| tempfile::tempfile_in(dir).is_ok())
}
