//! Fetching a robots.txt file, and what each answer means (RFC 9309, section 2.3.1).
//!
//! Redirects are followed here and not by the client, which has its own number of them: five are a must, also to other
//! hosts, and the rules found there are those of the host that was asked. Where a redirect cannot be followed (too many,
//! no URL, a forbidden address) there is no file. A file that breaks off is no file either, but a failure: its
//! missing half may be the one that forbids.

use std::sync::Arc;

use bytes::Bytes;
use domain::PageUrl;
use http::header::{HeaderMap, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use robotxt::BYTE_LIMIT;

use super::cache::{Kept, Policy};
use super::{Config, Key, Rules};
use crate::redirect::{self, Hop};
use crate::{Client, FetchError, Fetched, Relay, Request};

/// RFC 9309, section 2.3.1.2.
const MAX_REDIRECTS: usize = 5;
/// One byte more than is parsed tells a file that ends there from one that goes on.
const MAX_FILE: u64 = BYTE_LIMIT as u64 + 1;

/// What came of asking.
enum Answer {
    File(Bytes),
    /// The host has no file.
    Missing,
    /// The address policy forbids the host itself.
    Refused,
    /// The site answered, but not with what it should.
    Broken,
    Failed {
        retryable: bool,
    },
}

/// Fetches the file of `key` and says what its host asks for. Ends within `config.timeout`.
pub(super) async fn policy(client: &Client, config: &Config, key: Key) -> Kept {
    let answer = tokio::time::timeout(config.timeout, ask(client, config, key)).await;
    match answer.unwrap_or(Answer::Failed { retryable: true }) {
        Answer::File(file) => read(file, config).await,
        Answer::Missing => Kept { policy: Policy::Open, keep: config.keep },
        // For a short time: a name may get an allowed address, and then its file counts.
        Answer::Refused => Kept { policy: Policy::Open, keep: config.keep_unreachable },
        Answer::Broken => failed(true, true, config),
        Answer::Failed { retryable } => failed(retryable, false, config),
    }
}

async fn ask(client: &Client, config: &Config, (file, relay): Key) -> Answer {
    let mut hop = Hop { method: Method::GET, url: file, headers: HeaderMap::new(), body: None };
    for redirects in 0..=MAX_REDIRECTS {
        let fetched = match client.fetch(request(&hop.url, relay.clone(), config)).await {
            Ok(fetched) => fetched,
            Err(FetchError::NotAllowed) if redirects == 0 => return Answer::Refused,
            Err(FetchError::NotAllowed) => return Answer::Missing,
            Err(error) => return Answer::Failed { retryable: error.retryable() },
        };
        match fetched.status {
            // Broken off or too slow, not just long.
            200..=299 if fetched.truncated && fetched.body.len() <= BYTE_LIMIT => {
                return Answer::Broken;
            }
            200..=299 => return Answer::File(fetched.body),
            300..=399 => match next(&hop, &fetched) {
                Some(next) => hop = next,
                None => return Answer::Missing,
            },
            400..=499 => return Answer::Missing,
            _ => return Answer::Broken,
        }
    }
    Answer::Missing
}

fn request(url: &PageUrl, relay: Option<Relay>, config: &Config) -> Request {
    Request {
        relay,
        follow_redirects: false,
        // Room for codings that make it longer.
        max_body: Some(2 * MAX_FILE),
        max_decompressed: Some(MAX_FILE),
        total_timeout: Some(config.timeout),
        truncate_body: true,
        ..Request::get(url.clone())
    }
}

/// Where a redirect leads. `None` if it cannot be followed.
fn next(hop: &Hop, fetched: &Fetched) -> Option<Hop> {
    let location = HeaderValue::from_bytes(fetched.header("location")?.as_bytes()).ok()?;
    let headers = HeaderMap::from_iter([(LOCATION, location)]);
    redirect::next(hop, StatusCode::from_u16(fetched.status).ok()?, &headers).ok()?
}

/// Parses on a thread that may block: a hostile file takes long.
async fn read(file: Bytes, config: &Config) -> Kept {
    let product = config.product.clone();
    match tokio::task::spawn_blocking(move || Rules::parse(file.into(), &product)).await {
        Ok(rules) if rules.is_empty() => Kept { policy: Policy::Open, keep: config.keep },
        Ok(rules) => Kept { policy: Policy::Rules(Arc::new(rules)), keep: config.keep },
        // The process is going down.
        Err(_) => failed(true, false, config),
    }
}

const fn failed(retryable: bool, answered: bool, config: &Config) -> Kept {
    Kept { policy: Policy::Unreachable { retryable, answered }, keep: config.keep_unreachable }
}
