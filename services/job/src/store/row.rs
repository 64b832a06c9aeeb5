//! The rows, and what they are in the domain.

pub(super) mod event;
pub(super) mod job;
pub(super) mod page;
pub(super) mod schedule;

use std::fmt::Display;

use domain::Priority;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Reads a word or a number that this version must know.
pub(super) fn read<T: std::str::FromStr<Err: Display>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: T::Err| Error::Row(error.to_string()))
}

pub(super) fn read_json<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| Error::Row(error.to_string()))
}

/// JSON of a value that always has one.
pub(super) fn json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// A priority as a number that sorts: first what is served first.
pub(super) const fn rank(priority: Priority) -> i16 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

/// The priority of a [`rank`].
pub(super) fn priority(rank: i16) -> Result<Priority, Error> {
    match rank {
        0 => Ok(Priority::High),
        1 => Ok(Priority::Normal),
        2 => Ok(Priority::Low),
        _ => Err(Error::Row(format!("{rank} is not a priority"))),
    }
}
