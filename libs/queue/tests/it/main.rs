//! The bus against real servers: Debian's nats-server and, where `make` fetched it, a current one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod faults;
mod lanes;
mod messages;
mod support;
mod tracing_context;
