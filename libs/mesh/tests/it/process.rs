//! `mesh::main` as a process: what it says, how it ends, with which code.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use mesh::{Ca, client::Channel};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const PATIENCE: Duration = Duration::from_secs(60);

/// The example next to this test. `cargo test -p mesh` builds it; `--test it` alone does not.
fn member() -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let mut command = Command::new(path.join("examples").join("member"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let mut child = member()
            .env("JOB__TLS__CA_FILE", file("ca.crt"))
            .env("JOB__TLS__CERT_FILE", file("job.crt"))
            .env("JOB__TLS__KEY_FILE", file("job.key"))
            .env("JOB__SERVER__DRAIN_DELAY", "60s")
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next log line with this message.
    async fn said(&mut self, message: &str) -> Value {
        let found = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("because the process still runs");
                let line: Value = serde_json::from_str(&line).unwrap();
                if line["message"] == message {
                    return line;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap()
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }

    async fn code(&mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().code()
    }
}

async fn start() -> (Running, Ca, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::generate().unwrap();
    ca.issue(domain::Service::Job).unwrap().write(folder.path(), "job").unwrap();
    (Running::start(folder.path()), ca, folder)
}

#[tokio::test]
async fn row_07_a_process_serves_drains_and_leaves_at_once_on_the_second_signal() {
    let (mut process, ca, _folder) = start().await;
    let line = process.said("service starts").await;
    let address: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
    process.said("serving").await;
    let identity = ca.issue(domain::Service::Webhook).unwrap();
    let channel = Channel::connect(domain::Service::Job, &address.to_string(), &identity, PATIENCE);
    let mut health = HealthClient::new(channel);
    assert_eq!(health.check(HealthCheckRequest::default()).await.unwrap().into_inner().status, 1);

    process.signal(Signal::SIGTERM);
    process.said("shutdown begins").await;
    let mut drained = health.clone();
    crate::eventually("it drains", async || {
        drained.check(HealthCheckRequest::default()).await.unwrap().into_inner().status == 2
    })
    .await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.code().await, Some(143));
}

#[tokio::test]
async fn a_process_ends_with_0_after_a_clean_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    Ca::generate().unwrap().issue(domain::Service::Job).unwrap().write(folder.path(), "job").unwrap();
    let file = folder.path().join("job.toml");
    let [ca, cert, key] = ["ca.crt", "job.crt", "job.key"].map(|name| folder.path().join(name));
    let text = format!("[tls]\nca_file = {ca:?}\ncert_file = {cert:?}\nkey_file = {key:?}\n");
    std::fs::write(&file, text).unwrap();
    let mut child = member().arg("--config").arg(&file).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut process = Running { child, lines };
    process.said("serving").await;
    process.signal(Signal::SIGINT);
    process.said("shutdown finished").await;
    assert_eq!(process.code().await, Some(0));
}

#[tokio::test]
async fn wrong_settings_and_arguments_end_with_64_and_name_everything() {
    let output = member()
        .env("JOB__SERVER__GRACE", "soon")
        .env("JOB__SERVER__MAX_CONCURRENT_CALLS", "0")
        .env("JOB__NOTHING", "1")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    for part in ["server.grace", "server.max_concurrent_calls", "JOB__NOTHING"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    for (arguments, code, stream) in [
        (&["--config", "nowhere.toml"][..], 64, "nowhere.toml"),
        (&["--what"], 64, "--what"),
        (&["--version"], 0, "crawlmesh-job"),
        (&["--help"], 0, "--config FILE"),
    ] {
        let output = member().args(arguments).output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(String::from_utf8(said).unwrap().contains(stream), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_process_without_an_identity_does_not_start() {
    let output = member().output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("tls.cert_file"), "{text}");
}
