//! The `crawlmesh` command line: what it accepts, and which file does it.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use mesh::config::{LogFormat, Telemetry};

pub(crate) mod client;
mod crawl;
mod doctor;
mod extract;
mod follow;
mod output;
mod progress;
mod up;
mod urls;
mod verify;

/// Time of one export of traces; what a slow collector does not take in time is dropped.
const OTLP_TIMEOUT: Duration = Duration::from_secs(3);
/// Exit code of bad usage and bad configuration (sysexits.h, EX_USAGE).
const EX_USAGE: u8 = 64;

/// Crawls pages politely, turns them into clean documents, keeps them, and tells you by webhook.
#[derive(Debug, Parser)]
#[command(name = "crawlmesh", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What is logged to standard error, e.g. `info` or `warn,job=debug`.
    #[arg(long, global = true, env = "CRAWLMESH_LOG", default_value = "warn")]
    log: String,
    /// How it is logged.
    #[arg(long, global = true, env = "CRAWLMESH_LOG_FORMAT", value_enum, default_value_t = LogFormatArg::Pretty)]
    log_format: LogFormatArg,
    /// Where to send traces, an OTLP gRPC endpoint such as http://127.0.0.1:4317. Default: nowhere.
    #[arg(long, global = true, env = "CRAWLMESH_OTLP_ENDPOINT", default_value = "")]
    otlp_endpoint: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the whole mesh in this process until it is told to stop.
    Up(MeshArgs),
    /// Crawls URLs and writes their Markdown to standard output, or to a folder.
    Crawl(CrawlArgs),
    /// Turns files or a pipe into clean documents, offline: what a crawl does with a page, without the crawl.
    Extract(extract::ExtractArgs),
    /// Says what is installed, what is missing, and how to get it.
    Doctor,
    /// Checks the ledger of every job: sums, pages and events must agree. Exit code 1 if they do not.
    Verify(verify::VerifyArgs),
    /// Writes a configuration file and a certificate for each service, to run them as processes of their own.
    Plan(PlanArgs),
}

/// What an embedded mesh is started with.
#[derive(Debug, Args)]
struct MeshArgs {
    /// Where everything is kept. Default: `crawlmesh` in the user's data directory.
    #[arg(long, value_name = "DIR", env = "CRAWLMESH_DATA")]
    data: Option<PathBuf>,
    /// Address of the public port. A public address needs TLS: see the gateway's configuration.
    #[arg(long, value_name = "ADDR", env = "CRAWLMESH_LISTEN", default_value = "127.0.0.1:8700")]
    listen: SocketAddr,
    /// A running NATS server. Default: starts one of its own.
    #[arg(long, value_name = "URL", env = "CRAWLMESH_NATS_URL", default_value = "")]
    nats_url: String,
    /// A network that may be crawled although it is private, e.g. 127.0.0.0/8. May be given several times.
    #[arg(long, value_name = "CIDR")]
    allow_target: Vec<IpNet>,
    /// Where the first admin key is written. Default: it is printed, once.
    #[arg(long, value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
    /// Runs Chromium without its own sandbox. It is needed as root, where Chromium's sandbox does not work.
    #[arg(long, env = "CRAWLMESH_NO_SANDBOX")]
    no_sandbox: bool,
}

