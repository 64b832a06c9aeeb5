//! The bus: streams, subjects, publish once, pull with ack. The only crate that knows NATS.
//!
//! Promises: a publish that returned `Ok` is stored by the server; the same id within the duplicate window is stored once;
//! a pulled message that is not acked comes back after `ack_wait`; an answer never reaches another message than its own; nothing waits longer than its configured bound; streams and
//! consumers are put back when the server comes back empty. It does not promise that the server keeps what it stored:
//! the databases are the truth, and whoever owns a message must be able to publish it again.

mod bus;
mod config;
mod delivery;
mod epoch;
mod error;
mod link;
mod listen;
mod look;
mod metrics;
mod pull;
mod requests;
pub mod server;
mod shares;
pub mod subjects;
mod topology;
mod trace;

pub use bus::{Bus, Work};
pub use config::{Config, DEFAULTS};
pub use delivery::{Delivery, KeepAlive};
pub use epoch::Epoch;
pub use error::Error;
pub use listen::Listener;
pub use pull::{Outcomes, Puller};
