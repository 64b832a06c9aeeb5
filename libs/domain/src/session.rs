//! Names of sessions: what pages keep under a name is found again by jobs that give the same one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

const COLLECTION: &str = "sessions/";
const MAX_NAME: usize = 64;

/// Why a text is not the name of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Too long, or not of the allowed characters.
    #[error("must be 1 to {MAX_NAME} letters, digits, `.`, `_` and `-`, a letter or digit first")]
    Name,
    /// Not a resource name.
    #[error("is not of the form sessions/{{session}}")]
    Form,
}

/// The name of a session: 1 to 64 ASCII letters, digits, `.`, `_` and `-`, a letter or digit first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionName(String);

impl SessionName {
    /// The name as jobs give it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its resource name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{COLLECTION}{}", self.0)
    }

    /// Reads a resource name.
    pub fn from_name(name: &str) -> Result<Self, SessionError> {
        name.strip_prefix(COLLECTION).ok_or(SessionError::Form)?.parse()
    }
}

impl FromStr for SessionName {
    type Err = SessionError;

    fn from_str(text: &str) -> Result<Self, SessionError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !first || text.len() > MAX_NAME || !text.bytes().all(allowed) {
            return Err(SessionError::Name);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_url() {
        let long = "a".repeat(64);
        for good in ["a", "7", "Shop.login_2-b", long.as_str()] {
            let name: SessionName = good.parse().expect("because it is a name");
            assert_eq!(SessionName::from_name(&name.name()), Ok(name));
        }
        let longer = "a".repeat(65);
        for bad in ["", ".", "..", "-a", "_a", "a/b", "a b", "ä", "a\0", longer.as_str()] {
            assert_eq!(bad.parse::<SessionName>(), Err(SessionError::Name), "{bad:?}");
        }
        assert_eq!(SessionName::from_name("jobs/a"), Err(SessionError::Form));
    }
}
