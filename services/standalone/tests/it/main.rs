//! Whole-mesh tests: every service real, in this process or as six, through the public API only.

mod bad_input;
mod cli;
mod crawl4ai;
mod faults;
mod flow;
mod render;
mod trace;
mod watch;
mod webhook;
