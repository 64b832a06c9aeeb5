//! The trace goes through the queue.

use bytes::Bytes;
use domain::Lane;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;

use crate::support::{on_each_server, take, work};

#[tokio::test]
async fn the_receiver_joins_the_senders_trace() {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));

    on_each_server(async |nats| {
        let span = tracing::info_span!("sender");
        let sent = span.context().span().span_context().trace_id();
        nats.bus.publish_work(work("current")).instrument(span.clone()).await.unwrap();
        let mut puller = nats.bus.pull(Lane::Http);
        let delivery = take(&mut puller, 1).await.remove(0);
        assert_eq!(delivery.parent.span().span_context().trace_id(), sent);
        assert!(delivery.parent.span().span_context().is_remote());
        assert_eq!(delivery.span().context().span().span_context().trace_id(), sent);

        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let explicit = queue::Work { traceparent: Some(traceparent.into()), ..work("explicit") };
        nats.bus.publish_work(explicit).instrument(span.clone()).await.unwrap();
        let delivery = take(&mut puller, 1).await.remove(0);
        let parent = delivery.parent.span().span_context().clone();
        assert_eq!(parent.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(parent.span_id().to_string(), "b7ad6b7169203331");

        let bad = queue::Work { traceparent: Some("a\r\nX: b".into()), ..work("bad") };
        nats.bus.publish_work(bad).instrument(span.clone()).await.unwrap();
        let delivery = take(&mut puller, 1).await.remove(0);
        assert!(!delivery.parent.span().span_context().is_valid());

        nats.bus.publish_outcome("o".into(), Bytes::new()).instrument(span).await.unwrap();
        let outcome =
            nats.bus.outcomes("r").pull(1, std::time::Duration::from_secs(5)).await.unwrap().remove(0);
        assert_eq!(outcome.parent.span().span_context().trace_id(), sent);
    })
    .await;
}
