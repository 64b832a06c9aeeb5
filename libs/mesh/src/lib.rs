//! What makes a process a member of the mesh: configuration, mTLS, telemetry, server, client, shutdown, errors.
//!
//! Promises: every call that a handler sees has a caller with a verified certificate who may make it, a deadline, a
//! request id and a trace; every status that leaves has a reason that a program can branch on.

pub mod call;
pub mod client;
pub mod clock;
pub mod config;
mod context;
mod entry;
pub mod error;
mod memory;
pub mod metrics;
pub mod node;
pub mod policy;
pub mod server;
pub mod task;
pub mod telemetry;
mod timeouts;
pub mod tls;

pub use call::{
    Call, PRINCIPAL_HEADERS, Principal, REQUEST_ID_HEADER, TenantCall, call, internal_call, principal_headers,
};
pub use config::Config;
pub use entry::main;
pub use error::{Violations, error_reason, fail, refuse, refuse_with};
pub use memory::use_small_pages;
pub use node::{Node, Shutdown};
pub use policy::{allowed, public};
pub use server::Server;
pub use task::{Task, TaskError, spawn};
pub use tls::{Ca, Identity, install_crypto_provider};

/// What a service's `serve` returns: only start-up and shutdown can fail, calls answer with a status.
pub type Result<T> = anyhow::Result<T>;
