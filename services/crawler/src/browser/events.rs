//! The events of a tab, from chromiumoxide's streams to one of ours.
//!
//! The streams are not in step with one another, so their order is not kept; `progress` can do without.

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::fetch::EventRequestPaused;
use chromiumoxide::cdp::browser_protocol::inspector::EventTargetCrashed;
use chromiumoxide::cdp::browser_protocol::network::{
    EventLoadingFailed, EventLoadingFinished, EventRequestWillBeSent, EventResponseReceived, InitiatorType,
    ResourceType,
};
use chromiumoxide::cdp::browser_protocol::page::{
    DialogType, EventJavascriptDialogOpening, EventLifecycleEvent, FrameId,
};
use chromiumoxide::error::CdpError;
use futures::stream::{BoxStream, SelectAll, StreamExt};

use super::block::Paused;
use super::progress::{Cause, Event, Response};

/// The events of a tab.
pub(super) type Events = SelectAll<BoxStream<'static, Event>>;

/// All events of a tab in one stream.
pub(super) async fn events(page: &Page, frame: &FrameId) -> Result<Events, CdpError> {
    let (main, head, shown, own) = (frame.clone(), frame.clone(), frame.clone(), frame.clone());
    let requests =
        page.event_listener::<EventRequestWillBeSent>().await?.map(move |event| request(&event, &main));
    let responses = page.event_listener::<EventResponseReceived>().await?;
    let responses = responses.filter_map(move |event| std::future::ready(response(&event, &head)));
    let finished = page.event_listener::<EventLoadingFinished>().await?.map(|event| Event::Finished {
        id: event.request_id.inner().clone(),
        bytes: event.encoded_data_length.max(0.0) as u64,
    });
    let failed = page.event_listener::<EventLoadingFailed>().await?.map(|event| Event::Failed {
        id: event.request_id.inner().clone(),
        error: event.error_text.clone(),
        document: event.r#type == ResourceType::Document,
    });
    let lifecycle = page.event_listener::<EventLifecycleEvent>().await?.filter_map(move |event| {
        let (loader, name) = (event.loader_id.inner().clone(), event.name.clone());
        std::future::ready((event.frame_id == shown).then_some(Event::Lifecycle { loader, name }))
    });
    let dialogs = page
        .event_listener::<EventJavascriptDialogOpening>()
        .await?
        .map(|event| Event::Dialog { leaving: event.r#type == DialogType::Beforeunload });
    let crashes = page.event_listener::<EventTargetCrashed>().await?.map(|_| Event::Crashed);
    let paused = page.event_listener::<EventRequestPaused>().await?;
    let paused = paused.map(move |event| Event::Paused(Box::new(Paused::of(&event, &own))));
    Ok(futures::stream::select_all([
        requests.boxed(),
        responses.boxed(),
        finished.boxed(),
        failed.boxed(),
        lifecycle.boxed(),
        dialogs.boxed(),
        crashes.boxed(),
        paused.boxed(),
    ]))
}

fn request(event: &EventRequestWillBeSent, main_frame: &FrameId) -> Event {
    use ResourceType::{
        CspViolationReport, Document, EventSource, Manifest, Media, Ping, Prefetch, WebSocket,
    };
    let kind = event.r#type.as_ref();
    let (id, loader) = (event.request_id.inner().clone(), event.loader_id.inner().clone());
    let main = kind == Some(&Document) && event.frame_id.as_ref() == Some(main_frame) && id == loader;
    let lasting = [EventSource, WebSocket, Media, Ping, Prefetch, Manifest, CspViolationReport];
    let counts = !kind.is_some_and(|kind| lasting.contains(kind));
    let redirected = event.redirect_response.is_some();
    let cause = match (main, &event.initiator.r#type) {
        (true, InitiatorType::Other) => Cause::Asked,
        (true, _) => Cause::Page,
        (false, _) => Cause::Part,
    };
    Event::Request { id, loader, url: event.request.url.clone(), cause, redirected, counts }
}

/// Only documents of the main frame are looked at; their request has the id of their loader.
fn response(event: &EventResponseReceived, main_frame: &FrameId) -> Option<Event> {
    let id = event.request_id.inner().clone();
    if id != *event.loader_id.inner() || event.frame_id.as_ref() != Some(main_frame) {
        return None;
    }
    let head = &event.response;
    let headers = head.headers.inner().as_object().into_iter().flatten();
    let headers =
        headers.filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())));
    let response = Response {
        status: u16::try_from(head.status).unwrap_or_default(),
        url: head.url.clone(),
        headers: headers.collect(),
        mime: head.mime_type.clone(),
    };
    Some(Event::Response { id, response })
}
