//! The gateway through its public port: real TCP, real mTLS to the services behind it.
#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests only in functions with #[test], not in their helpers"
)]

mod access;
mod crawl4ai;
mod grpc;
mod neighbours;
mod port;
mod stage;
mod transcode;
