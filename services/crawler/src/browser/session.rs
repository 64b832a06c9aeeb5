//! The context of one page of a session: what the session holds goes in before the page, and what the page has changed comes out after it.
//!
//! Promises: the page finds what the session holds, and nothing else; sites are asked for nothing on the way. Local storage is that of
//! the pages that the tab showed; what frames of other sites keep under it is theirs and goes with the context.

use std::collections::BTreeSet;

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::browser::BrowserContextId;
use chromiumoxide::cdp::browser_protocol::page::FrameId;
use chromiumoxide::cdp::browser_protocol::storage::GetCookiesParams;
use chromiumoxide::error::CdpError;
use egress::Crumb;
use url::Url;

use super::bare::{self, Bare};
use super::cookies;
use super::options::Identity;
use super::shown::Shown;
use crate::fetch::Failure;
use crate::session::{Changes, Items, State};

/// The cookies that the browser made of those of the session.
pub(super) struct Begun(Vec<Crumb>);

/// Puts what a session holds into a new context. A cookie of the job's own wins.
pub(super) async fn begin(
    cdp: &chromiumoxide::Browser,
    context: &BrowserContextId,
    state: &State,
    identity: &Identity,
) -> Result<Begun, Failure> {
    cookies::give(cdp, context, &state.cookies, identity).await?;
    if !state.storage.is_empty() {
        let mut bare = Bare::open(cdp, context).await.map_err(failure)?;
        for (origin, items) in &state.storage {
            bare.write(origin, items).await.map_err(failure)?.ok_or(UNUSABLE)?;
        }
        bare.close().await.map_err(failure)?;
    }
    Ok(Begun(cookies(cdp, context).await?))
}

/// What the page that a tab shows has changed since the session began.
pub(super) async fn end(
    cdp: &chromiumoxide::Browser,
    context: &BrowserContextId,
    (page, frame): (&Page, &FrameId),
    state: &State,
    begun: &Begun,
    shown: &Shown,
) -> Result<Changes, Failure> {
    let mut changes = Changes::of_cookies(&begun.0, cookies(cdp, context).await?);
    let none = Items::new();
    let mut origins = visited(shown);
    origins.extend(state.storage.keys().cloned());
    let last = shown.url.origin().ascii_serialization();
    if origins.contains(&last)
        && let Some(items) = bare::read(page, frame, &last).await
    {
        changes.add_storage(&last, state.storage.get(&last).unwrap_or(&none), items);
        origins.remove(&last);
    }
    if !origins.is_empty() {
        let mut bare = Bare::open(cdp, context).await.map_err(failure)?;
        for origin in &origins {
            let items = bare.read(origin).await.map_err(failure)?.ok_or(UNUSABLE)?;
            changes.add_storage(origin, state.storage.get(origin).unwrap_or(&none), items);
        }
        bare.close().await.map_err(failure)?;
    }
    Ok(changes)
}

/// The origins that the tab has shown. A redirect by the site itself shows none of its page.
fn visited(shown: &Shown) -> BTreeSet<String> {
    let urls = shown.redirects.iter().filter_map(|url| Url::parse(url).ok()).chain([shown.url.clone()]);
    let web = urls.filter(|url| matches!(url.scheme(), "http" | "https"));
    web.map(|url| url.origin().ascii_serialization()).collect()
}

async fn cookies(cdp: &chromiumoxide::Browser, context: &BrowserContextId) -> Result<Vec<Crumb>, Failure> {
    let ask = GetCookiesParams { browser_context_id: Some(context.clone()) };
    let answer = cdp.execute(ask).await.map_err(failure)?;
    Ok(answer.result.cookies.iter().map(cookies::crumb).collect())
}

const UNUSABLE: Failure = Failure::Ours("the local storage of a session cannot be used");

fn failure(error: CdpError) -> Failure {
    match error {
        CdpError::Timeout => Failure::Late("session"),
        _ => Failure::Ours("the session cannot be used in the browser"),
    }
}
