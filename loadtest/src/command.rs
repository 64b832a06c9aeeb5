//! The command line: which measurements are run, and with how much work.

use std::{io::Write as _, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{bench, load, machine, report::Report, soak};

/// Measures a mesh on this machine.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures speed, delay and size, all parts or the named ones.
    Bench(BenchArgs),
    /// Crawls one very large site with the six services apart, and measures what it adds to each.
    Load(LoadArgs),
    /// Renders many pages, hostile ones among them, and measures what they leave behind.
    Soak(SoakArgs),
}

/// How much work each part does.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// The parts; none: all.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Documentation pages of a job in `http`; fewer where the toolchain's documentation has fewer.
    #[arg(long, default_value_t = 600)]
    pub(crate) pages: usize,
    /// Pages of a job in `browser`.
    #[arg(long, default_value_t = 60)]
    pub(crate) browser_pages: usize,
    /// How often mesh and reference take turns in `extract`, `http` and `browser`.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// A folder of HTML pages, gzipped or not, for `extract`, beside the documentation.
    #[arg(long, value_name = "DIR", default_value = "../shared/corpus/articles/html")]
    pub(crate) corpus: std::path::PathBuf,
    /// Where `tools/install crawl4ai` has put Crawl4AI, for `http` and `browser`.
    #[arg(long, value_name = "DIR", default_value = ".tools/crawl4ai")]
    pub(crate) crawl4ai: std::path::PathBuf,
    /// Where `tools/install fastcrw` has put fastCRW, for `http`.
    #[arg(long, value_name = "DIR", default_value = ".tools/fastcrw")]
    pub(crate) fastcrw: std::path::PathBuf,
    /// Pages of the job in `ledger`.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) ledger_pages: usize,
    /// Jobs of `idle`, `fair` and `webhook`.
    #[arg(long, default_value_t = 100)]
    pub(crate) jobs: usize,
}

/// The size of the load.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArgs {
    /// Pages of the site.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) pages: usize,
}

/// The length of the soak.
#[derive(Debug, Clone, Args)]
pub(crate) struct SoakArgs {
    /// Pages in all; one of ten is hostile.
    #[arg(long, default_value_t = 2000)]
    pub(crate) pages: usize,
}

/// One part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Time of an extraction, against a bare parse.
    Extract,
    /// Pages a second of the HTTP lane.
    Http,
    /// Pages a second of the browser lane.
    Browser,
    /// Pages a second of the job service, without fetching.
    Ledger,
    /// Jobs a second, and the delay at a steady rate.
    Submit,
    /// From submit to the site's first sight of the crawler.
    Idle,
    /// From submit to the site's first sight of the crawler, beside another tenant's large job.
    Fair,
    /// A thousand jobs at once.
    Burst,
    /// From the end of a job to its webhook.
    Webhook,
    /// Memory and processor at rest, time of the start.
    Rest,
    /// Memory of a page in flight.
    Memory,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    mesh::install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(&error.into()),
    };
    let mut report = Report::new();
    match runtime.block_on(run(cli.command, &mut report)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

async fn run(command: Command, report: &mut Report) -> anyhow::Result<()> {
    report.note(&machine::describe())?;
    match command {
        Command::Bench(args) => {
            for part in Part::value_variants() {
                if args.parts.is_empty() || args.parts.contains(part) {
                    part.run(&args, report).await?;
                }
            }
        }
        Command::Soak(args) => Box::pin(soak::run(&args, report)).await?,
        Command::Load(args) => Box::pin(load::run(&args, report)).await?,
    }
    report.conclude()
}

impl Part {
    async fn run(self, args: &BenchArgs, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Extract => bench::extract::run(args, report).await,
            Self::Http => bench::http::run(args, report).await,
            Self::Browser => bench::browser::run(args, report).await,
            Self::Ledger => bench::ledger::run(args, report).await,
            Self::Submit => bench::submit::run(report).await,
            Self::Idle => bench::idle::run(args, report).await,
            Self::Fair => bench::fair::run(args, report).await,
            Self::Burst => bench::burst::run(report).await,
            Self::Webhook => bench::webhook::run(args, report).await,
            Self::Rest => bench::rest::run(report).await,
            Self::Memory => bench::memory::run(args, report).await,
        }
    }
}

fn failure(error: &anyhow::Error) -> ExitCode {
    // Nothing is left to do if even this cannot be printed.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}
