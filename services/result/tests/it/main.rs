//! The result service through its own gRPC API, over mTLS, on SQLite and Postgres.

mod boot;
mod diff;
mod expire;
mod inline;
mod read;
mod recall;
mod sessions;
mod store_page;
mod trouble;
