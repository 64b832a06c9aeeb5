//! Makes a context and a tab what the job asked for, before its first page: cookies and permissions once for the context, the rest
//! once for each tab, where it stays.

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::browser::{
    BrowserContextId, PermissionDescriptor, PermissionSetting, SetPermissionParams,
};
use chromiumoxide::cdp::browser_protocol::emulation::{
    SetDeviceMetricsOverrideParams, SetGeolocationOverrideParams, SetLocaleOverrideParams,
    SetTimezoneOverrideParams, SetUserAgentOverrideParams,
};
use chromiumoxide::cdp::browser_protocol::fetch;
use chromiumoxide::cdp::browser_protocol::network::{CookieParam, Headers, SetExtraHttpHeadersParams};
use chromiumoxide::cdp::browser_protocol::page::AddScriptToEvaluateOnNewDocumentParams;
use chromiumoxide::cdp::browser_protocol::storage::SetCookiesParams;
use chromiumoxide::error::CdpError;
use serde_json::json;

use super::block;
use super::options::{Block, Cookie, Identity};
use crate::fetch::Failure;

/// Gives a new context what the job starts with.
pub(super) async fn context(
    cdp: &chromiumoxide::Browser,
    id: &BrowserContextId,
    identity: &Identity,
) -> Result<(), Failure> {
    if !identity.cookies.is_empty() {
        let cookies = identity.cookies.iter().map(cookie).collect();
        let cookies = SetCookiesParams { cookies, browser_context_id: Some(id.clone()) };
        said("cookies", cdp.execute(cookies).await)?;
    }
    if identity.place.is_some() {
        let mut grant =
            SetPermissionParams::new(PermissionDescriptor::new("geolocation"), PermissionSetting::Granted);
        grant.browser_context_id = Some(id.clone());
        said("geolocation", cdp.execute(grant).await)?;
    }
    Ok(())
}

/// Gives a new tab what the job asked for. `agent` is what the browser calls itself if the job does not say.
pub(super) async fn tab(page: &Page, identity: &Identity, block: Block, agent: &str) -> Result<(), Failure> {
    let patterns = block::patterns(block);
    if !patterns.is_empty() {
        let enable = fetch::EnableParams { patterns: Some(patterns), handle_auth_requests: None };
        said("block", page.execute(enable).await)?;
    }
    if let Some(window) = identity.viewport {
        let (width, height) = (i64::from(window.width), i64::from(window.height));
        let metrics = SetDeviceMetricsOverrideParams::new(width, height, window.scale, false);
        said("viewport", page.execute(metrics).await)?;
    }
    if identity.user_agent.is_some() || identity.locale.is_some() {
        let mut name = SetUserAgentOverrideParams::new(identity.user_agent.as_deref().unwrap_or(agent));
        name.accept_language.clone_from(&identity.locale);
        said("user_agent", page.execute(name).await)?;
    }
    if let Some(locale) = &identity.locale {
        let locale = SetLocaleOverrideParams { locale: Some(locale.replace('-', "_")) };
        said("locale", page.execute(locale).await)?;
    }
    if let Some(timezone) = &identity.timezone {
        said("timezone", page.execute(SetTimezoneOverrideParams::new(timezone.clone())).await)?;
    }
    if let Some(place) = identity.place {
        let place = SetGeolocationOverrideParams {
            latitude: Some(place.latitude),
            longitude: Some(place.longitude),
            accuracy: Some(place.accuracy),
            ..SetGeolocationOverrideParams::default()
        };
        said("geolocation", page.execute(place).await)?;
    }
    if !identity.headers.is_empty() {
        let headers: serde_json::Map<String, serde_json::Value> =
            identity.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        said("headers", page.execute(SetExtraHttpHeadersParams::new(Headers::new(headers))).await)?;
    }
    if !identity.storage.is_empty() {
        let script = AddScriptToEvaluateOnNewDocumentParams::new(storage_script(&identity.storage));
        said("local_storage", page.execute(script).await)?;
    }
    Ok(())
}

/// Sets what the page has not set itself. Runs before the page's own scripts, in every document.
fn storage_script(storage: &[(String, Vec<(String, String)>)]) -> String {
    let items = json!(storage);
    format!(
        "(() => {{ try {{ for (const [origin, items] of {items}) {{ if (origin !== location.origin) continue; \
         for (const [name, value] of items) if (localStorage.getItem(name) === null) localStorage.setItem(name, value); \
         }} }} catch {{}} }})()"
    )
}

fn cookie(cookie: &Cookie) -> CookieParam {
    let mut param = CookieParam::new(cookie.name.clone(), cookie.value.clone());
    param.domain = Some(cookie.domain.clone());
    param.path = Some(cookie.path.clone());
    param.secure = Some(cookie.secure);
    param.http_only = Some(cookie.http_only);
    param
}

/// What the browser said to an option: a refusal is the option's fault.
fn said<T>(option: &str, answer: Result<T, CdpError>) -> Result<(), Failure> {
    match answer {
        Ok(_) => Ok(()),
        // Tabs of one context may share a renderer, which keeps these for all of them.
        Err(CdpError::Chrome(error)) if error.message.contains("already in effect") => Ok(()),
        Err(CdpError::Chrome(error)) => Err(Failure::Asked(format!("{option}: {}", error.message))),
        Err(CdpError::Timeout) => Err(Failure::Late("browser")),
        Err(_) => Err(Failure::Ours("the browser cannot be prepared")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_text_cannot_leave_its_string() {
        let items =
            vec![("https://a.example".to_owned(), vec![("k".to_owned(), "\"]]);alert(1)//".to_owned())])];
        assert!(storage_script(&items).contains(r#""\"]]);alert(1)//""#));
    }
}
