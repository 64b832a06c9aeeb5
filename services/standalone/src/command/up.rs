//! `crawlmesh up`: the whole mesh in this process.

use std::{convert::Infallible, process::ExitCode};

use mesh::Shutdown;
use queue::{Bus, Error};

use super::{MeshArgs, output};
use crate::Embedded;

pub(crate) async fn run(args: MeshArgs) -> anyhow::Result<ExitCode> {
    let plan = args.plan()?;
    let signals = Shutdown::on_signals()?;
    let mut mesh = Embedded::start(plan).await?;
    output::line(&format!("crawlmesh is ready at {} (documentation: {}/docs)", mesh.url(), mesh.url()))?;
    let queue = mesh.queue().await?;
    let failed = tokio::select! {
        () = signals.begun() => None,
        error = mesh.failed() => Some(error),
        told = tell(&queue) => told.err(),
    };
    if let Some(error) = failed {
        return Err(error);
    }
    mesh.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Says when the queue cannot be used although it is there, and when it can again: until then jobs are accepted, and nothing
/// is crawled.
async fn tell(queue: &Bus) -> anyhow::Result<Infallible> {
    let (mut state, mut told) = (queue.state(), false);
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            Ok(()) if told => {
                output::line("the queue can be used again")?;
                told = false;
            }
            // It comes, or it comes back.
            Ok(()) | Err(Error::Unavailable(_)) => {}
            Err(problem) => {
                output::line(&format!("{problem}. Jobs are accepted, and their pages wait"))?;
                told = true;
            }
        }
        if state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
