//! The database: connect, transactions, migrations, sealed secrets, and servers to test with. The same promises on SQLite and Postgres.
//!
//! Promises: all writes of one [`Db::write`] happen or none does, and what it committed is seen by every later read; writers
//! wait for each other instead of failing; every wait is bounded; a database that went away is used again when it is back,
//! without a restart. Knows no table: a service brings its own entities and migrations. SQLite compares times as
//! text: those that are compared or ordered in a query must go through [`comparable`].

mod config;
mod db;
mod error;
mod group;
mod moment;
mod open;
mod seal;
pub mod testing;

pub use config::{Config, DEFAULTS};
pub use db::Db;
pub use error::{Error, is_unavailable, is_unique_violation, unavailable};
pub use group::Group;
pub use moment::comparable;
pub use seal::{CannotOpen, Sealer};
