//! `crawlmesh up`: the whole mesh in this process.

use std::process::ExitCode;

use mesh::Shutdown;

use super::{MeshArgs, output};
use crate::Embedded;

pub(crate) async fn run(args: MeshArgs) -> anyhow::Result<ExitCode> {
    let plan = args.plan()?;
    let signals = Shutdown::on_signals()?;
    let mut mesh = Embedded::start(plan).await?;
    output::line(&format!("crawlmesh is ready at {} (documentation: {}/docs)", mesh.url(), mesh.url()))?;
    let failed = tokio::select! {
        () = signals.begun() => None,
        error = mesh.failed() => Some(error),
    };
    if let Some(error) = failed {
        return Err(error);
    }
    mesh.stop().await?;
    Ok(ExitCode::SUCCESS)
}
