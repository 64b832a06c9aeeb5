//! `crawlmesh crawl URL…`: submits a job, shows its progress, writes its pages.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use api::{
    job::v1::{
        CancelJobRequest, CrawlConfig, CreateCrawlJobRequest, FetchOptions, Job, SessionOptions,
        WatchJobRequest, crawl_config::Render, fetch_options::Proxy, job::State,
    },
    result::v1::{Document, ListDocumentsRequest},
};
use mesh::Shutdown;
use tempfile::TempDir;
use tonic::Status;

use super::{
    CrawlArgs, RenderArg,
    client::Client,
    output,
    progress::{Progress, verdicts},
    urls,
};
use crate::{Embedded, Plan};

/// Exit code after the user's interrupt: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

pub(crate) async fn run(args: CrawlArgs) -> anyhow::Result<ExitCode> {
    let signals = Shutdown::on_signals()?;
    let urls = urls::all(&args.urls, args.urls_file.as_deref())?;
    let args = CrawlArgs { urls, ..args };
    match &args.url {
        Some(url) => {
            let key = args.api_key.as_deref().context("no API key: set CRAWLMESH_API_KEY")?;
            crawl(&args, Client::connect(url, key).await?, &signals).await
        }
        None => {
            let (mesh, key, _folder) = start(&args).await?;
            let code = crawl(&args, Client::connect(&mesh.url(), &key).await?, &signals).await;
            mesh.stop().await?;
            code
        }
    }
}

/// Starts a mesh for the length of this command, and reads its admin key.
async fn start(args: &CrawlArgs) -> anyhow::Result<(Embedded, String, TempDir)> {
    let folder = tempfile::Builder::new().prefix("crawlmesh-").tempdir()?;
    let data = args.data.clone().unwrap_or_else(|| folder.path().join("data"));
    let mut plan =
        Plan::new(&std::path::absolute(data)?, SocketAddr::from(([127, 0, 0, 1], 0)), &args.nats_url);
    plan.allow_targets = args.allow_target.iter().map(ToString::to_string).collect();
    plan.browser_sandbox = !args.no_sandbox;
    let key_file = plan.data.join("admin.key");
    plan.admin_key_file = Some(key_file.clone());
    let mesh = Embedded::start(plan).await?;
    let key = match &args.api_key {
        Some(key) => key.clone(),
        None => fs::read_to_string(&key_file).with_context(|| {
            format!(
                "read {}; a data directory whose admin key is elsewhere needs CRAWLMESH_API_KEY",
                key_file.display()
            )
        })?,
    };
    Ok((mesh, key, folder))
}

