//! The auth service through its own gRPC API, over mTLS, on SQLite and Postgres.

mod boot;
mod credentials;
mod first_start;
mod keys;
mod tokens;
