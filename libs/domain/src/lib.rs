//! Words that several services share: ids, canonical URLs, verdicts, scopes, address policy, page tokens.
//!
//! Promises: no I/O, no clock, no protobuf. Everything here is a value that can be tested with a table.

pub mod address;
pub mod canonical;
pub mod follow;
pub mod id;
pub mod lane;
pub mod page_token;
pub mod proxy;
pub mod scope;
pub mod service;
pub mod session;
pub mod url;
pub mod verdict;

pub use address::AddressPolicy;
pub use id::{JobId, KeyId, PageId, ScheduleId, TenantId};
pub use lane::{Lane, Priority};
pub use proxy::{ProxyError, ProxyKind, ProxyServer};
pub use scope::Scope;
pub use service::Service;
pub use session::{SessionError, SessionName};
pub use url::{PageUrl, UrlError};
pub use verdict::{Outcome, Verdict};
