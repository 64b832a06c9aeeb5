//! `crawlmesh verify`: checks the ledger of every job.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{default_data_dir, output};

/// Which ledgers to check.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The data directory of a mesh, which may be running. Default: `crawlmesh` in the user's data directory.
    #[arg(long, value_name = "DIR", env = "CRAWLMESH_DATA")]
    data: Option<PathBuf>,
    /// The database of a job service, e.g. postgres://user:password@host/crawlmesh_job, instead.
    #[arg(long, value_name = "URL", hide_env_values = true, conflicts_with = "data")]
    database_url: Option<String>,
}

pub(crate) async fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let url = match (args.database_url, args.data) {
        (Some(url), _) => url,
        (None, Some(data)) => format!("sqlite://{}", data.join("job.db").display()),
        (None, None) => format!("sqlite://{}", default_data_dir()?.join("job.db").display()),
    };
    let report = job::verify(&url).await?;
    for problem in &report.problems {
        output::line(problem)?;
    }
    let (jobs, pages) = (report.jobs, report.pages);
    if report.count == 0 {
        output::line(&format!("{jobs} jobs with {pages} pages: every ledger adds up"))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!("{jobs} jobs with {pages} pages: {} problems", report.count))?;
    Ok(ExitCode::FAILURE)
}
