//! Frames that a page cannot look into, because they are of another origin: their content is read where it lives and put in their place.
//!
//! Promises: what is read has a bound in frames, depth and bytes; a frame that does not answer is left out, and the page goes on without
//! it. Frames of other sites may live in processes that chromiumoxide has no way to talk to, so this has a connection of its own for as long
//! as a page is read.

use std::time::Duration;

use chromiumoxide::Connection;
use chromiumoxide::cdp::browser_protocol::dom::DescribeNodeParams;
use chromiumoxide::cdp::browser_protocol::page::{CreateIsolatedWorldParams, FrameId};
use chromiumoxide::cdp::browser_protocol::target::{AttachToTargetParams, SessionId, TargetId};
use chromiumoxide::cdp::js_protocol::runtime::{
    EvaluateParams, EvaluateReturns, ExecutionContextId, RemoteObjectId,
};
use chromiumoxide::error::CdpError;
use chromiumoxide::types::{CdpJsonEventMessage, Command, Message};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::shown::FLATTEN;

/// What may be read of the frames of one page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Frames in all.
    pub(super) count: usize,
    /// Frames within frames.
    pub(super) depth: usize,
    /// Bytes of all.
    pub(super) bytes: usize,
    /// For one answer of a frame.
    pub(super) answer: Duration,
    /// For all frames.
    pub(super) total: Duration,
}

/// A document: where it is talked to, and our world in it.
#[derive(Clone)]
struct Place {
    session: SessionId,
    world: ExecutionContextId,
}

/// Reads the frames of one page.
pub(super) struct Reader {
    wire: Connection<CdpJsonEventMessage>,
    limits: Limits,
    shadow: bool,
    /// When the page has to be read.
    deadline: Instant,
    /// When the frames have to be.
    until: Instant,
    /// Of those that did not answer in time: frames of one process hang together.
    hung: Vec<SessionId>,
}

impl Reader {
    /// A reader beside the other connections of the browser at `endpoint`, for a page that has to be read by `deadline`.
    pub(super) async fn connect(
        endpoint: &str,
        limits: Limits,
        shadow: bool,
        deadline: Instant,
    ) -> Option<Self> {
        let until = deadline.min(Instant::now() + limits.total);
        let wire = timeout_at(until, Connection::connect(endpoint)).await.ok()?.ok()?;
        Some(Self { wire, limits, shadow, deadline, until, hung: Vec::new() })
    }

    /// What `code` gives in our world of a page, after its variable `contents` has become the content of the page's foreign frames.
    /// `None`: the page did not answer, or is gone.
    pub(super) async fn run(&mut self, page: TargetId, frame: FrameId, code: &str) -> Option<Value> {
        let session = self.attach(page).await?;
        let place = self.world(&session, frame).await?;
        self.fill(&place, 0).await;
        // The page itself may take as long as it has.
        self.evaluate(&place, code, false).await?.result.value
    }

    /// Reads the foreign frames of a document into a variable of our world in it.
    fn fill<'a>(&'a mut self, place: &'a Place, depth: usize) -> BoxFuture<'a, ()> {
        async move {
            let list = format!("globalThis.foreign = ({FOREIGN})({}); foreign.length", self.shadow);
            let listed = self.evaluate(place, &list, true).await.and_then(|answer| answer.result.value);
            let found = listed.and_then(|count| count.as_u64()).unwrap_or_default();
            let _ = self.evaluate(place, "globalThis.contents = new Map(); 0", true).await;
            if depth >= self.limits.depth {
                return;
            }
            for index in 0..found {
                if self.limits.count == 0 || self.limits.bytes == 0 || Instant::now() >= self.until {
                    return;
                }
                self.limits.count -= 1;
                if let Some(html) = self.content(place, index, depth + 1).await {
                    self.limits.bytes = self.limits.bytes.saturating_sub(html.len());
                    let set = format!("contents.set(foreign[{index}], {}); 0", Value::from(html));
                    let _ = self.evaluate(place, &set, true).await;
                }
            }
        }
        .boxed()
    }

