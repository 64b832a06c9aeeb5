//! Streams that are open at a time, counted for each tenant.

use std::{collections::HashMap, sync::Arc};

use domain::TenantId;
use parking_lot::Mutex;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The count of open streams.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    open: Arc<Mutex<HashMap<TenantId, usize>>>,
    limit: usize,
}

/// The right to one stream, given back on drop.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    streams: Streams,
    tenant: TenantId,
}

impl Streams {
    /// At most `limit` for each tenant.
    pub(crate) fn new(limit: usize) -> Self {
        Self { open: Arc::default(), limit }
    }

    /// Opens a stream. `RESOURCE_EXHAUSTED`, reason `TOO_MANY_STREAMS`, at the limit.
    pub(crate) fn open(&self, tenant: TenantId) -> Result<StreamPermit, Status> {
        let mut open = self.open.lock();
        let count = open.entry(tenant).or_default();
        if *count >= self.limit {
            let message = format!("{} streams are open already", self.limit);
            let mut details =
                ErrorDetails::with_error_info("TOO_MANY_STREAMS", "gateway.crawlmesh", HashMap::new());
            details.set_retry_info(Some(std::time::Duration::from_secs(1)));
            return Err(Status::with_error_details(Code::ResourceExhausted, message, details));
        }
        *count += 1;
        Ok(StreamPermit { streams: self.clone(), tenant })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock();
        if let Some(count) = open.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_does_not_use_up_the_streams_of_another() {
        let (streams, one, two) = (Streams::new(2), TenantId::new(), TenantId::new());
        let first = streams.open(one).unwrap();
        let _second = streams.open(one).unwrap();
        let refused = streams.open(one).unwrap_err();
        assert_eq!(mesh::error_reason(&refused).as_deref(), Some("TOO_MANY_STREAMS"));
        assert!(streams.open(two).is_ok());
        drop(first);
        assert!(streams.open(one).is_ok());
        assert_eq!(streams.open.lock().len(), 1, "tenants without streams leave nothing behind");
    }
}
