//! Trace context in NATS headers: W3C `traceparent`, by the process-wide propagator.

use async_nats::HeaderMap;
use opentelemetry::{
    Context, global,
    propagation::{Extractor, Injector},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

struct Carrier<'a>(&'a mut HeaderMap);

impl Injector for Carrier<'_> {
    fn set(&mut self, key: &str, value: String) {
        // The client panics on a line break in a header value; trace context never has one.
        if !value.contains(['\r', '\n']) {
            self.0.insert(key, value.as_str());
        }
    }
}

struct Received<'a>(&'a HeaderMap);

impl Extractor for Received<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(async_nats::HeaderValue::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_ref()).collect()
    }
}

/// Writes the trace context into the headers: `traceparent` where it is given, else that of the current span.
pub(crate) fn inject(headers: &mut HeaderMap, traceparent: Option<&str>) {
    if let Some(parent) = traceparent {
        Carrier(headers).set("traceparent", parent.to_owned());
        return;
    }
    let context = tracing::Span::current().context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut Carrier(headers)));
}

/// Reads the sender's trace context; an empty context where there is none.
pub(crate) fn extract(headers: Option<&HeaderMap>) -> Context {
    let Some(headers) = headers else { return Context::new() };
    global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Received(headers))
    })
}
