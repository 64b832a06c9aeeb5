//! Listens to what a page requests and says, for its log. Only where the job asked for one: it costs.

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::network::{
    EventLoadingFailed, EventLoadingFinished, EventRequestWillBeSent, EventResponseReceived, Headers,
    Response,
};
use chromiumoxide::cdp::js_protocol::runtime::{
    EventConsoleApiCalled, EventExceptionThrown, RemoteObject, StackTrace,
};
use chromiumoxide::error::CdpError;
use futures::future::FutureExt;
use futures::stream::{BoxStream, SelectAll, StreamExt};
use serde_json::Value;

use super::har::{Console, Har, Head, Message, Sent};
use super::options::Keep;

enum Event {
    Sent(Box<Sent>),
    Head { id: String, at: f64, head: Box<Head> },
    Finished { id: String, at: f64, bytes: f64 },
    Failed { id: String, at: f64, error: String },
    Message(Box<Message>),
}

/// Keeps the logs of one visit.
#[derive(Default)]
pub(super) struct Recorder {
    events: SelectAll<BoxStream<'static, Event>>,
    pub(super) har: Option<Har>,
    pub(super) console: Option<Console>,
}

impl Recorder {
    /// A recorder of what `keep` asks for.
    pub(super) async fn start(page: &Page, keep: Keep) -> Result<Self, CdpError> {
        let mut recorder = Self::default();
        if keep.har {
            recorder.har = Some(Har::default());
            let sent = page.event_listener::<EventRequestWillBeSent>().await?;
            recorder.events.push(sent.map(|event| Event::Sent(Box::new(self::sent(&event)))).boxed());
            let received = page.event_listener::<EventResponseReceived>().await?.map(|event| Event::Head {
                id: event.request_id.inner().clone(),
                at: *event.timestamp.inner(),
                head: Box::new(head(&event.response)),
            });
            recorder.events.push(received.boxed());
            let finished =
                page.event_listener::<EventLoadingFinished>().await?.map(|event| Event::Finished {
                    id: event.request_id.inner().clone(),
                    at: *event.timestamp.inner(),
                    bytes: event.encoded_data_length,
                });
            recorder.events.push(finished.boxed());
            let failed = page.event_listener::<EventLoadingFailed>().await?.map(|event| Event::Failed {
                id: event.request_id.inner().clone(),
                at: *event.timestamp.inner(),
                error: event.error_text.clone(),
            });
            recorder.events.push(failed.boxed());
        }
        if keep.console {
            recorder.console = Some(Console::default());
            let called = page.event_listener::<EventConsoleApiCalled>().await?;
            recorder
                .events
                .push(called.map(|event| Event::Message(Box::new(called_message(&event)))).boxed());
            let thrown = page.event_listener::<EventExceptionThrown>().await?;
            recorder
                .events
                .push(thrown.map(|event| Event::Message(Box::new(thrown_message(&event)))).boxed());
        }
        Ok(recorder)
    }

    /// Takes in the next thing that happens; for ever, if nothing is recorded.
    pub(super) async fn step(&mut self) {
        match self.events.next().await {
            Some(event) => self.take(event),
            None => std::future::pending().await,
        }
    }

    /// A request is not made, because of this rule.
    pub(super) fn blocked(&mut self, id: &str, rule: &str) {
        if let Some(har) = &mut self.har {
            har.blocked(id, rule);
        }
    }

    /// Takes in what has happened already.
    pub(super) fn drain(&mut self) {
        while let Some(Some(event)) = self.events.next().now_or_never() {
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        match (event, &mut self.har, &mut self.console) {
            (Event::Sent(sent), Some(har), _) => har.sent(*sent),
            (Event::Head { id, at, head }, Some(har), _) => har.head(&id, at, *head),
            (Event::Finished { id, at, bytes }, Some(har), _) => har.ended(&id, at, Ok(bytes)),
            (Event::Failed { id, at, error }, Some(har), _) => har.ended(&id, at, Err(error)),
            (Event::Message(message), _, Some(console)) => console.push(*message),
            _ => {}
        }
    }
}

fn sent(event: &EventRequestWillBeSent) -> Sent {
    Sent {
        id: event.request_id.inner().clone(),
        at: *event.timestamp.inner(),
        wall: *event.wall_time.inner(),
        method: event.request.method.clone(),
        url: event.request.url.clone(),
        headers: pairs(&event.request.headers),
        kind: event.r#type.as_ref().map(|kind| kind.as_ref().to_owned()),
        redirect: event.redirect_response.as_ref().map(head),
    }
}

fn head(response: &Response) -> Head {
    Head {
        status: response.status,
        status_text: response.status_text.clone(),
        protocol: response.protocol.clone().unwrap_or_default(),
        headers: pairs(&response.headers),
        mime: response.mime_type.clone(),
    }
}

fn pairs(headers: &Headers) -> Vec<(String, String)> {
    let object = headers.inner().as_object().into_iter().flatten();
    object.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn called_message(event: &EventConsoleApiCalled) -> Message {
    let text: Vec<String> = event.args.iter().map(words).collect();
    let (url, line) = place(event.stack_trace.as_ref());
    Message {
        kind: event.r#type.as_ref().to_owned(),
        text: text.join(" "),
        url,
        line,
        wall: *event.timestamp.inner(),
    }
}

fn thrown_message(event: &EventExceptionThrown) -> Message {
    let details = &event.exception_details;
    let description = details.exception.as_ref().and_then(|thrown| thrown.description.clone());
    Message {
        kind: "uncaught".to_owned(),
        text: description.unwrap_or_else(|| details.text.clone()),
        url: details.url.clone().unwrap_or_default(),
        line: details.line_number,
        wall: *event.timestamp.inner(),
    }
}

fn words(value: &RemoteObject) -> String {
    match &value.value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => value.description.clone().unwrap_or_default(),
    }
}

fn place(trace: Option<&StackTrace>) -> (String, i64) {
    let frame = trace.and_then(|trace| trace.call_frames.first());
    frame.map(|frame| (frame.url.clone(), frame.line_number)).unwrap_or_default()
}
