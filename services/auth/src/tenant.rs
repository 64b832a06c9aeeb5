//! Tenants: everything else belongs to exactly one.

use domain::TenantId;
use time::OffsetDateTime;

/// A customer of this deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) display_name: String,
    pub(crate) create_time: OffsetDateTime,
}

impl Tenant {
    /// A new tenant.
    pub(crate) fn new(display_name: &str, now: OffsetDateTime) -> Self {
        Self { id: TenantId::new(), display_name: display_name.to_owned(), create_time: now }
    }
}
