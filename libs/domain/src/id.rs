//! Ids: time-ordered UUIDs (RFC 9562, version 7), each a type of its own, written as resource names.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an id or a resource name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a lower-case hyphenated UUID, or the nil UUID.
    #[error("is not a lower-case hyphenated UUID")]
    Uuid,
    /// Not of the form the resource name asks for.
    #[error("is not of the form {0}")]
    Form(&'static str),
}

fn parse(text: &str) -> Result<Uuid, IdError> {
    let id = Uuid::try_parse(text).map_err(|_| IdError::Uuid)?;
    // One spelling for each id: braces, upper case and the like would make two names for one thing.
    if id.is_nil() || text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(IdError::Uuid);
    }
    Ok(id)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $collection:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, later than those made before it.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "each call makes another id")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Its resource name.
            #[must_use]
            pub fn name(&self) -> String {
                format!(concat!($collection, "/{}"), self.0)
            }

            /// Reads a resource name.
            pub fn from_name(name: &str) -> Result<Self, IdError> {
                let form = IdError::Form(concat!($collection, "/{uuid}"));
                let id = name.strip_prefix(concat!($collection, "/")).ok_or(form)?;
                parse(id).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A tenant: `tenants/{uuid}`.
    TenantId, "tenants";
    /// An API key: `api-keys/{uuid}`.
    KeyId, "api-keys";
    /// A job: `jobs/{uuid}`.
    JobId, "jobs";
    /// A page of a job; its resource name is `jobs/{job}/pages/{page}`, see [`page_name`].
    PageId, "pages";
    /// A schedule of jobs: `schedules/{uuid}`.
    ScheduleId, "schedules";
    /// A webhook delivery: `deliveries/{uuid}`.
    DeliveryId, "deliveries";
}

/// The resource name of a page, `jobs/{job}/pages/{page}`.
#[must_use]
pub fn page_name(job: JobId, page: PageId) -> String {
    format!("jobs/{job}/pages/{page}")
}

/// Reads the resource name of a page.
pub fn parse_page_name(name: &str) -> Result<(JobId, PageId), IdError> {
    let form = || IdError::Form("jobs/{uuid}/pages/{uuid}");
    let (job, page) =
        name.strip_prefix("jobs/").and_then(|rest| rest.split_once("/pages/")).ok_or_else(form)?;
    Ok((job.parse()?, page.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back() {
        let (job, page) = (JobId::new(), PageId::new());
        assert_eq!(JobId::from_name(&job.name()), Ok(job));
        assert_eq!(parse_page_name(&page_name(job, page)), Ok((job, page)));
    }

    #[test]
    fn an_id_has_one_spelling() {
        for bad in [
            "",
            "x",
            "00000000-0000-0000-0000-000000000000",
            "{018f3c9e-6a5b-7c3d-8e1f-0123456789ab}",
            "018F3C9E-6A5B-7C3D-8E1F-0123456789AB",
            "018f3c9e6a5b7c3d8e1f0123456789ab",
            "urn:uuid:018f3c9e-6a5b-7c3d-8e1f-0123456789ab",
        ] {
            assert_eq!(bad.parse::<JobId>(), Err(IdError::Uuid), "{bad}");
            assert!(JobId::from_name(&format!("jobs/{bad}")).is_err(), "{bad}");
        }
        assert!(JobId::from_name("job/018f3c9e-6a5b-7c3d-8e1f-0123456789ab").is_err());
    }
}
