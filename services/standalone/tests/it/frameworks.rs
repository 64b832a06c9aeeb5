//! For which pages `render: AUTO` takes the browser: measured on pages made with real front-end frameworks, rendered in the
//! browser, on the server or not at all, and on plain ones. What is right is measured, too: whether the text is there without scripts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use api::{
    job::v1::{CrawlConfig, CreateCrawlJobRequest, crawl_config::Render, page::Lane},
    result::v1::{Document, ListDocumentsRequest},
};
use testkit::{Mesh, Site, site::Answer};
use tokio::process::Command;

/// For the packages to come, and for the pages to be built.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(300);
const BUILD_TIMEOUT: Duration = Duration::from_secs(120);
/// A page whose rendered text is missing over HTTP by more than this share needs the browser.
const MISSING: f64 = 0.3;
/// Decisions that may be wrong.
const WRONG: usize = 1;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frameworks")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("because the target folder can be written");
    for entry in fs::read_dir(from).expect("because it is in the repository").flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("because the target folder can be written");
        }
    }
}

async fn run(folder: &Path, program: &str, args: &[&str], time: Duration) {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(time, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{program} {args:?} took longer than {time:?}"));
    let output = output.expect("because npm is installed");
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Builds the pages below the target folder, and returns where they are. None, with a word on the console: npm is not installed.
async fn build() -> Option<PathBuf> {
    let version = Command::new("npm").arg("--version").output().await;
    if !version.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: npm is not installed; `make test` installs it");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("frameworks");
    let lock = fs::read(sources().join("package-lock.json")).expect("because it is in the repository");
    let installed = fs::read(folder.join("installed")).ok();
    copy(&sources(), &folder);
    if installed.as_ref() != Some(&lock) {
        let args = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
        run(&folder, "npm", &args, INSTALL_TIMEOUT).await;
        fs::write(folder.join("installed"), lock).expect("because the target folder can be written");
    }
    run(&folder, "node", &["build.mjs", "out"], BUILD_TIMEOUT).await;
    Some(folder.join("out"))
}

/// The pages, each on a site of its own: what is learned of a host must not decide for another page.
async fn serve(out: &Path) -> BTreeMap<String, Site> {
    let files = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("because it was built").flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
    };
    let read = |path: &Path| fs::read(path).expect("because it was built");
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut sites = BTreeMap::new();
    for page in files(out) {
        let Some(page_name) = name(&page).strip_suffix(".html").map(str::to_owned) else { continue };
        let site = Site::start().await;
        let html = String::from_utf8(read(&page)).expect("because it was written as UTF-8");
        site.set("/", Answer::Html(html));
        site.set("/data.json", Answer::Bytes("application/json", read(&out.join("data.json"))));
        for asset in files(&out.join("assets")) {
            let bytes = Answer::Bytes("text/javascript", read(&asset));
            site.set(&format!("/assets/{}", name(&asset)), bytes);
        }
        sites.insert(page_name, site);
    }
    sites
}

/// Crawls all pages, and returns their documents by URL.
async fn crawl(mesh: &Mesh, sites: &BTreeMap<String, Site>, render: Render) -> BTreeMap<String, Document> {
    let urls = sites.values().map(|site| site.url("/")).collect();
    let config = CrawlConfig { render: render.into(), ..CrawlConfig::default() };
    let job = mesh.create(CreateCrawlJobRequest { urls, config: Some(config), ..Default::default() }).await;
    let job = mesh.ended(&job.name).await;
    let mut documents = BTreeMap::new();
    let mut request = ListDocumentsRequest { parent: job.name, page_size: 50, ..Default::default() };
    loop {
        let list = mesh.results.clone().list_documents(request.clone()).await;
        let list = list.expect("because the job exists").into_inner();
        documents.extend(list.documents.into_iter().map(|document| (document.url.clone(), document)));
        if list.next_page_token.is_empty() {
            return documents;
        }
        request.page_token = list.next_page_token;
    }
}

fn words(document: Option<&Document>) -> BTreeSet<String> {
    let text = document.map(|document| document.markdown.as_str()).unwrap_or_default();
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() > 2);
    words.map(str::to_lowercase).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_is_taken_for_pages_that_need_it_and_for_no_others() {
    let Some(out) = build().await else { return };
    let (mesh, sites) = (Mesh::start().await, serve(&out).await);
    let mut found = Vec::new();
    for render in [Render::Http, Render::Browser, Render::Auto] {
        found.push(crawl(&mesh, &sites, render).await);
    }
    let [plain, rendered, chosen] = found.try_into().expect("because there are three");
    let mut wrong = Vec::new();
    for (name, site) in &sites {
        let url = site.url("/");
        let (without, with) = (words(plain.get(&url)), words(rendered.get(&url)));
        assert!(with.len() > 3, "{name} shows {with:?} in the browser");
        let missing = with.difference(&without).count() as f64 / with.len() as f64;
        let needs = missing > MISSING;
        let document = chosen.get(&url).unwrap_or_else(|| panic!("{name} has no document"));
        let took = document.lane() == Lane::Browser;
        assert_eq!(took, document.lane_reason.starts_with("needs JavaScript: "), "{name}: {document:?}");
        let word = if needs == took { "right" } else { "WRONG" };
        println!("{word} {name:28} {missing:4.2} of its words missing; {}", document.lane_reason);
        wrong.extend((needs != took).then_some(name));
    }
    println!("{} of {} decisions are right", sites.len() - wrong.len(), sites.len());
    assert!(sites.len() > 25 && wrong.len() <= WRONG, "{wrong:?}");
}
