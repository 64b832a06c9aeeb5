//! From the command line to a running service: `main` of every service is one call of this.
//!
//! Exit codes: 0 after a clean shutdown, 64 for a wrong command line or wrong settings, 1 for everything else.

use std::{
    ffi::OsString,
    future::Future,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use tracing::{error, info};

use crate::{
    Identity, Node, Shutdown,
    config::{self, Config},
    context, install_crypto_provider, telemetry,
};

const EXIT_USAGE: u8 = 64;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Run(Option<PathBuf>),
    Version,
    Help,
}

/// Runs a service: reads `--config FILE` and the settings, sets up telemetry, takes the identity from the files of
/// `[tls]`, binds the ports and calls `serve`, which returns when `node.shutdown` has begun and all is finished.
pub fn main<C, F, Fut>(serve: F) -> ExitCode
where
    C: Config,
    F: FnOnce(C, Node) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    crate::use_small_pages();
    let name = C::SERVICE.as_str();
    let file = match parse(std::env::args_os().skip(1)) {
        Ok(Command::Run(file)) => file,
        Ok(Command::Version) => return say(&format!("crawlmesh-{name} {}", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Help) => return say(&help(name)),
        Err(problem) => return complain(&format!("{problem}\n{}", help(name))),
    };
    let config = match config::load::<C>(file.as_deref(), config::env()) {
        Ok(config) => config,
        Err(invalid) => return complain(&invalid.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start the runtime: {error}")),
    };
    context::name_process(C::SERVICE);
    install_crypto_provider();
    runtime.block_on(Box::pin(run(config, serve)))
}

async fn run<C, F, Fut>(config: C, serve: F) -> ExitCode
where
    C: Config,
    F: FnOnce(C, Node) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let telemetry = match telemetry::init(C::SERVICE.as_str(), config.telemetry()) {
        Ok(telemetry) => telemetry,
        Err(error) => return complain(&format!("{error:#}")),
    };
    let served = match start(&config).await {
        Ok(node) => {
            let mut serving = Box::pin(serve(config, node));
            serving.as_mut().await
        }
        Err(error) => Err(error),
    };
    let code = match served {
        Ok(()) => {
            info!("shutdown finished");
            ExitCode::SUCCESS
        }
        Err(error) => {
            error!(error = format!("{error:#}"), "service failed");
            ExitCode::FAILURE
        }
    };
    telemetry.flush().await;
    code
}

async fn start<C: Config>(config: &C) -> anyhow::Result<Node> {
    let shutdown = Shutdown::on_signals()?;
    let identity = Identity::from_files(config.tls()).context("take the identity")?;
    let node = Node::bind(C::SERVICE, config.server(), identity, config.peers().clone(), shutdown).await?;
    info!(service = %C::SERVICE, address = %node.addr(), "service starts");
    Ok(node)
}

fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut file = None;
    let mut args = args;
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--version" | "-V") => return Ok(Command::Version),
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--config") if file.is_none() => {
                file = Some(PathBuf::from(args.next().ok_or("--config needs a file")?));
            }
            Some(text) if file.is_none() && text.starts_with("--config=") => {
                file = Some(PathBuf::from(&text["--config=".len()..]));
            }
            _ => return Err(format!("unexpected argument {}", arg.display())),
        }
    }
    Ok(Command::Run(file))
}

fn help(name: &str) -> String {
    let prefix = name.to_uppercase();
    format!(
        "usage: crawlmesh-{name} [--config FILE] [--version] [--help]\n\
         Settings: the defaults, then FILE (TOML), then variables such as {prefix}__SERVER__LISTEN."
    )
}

fn say(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) -> ExitCode {
    // There is no further place to complain to.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(EXIT_USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read() {
        let run = |file: Option<&str>| Ok(Command::Run(file.map(PathBuf::from)));
        for (line, expected) in [
            ("", run(None)),
            ("--config a.toml", run(Some("a.toml"))),
            ("--config=a.toml", run(Some("a.toml"))),
            ("--version", Ok(Command::Version)),
            ("--config a.toml -h", Ok(Command::Help)),
            ("--config", Err("--config needs a file".to_owned())),
            ("--config a --config b", Err("unexpected argument --config".to_owned())),
            ("serve", Err("unexpected argument serve".to_owned())),
        ] {
            assert_eq!(parse(line.split_whitespace().map(OsString::from)), expected, "{line:?}");
        }
    }
}
