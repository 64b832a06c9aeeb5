//! Page tokens of list methods (AIP-158): opaque, bound to the tenant and the list that they came from.
//!
//! A token grants nothing: every query carries the tenant of the credential. The seal only tells a token of another
//! list, or a mangled one, from a good one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

const CONTEXT: &str = "crawlmesh 2026-11 page token v1";

/// The token is not one that this list gave to this tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a page token of this list")]
pub struct BadPageToken;

fn seal(list: &str, cursor: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&(list.len() as u64).to_le_bytes()).update(list.as_bytes()).update(cursor);
    let mut tag = [0; 8];
    tag.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    tag
}

/// Writes a token. `list` names the tenant, the collection and the filter, e.g. `"{tenant} jobs state=queued"`.
#[must_use]
pub fn encode(list: &str, cursor: &str) -> String {
    let mut bytes = seal(list, cursor.as_bytes()).to_vec();
    bytes.extend_from_slice(cursor.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a token of `list`. An empty token is the start of the list.
pub fn decode(list: &str, token: &str) -> Result<Option<String>, BadPageToken> {
    if token.is_empty() {
        return Ok(None);
    }
    if token.len() > 1024 {
        return Err(BadPageToken);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| BadPageToken)?;
    let (tag, cursor) = bytes.split_at_checked(8).ok_or(BadPageToken)?;
    if tag != seal(list, cursor) {
        return Err(BadPageToken);
    }
    String::from_utf8(cursor.to_vec()).map(Some).map_err(|_| BadPageToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_list_only() {
        let token = encode("t1 jobs", "42");
        assert_eq!(decode("t1 jobs", &token), Ok(Some("42".to_owned())));
        assert_eq!(decode("t2 jobs", &token), Err(BadPageToken));
        assert_eq!(decode("t1 jobs", "garbage!"), Err(BadPageToken));
        assert_eq!(decode("t1 jobs", ""), Ok(None));
    }
}