/// What to crawl, and with which mesh.
#[derive(Debug, Args)]
struct CrawlArgs {
    /// The pages.
    #[arg(required_unless_present = "urls_file", value_name = "URL")]
    urls: Vec<String>,
    /// A file with further pages, a URL a line; empty lines and those that begin with `#` are left out. `-`: standard input.
    #[arg(long, value_name = "FILE")]
    urls_file: Option<PathBuf>,
    /// A folder for one Markdown file a page. Default: standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What fetches a page.
    #[arg(long, value_enum, default_value_t = RenderArg::Auto)]
    render: RenderArg,
    /// Only the main content of a page, not all of it.
    #[arg(long)]
    fit: bool,
    /// A proxy for everything: `http://user:password@host:port`, or `https://…`, `socks5://…`, `socks4a://…`, `socks4://…`. In the environment other users do not see it.
    #[arg(long, value_name = "URL", env = "CRAWLMESH_PROXY", hide_env_values = true)]
    proxy: Option<String>,
    /// A session: pages begin with the cookies and local storage that others have left under this name. Of use with --url or a data directory.
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    #[command(flatten)]
    follow: follow::FollowArgs,
    /// A running crawlmesh. Default: starts one for the length of this command.
    #[arg(long, env = "CRAWLMESH_URL")]
    url: Option<String>,
    /// The API key for it.
    #[arg(long, env = "CRAWLMESH_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Where a mesh that this command starts keeps everything. Default: a temporary directory.
    #[arg(long, value_name = "DIR", env = "CRAWLMESH_DATA")]
    data: Option<PathBuf>,
    /// A running NATS server for a mesh that this command starts. Default: starts one of its own.
    #[arg(long, value_name = "URL", env = "CRAWLMESH_NATS_URL", default_value = "")]
    nats_url: String,
    /// A network that may be crawled although it is private, for a mesh that this command starts.
    #[arg(long, value_name = "CIDR")]
    allow_target: Vec<IpNet>,
    /// Runs Chromium without its own sandbox, in a mesh that this command starts.
    #[arg(long, env = "CRAWLMESH_NO_SANDBOX")]
    no_sandbox: bool,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormatArg {
    /// Short lines for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// What fetches a page.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RenderArg {
    /// HTTP first, the browser where a page needs JavaScript.
    Auto,
    /// A plain HTTP client.
    Http,
    /// Headless Chromium.
    Browser,
}

#[derive(Debug, Args)]
struct PlanArgs {
    #[command(flatten)]
    mesh: MeshArgs,
    /// Where the files are written.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// First of six ports on loopback for the services; the next ones follow.
    #[arg(long, default_value_t = 8701)]
    first_port: u16,
    /// A Postgres server, e.g. postgres://user:password@host, with a database `crawlmesh_{service}` for each service. Default: SQLite files.
    #[arg(long, env = "CRAWLMESH_POSTGRES", hide_env_values = true)]
    postgres: Option<String>,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    mesh::use_small_pages();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = !error.use_stderr();
            // Nothing is left to do if even this cannot be printed.
            let _ = error.print();
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(EX_USAGE) };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::failure(&error.into()),
    };
    let code = runtime.block_on(run(cli));
    // A blocking extraction may still run; the process does not wait for it.
    runtime.shutdown_background();
    code
}

async fn run(cli: Cli) -> ExitCode {
    let settings = Telemetry {
        log_filter: cli.log,
        log_format: match cli.log_format {
            LogFormatArg::Pretty => LogFormat::Pretty,
            LogFormatArg::Json => LogFormat::Json,
        },
        otlp_endpoint: cli.otlp_endpoint,
        otlp_timeout: OTLP_TIMEOUT,
        trace_sample_ratio: 1.0,
    };
    let telemetry = match mesh::telemetry::init("crawlmesh", &settings) {
        Ok(telemetry) => telemetry,
        Err(error) => return output::failure(&error),
    };
    let result = match cli.command {
        Command::Up(args) => up::run(args).await,
        Command::Crawl(args) => crawl::run(args).await,
        Command::Extract(args) => extract::run(args).await,
        Command::Doctor => doctor::run().await,
        Command::Verify(args) => verify::run(args).await,
        Command::Plan(args) => plan(&args),
    };
    telemetry.flush().await;
    result.unwrap_or_else(|error| output::failure(&error))
}

fn plan(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let mut plan = args.mesh.plan()?;
    plan.postgres.clone_from(&args.postgres);
    for (port, service) in (args.first_port..).zip(domain::Service::ALL) {
        plan.peers.insert(*service, SocketAddr::from(([127, 0, 0, 1], port)));
    }
    plan.write(&args.out)?;
    Ok(ExitCode::SUCCESS)
}

impl MeshArgs {
    fn plan(&self) -> anyhow::Result<crate::Plan> {
        let data = match &self.data {
            Some(data) => data.clone(),
            None => default_data_dir()?,
        };
        let mut plan = crate::Plan::new(&std::path::absolute(data)?, self.listen, &self.nats_url);
        plan.allow_targets = self.allow_target.iter().map(ToString::to_string).collect();
        plan.admin_key_file.clone_from(&self.admin_key_file);
        plan.browser_sandbox = !self.no_sandbox;
        plan.env = mesh::config::env().collect();
        Ok(plan)
    }
}

/// `~/.local/share/crawlmesh`, as the XDG base directory specification has it.
fn default_data_dir() -> anyhow::Result<PathBuf> {
    let home =
        std::env::home_dir().ok_or_else(|| anyhow::anyhow!("no home directory; name one with --data"))?;
    Ok(home.join(".local/share/crawlmesh"))
}