async fn crawl(args: &CrawlArgs, mut client: Client, signals: &Shutdown) -> anyhow::Result<ExitCode> {
    let render = match args.render {
        RenderArg::Auto => Render::Auto,
        RenderArg::Http => Render::Http,
        RenderArg::Browser => Render::Browser,
    };
    let request = CreateCrawlJobRequest {
        urls: args.urls.clone(),
        config: Some(CrawlConfig {
            render: render.into(),
            deep_crawl: args.follow.deep_crawl(args.urls.len())?,
            fetch: args.proxy.as_deref().map(through),
            session: args.session.clone().map(|name| SessionOptions { name, ttl: None }),
            ..CrawlConfig::default()
        }),
        ..CreateCrawlJobRequest::default()
    };
    let job = client.jobs.create_crawl_job(request).await.map_err(|status| explain(&status))?.into_inner();
    let Some(job) = watch(&mut client, job, signals).await? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    write_documents(args, &mut client, &job.name).await?;
    output::note(&format!("{}: {}", job.name, verdicts(&job.verdicts)));
    Ok(if job.state() == State::Succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fetches through a proxy.
fn through(proxy: &str) -> Box<FetchOptions> {
    let (server, who) = domain::proxy::split(proxy);
    let (username, password) = who.unwrap_or_default();
    Box::new(FetchOptions { proxy: Some(Proxy { server, username, password }), ..FetchOptions::default() })
}

/// Follows a job to its end. `None`: the user interrupted, and the job was cancelled.
async fn watch(client: &mut Client, mut job: Job, signals: &Shutdown) -> anyhow::Result<Option<Job>> {
    let progress = Progress::new();
    progress.show(&job);
    let request = WatchJobRequest { name: job.name.clone(), after_sequence: 0 };
    let mut events = client.jobs.watch_job(request).await.map_err(|status| explain(&status))?.into_inner();
    loop {
        let event = tokio::select! {
            event = events.message() => event.map_err(|status| explain(&status))?,
            () = signals.begun() => {
                progress.clear();
                client.jobs.cancel_job(CancelJobRequest { name: job.name }).await.map_err(|status| explain(&status))?;
                return Ok(None);
            }
        };
        match event.and_then(|event| event.job) {
            Some(now) => {
                progress.show(&now);
                job = now;
            }
            None => break,
        }
    }
    progress.clear();
    Ok(Some(job))
}

async fn write_documents(args: &CrawlArgs, client: &mut Client, job: &str) -> anyhow::Result<()> {
    if let Some(folder) = &args.out {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let mut request = ListDocumentsRequest { parent: job.to_owned(), ..ListDocumentsRequest::default() };
    let mut written = 0;
    loop {
        let page = client
            .results
            .list_documents(request.clone())
            .await
            .map_err(|status| explain(&status))?
            .into_inner();
        for document in &page.documents {
            written += 1;
            let text = if args.fit { &document.fit_markdown } else { &document.markdown };
            match &args.out {
                Some(folder) => write_file(folder, written, document, text)?,
                None => {
                    if args.urls.len() > 1 || args.follow.asked() {
                        output::line(&format!("<!-- {} -->\n", document.final_url))?;
                    }
                    output::line(text)?;
                }
            }
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}

fn write_file(folder: &Path, number: usize, document: &Document, text: &str) -> anyhow::Result<()> {
    let path = folder.join(file_name(number, &document.final_url));
    fs::write(&path, format!("{text}\n")).with_context(|| format!("write {}", path.display()))?;
    output::note(&format!("{}  {}", path.display(), document.final_url));
    Ok(())
}

/// `0007-docs.example.org-guide-intro.md`: the number keeps names apart, the rest is for people. Only letters, digits,
/// dots and hyphens, so that no URL can name another folder.
fn file_name(number: usize, url: &str) -> PathBuf {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let words: Vec<_> = rest
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
        .map(|word| word.trim_matches('.'))
        .filter(|word| !word.is_empty())
        .collect();
    let mut name = words.join("-");
    name.truncate(80);
    PathBuf::from(format!("{number:04}-{name}.md"))
}

/// What the server said, with the fields it complains about.
fn explain(status: &Status) -> anyhow::Error {
    use tonic_types::StatusExt as _;
    let mut text = status.message().to_owned();
    if let Some(request) = status.get_details_bad_request() {
        for violation in request.field_violations {
            text.push_str(&format!("\n  {}: {}", violation.field, violation.description));
        }
    }
    if text.is_empty() {
        text = status.code().description().to_owned();
    }
    match mesh::error_reason(status) {
        Some(reason) => anyhow::anyhow!("{text} ({reason})"),
        None => anyhow::anyhow!("{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_stays_in_its_folder() {
        for (url, name) in [
            ("https://example.org/", "0001-example.org.md"),
            ("https://example.org/a/b.html?x=1#y", "0001-example.org-a-b.html-x-1-y.md"),
            ("https://example.org/../../etc/passwd", "0001-example.org-etc-passwd.md"),
            ("https://example.org/%00/\\..\\x", "0001-example.org-00-x.md"),
        ] {
            assert_eq!(file_name(1, url), PathBuf::from(name), "{url}");
        }
    }
}
