//! Whether the queue can be used, for operators: by member, and why not.

use std::sync::LazyLock;

use opentelemetry::{KeyValue, global, metrics::Gauge};

use crate::Error;

static UNUSABLE: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    global::meter("crawlmesh")
        .u64_gauge("crawlmesh.queue.unusable")
        .with_description(
            "1 while the queue cannot be used, by member and reason: unavailable, refused, no_room.",
        )
        .build()
});

/// Notes the state of a member's connection.
pub(crate) fn state(member: &'static str, state: &Result<(), Error>) {
    let now = state.as_ref().err().map(Error::reason);
    for reason in Error::UNUSABLE {
        let labels = [KeyValue::new("member", member), KeyValue::new("reason", reason)];
        UNUSABLE.record(u64::from(now == Some(reason)), &labels);
    }
}
