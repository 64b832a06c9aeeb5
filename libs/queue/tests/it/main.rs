//! The bus against real servers: Debian's nats-server and, where `make` fetched it, a current one.

mod faults;
mod lanes;
mod messages;
mod support;
mod tracing_context;
