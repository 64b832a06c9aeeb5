//! A tab that shows an empty page of any origin, and asks no site for it: there the local storage of the origin is read and written.

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::browser::BrowserContextId;
use chromiumoxide::cdp::browser_protocol::fetch::{
    self, EventRequestPaused, FulfillRequestParams, HeaderEntry,
};
use chromiumoxide::cdp::browser_protocol::page::{FrameId, NavigateParams};
use chromiumoxide::cdp::browser_protocol::target::CreateTargetParams;
use chromiumoxide::error::CdpError;
use chromiumoxide::listeners::EventStream;
use futures::stream::StreamExt;
use serde_json::json;

use super::tab::BLANK;
use super::world::{self, Answer};
use crate::session::Items;

/// What tells the local storage of a page, with its origin.
const READ: &str = "[location.origin, Object.fromEntries(Object.entries(localStorage))]";

/// The tab.
pub(super) struct Bare {
    page: Page,
    frame: FrameId,
    requests: EventStream<EventRequestPaused>,
}

impl Bare {
    /// Opens one in a context.
    pub(super) async fn open(
        cdp: &chromiumoxide::Browser,
        context: &BrowserContextId,
    ) -> Result<Self, CdpError> {
        let mut target = CreateTargetParams::new(BLANK);
        target.browser_context_id = Some(context.clone());
        let page = cdp.new_page(target).await?;
        let requests = page.event_listener::<EventRequestPaused>().await?;
        // All requests, before they are sent.
        page.execute(fetch::EnableParams::default()).await?;
        let frame = FrameId::new(page.target_id().inner().clone());
        Ok(Self { page, frame, requests })
    }

    /// Sets items in the storage of an origin. `None`: there is no such storage.
    pub(super) async fn write(&mut self, origin: &str, items: &Items) -> Result<Option<()>, CdpError> {
        self.show(origin).await?;
        let code = format!(
            "for (const [name, value] of Object.entries({})) localStorage.setItem(name, value)",
            json!(items)
        );
        Ok(matches!(world::isolated(&self.page, &self.frame, &code).await, Answer::Value(_)).then_some(()))
    }

    /// The items in the storage of an origin. `None`: there is no such storage.
    pub(super) async fn read(&mut self, origin: &str) -> Result<Option<Items>, CdpError> {
        self.show(origin).await?;
        Ok(read(&self.page, &self.frame, origin).await)
    }

    /// Closes the tab.
    pub(super) async fn close(self) -> Result<(), CdpError> {
        self.page.close().await
    }

    async fn show(&mut self, origin: &str) -> Result<(), CdpError> {
        let page = self.page.clone();
        let mut shown = std::pin::pin!(page.execute(NavigateParams::new(format!("{origin}/"))));
        loop {
            tokio::select! {
                shown = &mut shown => return shown.map(|_| ()),
                Some(request) = self.requests.next() => {
                    let mut answer = FulfillRequestParams::new(request.request_id.clone(), 200);
                    answer.response_headers = Some(vec![HeaderEntry::new("content-type", "text/html")]);
                    self.page.execute(answer).await?;
                }
            }
        }
    }
}

/// The items in the storage of the origin that a page shows. `None`: it shows another one, or has no storage.
pub(super) async fn read(page: &Page, frame: &FrameId, origin: &str) -> Option<Items> {
    let Answer::Value(value) = world::isolated(page, frame, READ).await else { return None };
    let (shown, items): (String, Items) = serde_json::from_value(value).ok()?;
    (shown == origin).then_some(items)
}
