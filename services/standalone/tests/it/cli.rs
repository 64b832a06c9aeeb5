//! The `crawlmesh` command as a user runs it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::{Relay, Rest, Site, SmallDisk};

fn crawlmesh() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crawlmesh"));
    command.stdin(Stdio::null());
    if nix::unistd::geteuid().is_root() {
        command.env("CRAWLMESH_NO_SANDBOX", "true");
    }
    command
}

fn up(data: &Path, key: &Path) -> (Child, String) {
    let (child, url, _) = up_with_output(data, key);
    (child, url)
}

/// The process, its address, and what else it prints.
fn up_with_output(data: &Path, key: &Path) -> (Child, String, BufReader<ChildStdout>) {
    let mut child = crawlmesh()
        .args(["up", "--listen", "127.0.0.1:0", "--allow-target", "127.0.0.0/8", "--data"])
        .arg(data)
        .arg("--admin-key-file")
        .arg(key)
        .stdout(Stdio::piped())
        .spawn()
        .expect("because the binary was built for this test");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("because it is piped"));
    stdout.read_line(&mut line).expect("because it says when it is ready");
    let url =
        line.split_whitespace().find(|word| word.starts_with("http://")).expect("because the line has it");
    (child, url.to_owned(), stdout)
}

fn stop(mut child: Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("because process ids are small"));
    kill(pid, Signal::SIGTERM).expect("because the process is ours");
    assert!(child.wait().expect("because it is our child").success(), "SIGTERM ends it in order");
}

