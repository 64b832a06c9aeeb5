//! Configuration: defaults < file < environment, checked completely before anything starts.
//!
//! The defaults file of a service is its documentation: it holds every key, so a key that it does not hold is a mistake.
//! All problems are reported at once, each with the key and where it came from.

mod load;
mod sections;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

pub use load::{Invalid, Problems, env, load, with, with_env};
pub use sections::{LogFormat, Peers, Server, Telemetry, Tls};

/// The text of the four sections that every service has. A service's `config.default.toml` holds the same keys.
pub const SECTIONS: &str = include_str!("../config.sections.toml");

/// The settings of a service.
pub trait Config: DeserializeOwned {
    /// Whose settings these are; its word in upper case is the prefix of the environment variables.
    const SERVICE: domain::Service;
    /// The text of `config.default.toml`, with every key there is.
    const DEFAULTS: &'static str;

    /// The section `[server]`.
    fn server(&self) -> &Server;
    /// The section `[tls]`.
    fn tls(&self) -> &Tls;
    /// The section `[telemetry]`.
    fn telemetry(&self) -> &Telemetry;
    /// The section `[peers]`.
    fn peers(&self) -> &Peers;

    /// Adds what types cannot say: contradictions, ranges, settings that need each other.
    fn validate(&self, _problems: &mut Problems) {}
}

/// A text that must not be shown. Its `Debug` prints `***`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown by accident.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}
