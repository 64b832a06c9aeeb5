//! The parts of the bench, one file each. Each starts what it needs and stops it again, so that each can run alone.

pub(crate) mod browser;
pub(crate) mod burst;
pub(crate) mod extract;
pub(crate) mod fair;
pub(crate) mod http;
pub(crate) mod idle;
pub(crate) mod ledger;
pub(crate) mod memory;
pub(crate) mod rest;
pub(crate) mod submit;
pub(crate) mod webhook;
