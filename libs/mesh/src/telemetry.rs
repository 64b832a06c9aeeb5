//! Logs, traces and metrics of the process.
//!
//! Every span has a trace id and passes it on, exported or not. Metrics are kept for Prometheus to fetch. Export is
//! asynchronous and bounded: a dead collector costs spans, which are counted, and never time.

mod export;
mod log;
#[cfg(test)]
mod tests;

use std::{sync::OnceLock, time::Duration};

use anyhow::Context as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    global,
    propagation::{Extractor, Injector},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    metrics::SdkMeterProvider,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use prometheus::{Registry, TextEncoder};
use tracing::{Level, Span, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer, Registry as Spans, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::config::{self, LogFormat};

static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// What libraries may say unless `log_filter` says otherwise. That a connection to the queue was refused, `queue::link` says itself: it is
/// tried again, and no error that a human would have to look at.
const QUIET: &str = "chromiumoxide::handler=error,chromiumoxide::conn=error,h2=warn,hyper=warn,hyper_util=warn,\
    tonic=warn,tower=warn,rustls=warn,async_nats=warn,async_nats::connector=off,sqlx=warn,sea_orm=warn,sea_orm_migration=warn,\
    opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry_otlp=warn,hickory_resolver=warn,html5ever=error";

const FLUSH: Duration = Duration::from_secs(3);

/// A further layer over all spans and events, e.g. a test's ear for errors.
pub type ExtraLayer = Box<dyn Layer<Spans> + Send + Sync>;

/// The telemetry of the process. `flush` it before the end.
#[derive(Debug)]
pub struct Telemetry {
    export: Option<export::Handle>,
}

/// Sets up the telemetry of the process, once. With an `otlp_endpoint` it needs a running tokio runtime. Fails if there
/// is one already or a setting is not valid.
pub fn init(service_name: &str, config: &config::Telemetry) -> anyhow::Result<Telemetry> {
    init_with(service_name, config, None)
}

/// The same with a further layer.
pub fn init_with(
    service_name: &str,
    config: &config::Telemetry,
    extra: Option<ExtraLayer>,
) -> anyhow::Result<Telemetry> {
    let registry = Registry::new();
    REGISTRY.set(registry.clone()).map_err(|_| anyhow::anyhow!("telemetry is set up already"))?;
    let resource = Resource::builder_empty()
        .with_attributes([opentelemetry::KeyValue::new("service.name", service_name.to_owned())])
        .build();

    let reader = opentelemetry_prometheus::exporter().with_registry(registry).build()?;
    global::set_meter_provider(
        SdkMeterProvider::builder().with_reader(reader).with_resource(resource.clone()).build(),
    );

    global::set_text_map_propagator(TraceContextPropagator::new());
    let (tracers, export) = tracer_provider(config, resource)?;
    // Spans of ours are at INFO, those of libraries below, which would only fill the traces. What went wrong is noted.
    let traced = filter_fn(|metadata| {
        let least = if metadata.is_span() { Level::INFO } else { Level::WARN };
        *metadata.level() <= least
    })
    .with_max_level_hint(LevelFilter::INFO);
    let traces = tracing_opentelemetry::layer()
        .with_tracer(tracers.tracer("crawlmesh"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(traced);

    let filter: EnvFilter =
        format!("{QUIET},{}", config.log_filter).parse().context("read telemetry.log_filter")?;
    let lines: ExtraLayer = match config.log_format {
        LogFormat::Json => Box::new(log::json().with_filter(filter)),
        LogFormat::Pretty => Box::new(log::pretty().with_filter(filter)),
    };
    tracing_subscriber::registry()
        .with(vec![lines].into_iter().chain(extra).collect::<Vec<_>>())
        .with(traces)
        .try_init()
        .context("install the log")?;
    Ok(Telemetry { export })
}

fn tracer_provider(
    config: &config::Telemetry,
    resource: Resource,
) -> anyhow::Result<(SdkTracerProvider, Option<export::Handle>)> {
    let builder = SdkTracerProvider::builder().with_resource(resource.clone());
    if config.otlp_endpoint.is_empty() {
        // Ids are made and passed on all the same; nothing is recorded.
        return Ok((builder.with_sampler(Sampler::AlwaysOff).build(), None));
    }
    let (processor, handle) = export::start(config, resource)?;
    let ratio = Sampler::TraceIdRatioBased(config.trace_sample_ratio);
    let sampler = Sampler::ParentBased(Box::new(ratio));
    Ok((builder.with_sampler(sampler).with_span_processor(processor).build(), Some(handle)))
}

impl Telemetry {
    /// Sends what has not been exported yet, for at most 3 s.
    pub async fn flush(self) {
        if let Some(export) = self.export {
            export.flush(FLUSH).await;
        }
    }
}

/// The metrics of the process, in Prometheus' text format. Empty before `init`.
#[must_use]
pub fn metrics_text() -> String {
    let Some(registry) = REGISTRY.get() else { return String::new() };
    let mut text = String::new();
    // Fails only for metrics without a name or of mixed types, which OpenTelemetry does not make.
    let _ = TextEncoder::new().encode_utf8(&registry.gather(), &mut text);
    text
}

/// Makes the trace in `headers` (W3C trace context) the parent of `span`, if there is one.
pub fn set_parent_from(headers: &HeaderMap, span: &Span) {
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
    if parent.span().span_context().is_valid() {
        // Fails for spans that have started or are not recorded: they keep the parent they have.
        let _ = span.set_parent(parent);
    }
}

/// Writes the trace of the current span into `headers`.
pub fn inject(headers: &mut HeaderMap) {
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeadersMut(headers))
    });
}

/// The trace id of the current span, in hex. None outside of a span or before `init`.
#[must_use]
pub fn trace_id() -> Option<String> {
    trace_id_of(&Span::current())
}

pub(crate) fn trace_id_of(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let id = span.span_context();
    id.is_valid().then(|| id.trace_id().to_string())
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (key.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            self.0.insert(name, value);
        }
    }
}
