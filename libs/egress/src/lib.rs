//! The one door to the Internet: address guard, limits, redirects, robots.txt, and the filter proxy of the browser.
//!
//! Promises: no connection is opened to an address that the policy forbids, by whatever spelling, name, redirect or
//! rebinding it is reached; every wait, header, body and queue has a bound; no error text names an IP address.
//! Only this crate may depend on the HTTP client and on the DNS resolver.

pub mod config;
pub mod proxy;
pub mod robots;

mod body;
mod classify;
mod client;
mod decode;
mod error;
mod guard;
mod jar;
mod redirect;
mod relay;
mod request;
mod resolver;
mod timing;
mod tls;
mod via;

pub use client::Client;
pub use config::Config;
pub use error::{FetchError, Part, RelayFault, Stage, StartError};
pub use guard::Guard;
pub use jar::{Crumb, Jar};
pub use proxy::{FilterProxy, chromium_flags};
pub use relay::{Credentials, Relay};
pub use request::{Fetched, Request, Timings, header_allowed};
pub use resolver::Resolver;
pub use robots::{Access, Robots};
