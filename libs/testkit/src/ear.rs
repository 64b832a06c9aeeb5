//! Hears ERROR log lines of a test process: ERROR means that a human must look, so a test that causes one fails.

use std::{fmt::Write as _, sync::OnceLock};

use mesh::config::{LogFormat, Telemetry};
use parking_lot::Mutex;
use tracing::{Event, Level, field::Visit};
use tracing_subscriber::{Layer, layer::Context};

static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static EXPECTED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static STARTED: OnceLock<()> = OnceLock::new();

struct Ear;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl<S: tracing::Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            let mut text = Text(format!("{}: ", event.metadata().target()));
            event.record(&mut text);
            ERRORS.lock().push(text.0);
        }
    }
}

/// Sets up the telemetry of the test process, once.
pub(crate) fn listen() {
    STARTED.get_or_init(|| {
        let settings = Telemetry {
            log_format: LogFormat::Pretty,
            log_filter: "error".into(),
            otlp_endpoint: String::new(),
            otlp_timeout: std::time::Duration::from_secs(1),
            trace_sample_ratio: 1.0,
        };
        // A test binary that has set up its own keeps it; then there is no ear.
        let _ = mesh::telemetry::init_with("test", &settings, Some(Box::new(Ear)));
    });
}

/// Lets ERROR lines with `part` in them pass, in this process from now on.
pub fn expect_error(part: &str) {
    EXPECTED.lock().push(part.to_owned());
}

/// ERROR lines that nobody expected, since the last call. Tests of one process run side by side, so a line may be another
/// test's; it fails one of them.
pub(crate) fn unexpected() -> Vec<String> {
    let expected = EXPECTED.lock().clone();
    let mut errors = std::mem::take(&mut *ERRORS.lock());
    errors.retain(|error| !expected.iter().any(|part| error.contains(part.as_str())));
    errors
}
