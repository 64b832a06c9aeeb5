//! The cookies of a job whose pages may come to either lane: from its jar into its context, and back.
//!
//! Promises: a cookie that the job itself has set stays as it is; what a page of the browser has set goes back for the hosts of
//! that page only.

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::browser::BrowserContextId;
use chromiumoxide::cdp::browser_protocol::network::{Cookie, CookieParam, GetCookiesParams, TimeSinceEpoch};
use chromiumoxide::cdp::browser_protocol::storage::SetCookiesParams;
use chromiumoxide::error::CdpError;
use egress::{Crumb, Jar};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::options::Identity;
use crate::fetch::Failure;

/// Sets cookies in the context.
pub(super) async fn give(
    cdp: &chromiumoxide::Browser,
    context: &BrowserContextId,
    crumbs: &[Crumb],
    identity: &Identity,
) -> Result<(), Failure> {
    let own = |crumb: &Crumb| {
        let same_host = |domain: &str| domain.trim_start_matches('.').eq_ignore_ascii_case(&crumb.host);
        identity.cookies.iter().any(|cookie| cookie.name == crumb.name && same_host(&cookie.domain))
    };
    let params: Vec<_> = crumbs.iter().filter(|crumb| !own(crumb)).map(param).collect();
    if params.is_empty() || set(cdp, context, params.clone()).await? {
        return Ok(());
    }
    // One of them is not to its taste, and it took none.
    for param in params {
        set(cdp, context, vec![param]).await?;
    }
    Ok(())
}

/// Whether Chromium takes these cookies.
async fn set(
    cdp: &chromiumoxide::Browser,
    context: &BrowserContextId,
    cookies: Vec<CookieParam>,
) -> Result<bool, Failure> {
    let cookies = SetCookiesParams { cookies, browser_context_id: Some(context.clone()) };
    match cdp.execute(cookies).await {
        Ok(_) => Ok(true),
        Err(CdpError::Chrome(_)) => Ok(false),
        Err(CdpError::Timeout) => Err(Failure::Late("browser")),
        Err(_) => Err(Failure::Ours("the browser cannot be prepared")),
    }
}

/// Puts what the browser sends to the page's URL into the jar. What does not come in time is not worth a page.
pub(super) async fn take_back(page: &Page, url: &Url, jar: &Jar, deadline: Instant) {
    let ask = GetCookiesParams { urls: Some(vec![url.as_str().to_owned()]) };
    if let Ok(Ok(answer)) = timeout_at(deadline, page.execute(ask)).await {
        for cookie in &answer.result.cookies {
            jar.put(&crumb(cookie));
        }
    }
}

fn param(crumb: &Crumb) -> CookieParam {
    let mut param = CookieParam::new(crumb.name.clone(), crumb.value.clone());
    if crumb.below {
        param.domain = Some(format!(".{}", crumb.host));
    } else {
        // Without a domain it is for the host of this URL alone.
        let scheme = if crumb.secure { "https" } else { "http" };
        param.url = Some(format!("{scheme}://{}/", crumb.host));
    }
    param.path = Some(crumb.path.clone());
    param.secure = Some(crumb.secure);
    param.http_only = Some(crumb.http_only);
    param.same_site = crumb.same_site.as_deref().and_then(|word| word.parse().ok());
    param.expires = crumb.expires.map(|end| TimeSinceEpoch::new(end as f64));
    param
}

pub(super) fn crumb(cookie: &Cookie) -> Crumb {
    Crumb {
        name: cookie.name.clone(),
        value: cookie.value.clone(),
        host: cookie.domain.trim_start_matches('.').to_owned(),
        below: cookie.domain.starts_with('.'),
        path: cookie.path.clone(),
        secure: cookie.secure,
        http_only: cookie.http_only,
        expires: (!cookie.session && cookie.expires.is_finite()).then_some(cookie.expires as i64),
        same_site: cookie.same_site.as_ref().map(|word| word.as_ref().to_owned()),
    }
}
