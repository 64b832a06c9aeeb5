//! The door to the Internet, against real servers on loopback that misbehave.

#![expect(clippy::disallowed_methods, reason = "the servers of the tests are tasks without a parent")]

mod cookies;
mod http2;
mod limits;
mod proxy;
mod redirects;
mod relays;
mod robots;
mod robots_rules;
mod site;
mod targets;
mod tls;