#[test]
fn up_names_a_setting_of_the_environment_that_is_wrong() {
    let folder = tempfile::tempdir().expect("because the temporary folder can be written");
    let output = crawlmesh()
        .args(["up", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .env("JOB__POLITENESS__LOCAL__MIN_DELAY", "soon")
        .output()
        .expect("because the binary was built for this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("politeness.local.min_delay (from JOB__POLITENESS__LOCAL__MIN_DELAY)"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn up_survives_a_restart_and_shows_the_key_once() {
    let folder = tempfile::tempdir().expect("because the temporary folder can be written");
    let (data, key_file) = (folder.path().join("data"), folder.path().join("key"));
    let site = Site::start().await;

    let (child, url) = up(&data, &key_file);
    let key = fs::read_to_string(&key_file).expect("because the first start writes it");
    let rest = Rest::new(&url, Some(key.trim()));
    let body = serde_json::json!({"urls": [site.url("/p/1")]});
    let job = rest.post("/v1/crawl-jobs?wait=30s", &body).await;
    assert_eq!(job.json["state"], "SUCCEEDED", "{}", job.text);
    let name = job.json["name"].as_str().expect("because a job has a name").to_owned();

    let second = crawlmesh().args(["up", "--listen", "127.0.0.1:0", "--data"]).arg(&data).output();
    let second = second.expect("because the binary runs");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("another crawlmesh"), "{said}");
    stop(child);

    fs::remove_file(&key_file).expect("because it is there");
    let (child, url) = up(&data, &key_file);
    assert!(!key_file.exists(), "the key is shown once");
    let rest = Rest::new(&url, Some(key.trim()));
    assert_eq!(rest.get(&format!("/v1/{name}")).await.json["state"], "SUCCEEDED");

    let out = folder.path().join("pages");
    let crawl = crawlmesh()
        .arg("crawl")
        .args([site.url("/p/7"), site.url("/p/8")])
        .arg("--out")
        .arg(&out)
        .env("CRAWLMESH_URL", &url)
        .env("CRAWLMESH_API_KEY", key.trim())
        .output()
        .expect("because the binary runs");
    assert!(crawl.status.success(), "{}", String::from_utf8_lossy(&crawl.stderr));
    let files: Vec<_> = fs::read_dir(&out).expect("because it was written").collect();
    assert_eq!(files.len(), 2);
    stop(child);
}

#[tokio::test(flavor = "multi_thread")]
async fn up_says_that_the_queue_has_no_room() {
    let Some(disk) = SmallDisk::mount(200) else { return };
    let key_file = disk.path().join("key");
    let (child, url, mut output) = up_with_output(&disk.path().join("data"), &key_file);
    let mut line = String::new();
    output.read_line(&mut line).expect("because it is told");
    assert!(line.contains("the queue has no room") && line.contains("queue.max_outcome_bytes"), "{line}");
    let key = fs::read_to_string(&key_file).expect("because the first start writes it");
    let rest = Rest::new(&url, Some(key.trim()));
    let metrics = rest.get("/metrics").await.text;
    let job = metrics.lines().find(|line| {
        line.starts_with("crawlmesh_queue_unusable")
            && line.contains("member=\"job\"")
            && line.contains("reason=\"no_room\"")
    });
    assert!(job.is_some_and(|line| line.ends_with(" 1")), "{job:?} {metrics}");
    // Work is accepted, and waits.
    let body = serde_json::json!({"urls": ["https://example.com/"]});
    let job = rest.post("/v1/crawl-jobs", &body).await;
    assert_eq!((job.status, &job.json["state"]), (200, &serde_json::json!("QUEUED")), "{}", job.text);
    stop(child);
}

#[tokio::test(flavor = "multi_thread")]
async fn crawl_starts_a_mesh_of_its_own() {
    let site = Site::start().await;
    let run = |arguments: Vec<String>| {
        let output = crawlmesh().arg("crawl").args(arguments).output().expect("because the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let allow = ["--allow-target".to_owned(), "127.0.0.0/8".to_owned()];
    let (code, stdout, stderr) = run([site.url("/p/3")].into_iter().chain(allow.clone()).collect());
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("# Page 3") && stderr.contains("ok 1"), "{stdout}\n{stderr}");

    let (code, stdout, stderr) = run(vec![site.url("/p/3")]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "loopback is refused without --allow-target");
    assert!(stderr.contains("TARGET_NOT_ALLOWED"), "{stderr}");

    let follow = ["--depth", "5", "--max-pages", "3", "--include", "/p/*"].map(str::to_owned);
    let crawl = [site.url("/p/10")].into_iter().chain(follow).chain(allow.clone());
    let (code, stdout, stderr) = run(crawl.collect());
    assert!(code == Some(0) && stdout.contains("# Page 12") && stderr.contains("ok 3"), "{stdout}\n{stderr}");

    let folder = tempfile::tempdir().expect("because the temporary folder can be written");
    let file = folder.path().join("urls.txt");
    let listed = ["--urls-file".to_owned(), file.display().to_string()];
    fs::write(&file, format!("# two pages\n\n{}\n{}\n", site.url("/p/4"), site.url("/p/5")))
        .expect("because it can be written");
    let (code, stdout, stderr) = run(listed.clone().into_iter().chain(allow.clone()).collect());
    assert!(code == Some(0) && stdout.contains("# Page 5") && stderr.contains("ok 2"), "{stdout}\n{stderr}");
    fs::write(&file, "\nnonsense\n").expect("because it can be written");
    let (code, stdout, stderr) = run(listed.into_iter().chain(allow.clone()).collect());
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "nothing was started");
    assert!(stderr.contains("line 2: "), "{stderr}");

    let (code, _, stderr) = run([site.url("/missing")].into_iter().chain(allow).collect());
    assert_eq!(code, Some(1), "no page succeeded");
    assert!(stderr.contains("http_error 1"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn crawl_goes_through_a_proxy() {
    let (site, relay) = (Site::start().await, Relay::locked().await);
    // Nobody listens at this address; the proxy leads to the site from there.
    let url = format!("http://127.0.0.77:{}/p/3", site.addr().port());
    let proxy = relay.server("http").replace("://", "://user:word@");
    let output = crawlmesh()
        .args(["crawl", &url, "--allow-target", "127.0.0.0/8"])
        .env("CRAWLMESH_PROXY", &proxy)
        .output()
        .expect("because the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stdout.contains("# Page 3"), "{stdout}\n{stderr}");
    assert!(relay.asked().len() == 2, "robots.txt and the page: {:?}", relay.asked());
    assert!(!stderr.contains("word"), "{stderr}");
}

#[test]
fn doctor_says_what_is_there() {
    let output = crawlmesh().arg("doctor").output().expect("because the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for word in ["nats-server", "Chromium", "sandbox", "data"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_service_refuses_bad_configuration_with_every_problem() {
    let folder = tempfile::tempdir().expect("because the temporary folder can be written");
    let file = folder.path().join("job.toml");
    fs::write(&file, "no_such_key = 1\n[server]\ngrace = 7\n").expect("because the folder can be written");
    let binary = Path::new(env!("CARGO_BIN_EXE_crawlmesh")).with_file_name("job");
    let output = Command::new(binary)
        .arg("--config")
        .arg(&file)
        .env("JOB__QUEUE__NO_SUCH_KEY", "1")
        .output()
        .expect("because `make test` builds the binaries first");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{text}");
    for problem in ["no_such_key (", "server.grace", "job__queue__no_such_key"] {
        assert!(text.to_lowercase().contains(problem), "{problem}: {text}");
    }
}