    /// The content of one foreign frame. `None`: it has none, too much, or does not answer.
    async fn content(&mut self, parent: &Place, index: u64, depth: usize) -> Option<String> {
        let owner = self.object(parent, &format!("foreign[{index}]")).await?;
        let node = DescribeNodeParams { object_id: Some(owner), ..DescribeNodeParams::default() };
        let frame = self.ask(Some(&parent.session), node).await?.node.frame_id?;
        let place = self.place(&parent.session, frame).await?;
        self.fill(&place, depth).await;
        let code = format!("({INSIDE})({FLATTEN}, {}, {})", self.shadow, self.limits.bytes);
        let html = self.evaluate(&place, &code, true).await?.result.value?;
        // JavaScript counts UTF-16, we count UTF-8.
        html.as_str().filter(|html| html.len() <= self.limits.bytes).map(str::to_owned)
    }

    /// Our world in a frame: in the process of its parent, or else in one of its own.
    async fn place(&mut self, parent: &SessionId, frame: FrameId) -> Option<Place> {
        if let Some(place) = self.world(parent, frame.clone()).await {
            return Some(place);
        }
        let session = self.attach(TargetId::new(frame.inner().clone())).await?;
        self.world(&session, frame).await
    }

    async fn attach(&mut self, target: TargetId) -> Option<SessionId> {
        let attach = AttachToTargetParams { target_id: target, flatten: Some(true) };
        Some(self.ask(None, attach).await?.session_id)
    }

    async fn world(&mut self, session: &SessionId, frame: FrameId) -> Option<Place> {
        let mut world = CreateIsolatedWorldParams::new(frame);
        world.world_name = Some("crawlmesh frames".to_owned());
        let world = self.ask(Some(session), world).await?.execution_context_id;
        Some(Place { session: session.clone(), world })
    }

    /// Runs code in our world of a document. `bounded`: for no longer than a frame may take.
    async fn evaluate(&mut self, place: &Place, code: &str, bounded: bool) -> Option<EvaluateReturns> {
        let mut evaluate = EvaluateParams::new(code);
        evaluate.context_id = Some(place.world);
        evaluate.return_by_value = Some(true);
        let until = if bounded { self.limit() } else { self.deadline };
        self.ask_until(Some(&place.session), evaluate, until).await
    }

    /// Until when an answer that is asked for now is waited for.
    fn limit(&self) -> Instant {
        self.until.min(Instant::now() + self.limits.answer)
    }

    async fn ask<T: Command>(&mut self, session: Option<&SessionId>, command: T) -> Option<T::Response> {
        let until = self.limit();
        self.ask_until(session, command, until).await
    }

    async fn ask_until<T: Command>(
        &mut self,
        session: Option<&SessionId>,
        command: T,
        until: Instant,
    ) -> Option<T::Response> {
        if session.is_some_and(|session| self.hung.contains(session)) {
            return None;
        }
        let (method, params) = (command.identifier(), serde_json::to_value(command).ok()?);
        let id = self.wire.submit_command(method, session.cloned(), params).ok()?;
        let answer = async {
            loop {
                match self.wire.next().await? {
                    Ok(Message::Response(response)) if response.id == id => return response.result,
                    // Events, and answers that came too late.
                    Ok(_) | Err(CdpError::InvalidMessage(..)) => {}
                    Err(_) => return None,
                }
            }
        };
        let Ok(answer) = timeout_at(until, answer).await else {
            self.hung.extend(session.cloned());
            return None;
        };
        T::response_from_value(answer?).ok()
    }

    async fn object(&mut self, place: &Place, code: &str) -> Option<RemoteObjectId> {
        let mut evaluate = EvaluateParams::new(code);
        evaluate.context_id = Some(place.world);
        self.ask(Some(&place.session), evaluate).await?.result.object_id
    }
}

/// Lists the frames that a document cannot look into, those in open shadow roots and in frames of its own origin among them.
pub(super) const FOREIGN: &str = include_str!("js/foreign.js");
/// The content of a frame as HTML, unless it shows an error: of the site, of the browser, or of our own proxy, which refused it.
const INSIDE: &str = "(flatten, shadow, most) => {
    const [answer] = performance.getEntriesByType('navigation');
    const failed = location.protocol === 'chrome-error:' || (answer && answer.responseStatus >= 400);
    if (failed || !document.body) return null;
    const html = flatten(document.body, true, shadow, contents, true);
    return html.length > most ? null : html;
}";
