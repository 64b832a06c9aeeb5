//! What the command line says to people: results on standard output, everything else on standard error.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

/// Writes a line to standard output. A reader that went away (`| head`) is not an error.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a line to standard error, if it can be written.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says why the command failed.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    note(&format!("crawlmesh: {error:#}"));
    ExitCode::FAILURE
}
