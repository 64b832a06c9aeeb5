//! Sends dispatched pages to the queue, each in the trace of its job.

use bytes::Bytes;
use domain::Priority;
use queue::{Bus, Work};
use tracing::info_span;

use crate::{store::Dispatched, trace, wire};

/// Publishes pages in their order; one result for each. The id names page and dispatch, so that sending again within the
/// queue's window of duplicates changes nothing.
pub(crate) async fn publish(bus: &Bus, pages: &[Dispatched]) -> Vec<Result<(), queue::Error>> {
    // The spans last as long as the publish.
    let (work, _spans): (Vec<Work>, Vec<tracing::Span>) = pages.iter().map(work).unzip();
    bus.publish_work_batch(work).await
}

/// The first pages of a tenant do not stand behind the many of another.
const fn raised(priority: Priority) -> Priority {
    match priority {
        Priority::High | Priority::Normal => Priority::High,
        Priority::Low => Priority::Normal,
    }
}

fn work(page: &Dispatched) -> (Work, tracing::Span) {
    let span = info_span!(
        parent: None, "dispatch page", otel.kind = "producer", job = %page.job, page = %page.id,
        lane = page.lane.as_str(), dispatch = page.dispatch_seq
    );
    if let Some(parent) = &page.traceparent {
        trace::set_parent(&span, parent);
    }
    let work = Work {
        lane: page.lane,
        priority: if page.first { raised(page.priority) } else { page.priority },
        id: format!("{}:{}", page.id, page.dispatch_seq),
        payload: Bytes::from(wire::encode_task(page)),
        traceparent: trace::traceparent(&span).or_else(|| page.traceparent.clone()),
    };
    (work, span)
}
