//! Requests that are not made: kinds of resources that the job does not want, and ads. An image is answered with an empty one, so that
//! pages do not take it for broken; the rest fails.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chromiumoxide::cdp::browser_protocol::fetch::{
    ContinueRequestParams, EventRequestPaused, FailRequestParams, FulfillRequestParams, HeaderEntry,
    RequestId, RequestPattern,
};
use chromiumoxide::cdp::browser_protocol::network::{ErrorReason, ResourceType};
use chromiumoxide::cdp::browser_protocol::page::FrameId;
use chromiumoxide::{Binary, Page};

use super::ads::{Asked, Rules};
use super::options::Block;

/// A transparent GIF of one pixel.
const EMPTY_IMAGE: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x01D\0;";

/// A request that waits to be made.
#[derive(Debug, Clone)]
pub(super) struct Paused {
    /// By which it is answered.
    id: String,
    /// Its id in the events of the network.
    pub(super) request: Option<String>,
    method: String,
    url: String,
    kind: ResourceType,
    /// Whether it is for the page itself.
    main: bool,
}

impl Paused {
    /// As the browser tells of it.
    pub(super) fn of(event: &EventRequestPaused, main_frame: &FrameId) -> Self {
        Self {
            id: event.request_id.inner().clone(),
            request: event.network_id.as_ref().map(|id| id.inner().clone()),
            method: event.request.method.clone(),
            url: event.request.url.clone(),
            kind: event.resource_type.clone(),
            main: event.resource_type == ResourceType::Document && event.frame_id == *main_frame,
        }
    }
}

/// What a request gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It is made.
    Made,
    /// Not made: the job does not want its kind.
    Unwanted,
    /// Not made: an ad, by this rule.
    Ad(String),
}

/// Decides about the requests of a page.
pub(super) struct Blocker {
    kinds: Vec<ResourceType>,
    ads: Option<Arc<Rules>>,
}

impl Blocker {
    /// Blocks these kinds, and by these rules.
    pub(super) fn new(block: Block, ads: Option<Arc<Rules>>) -> Self {
        Self { kinds: kinds(block), ads }
    }

    /// What a request of the page at this URL gets.
    pub(super) fn rule(&self, paused: &Paused, page: &str) -> Ruling {
        if paused.main {
            return Ruling::Made;
        }
        if self.kinds.contains(&paused.kind) {
            return Ruling::Unwanted;
        }
        let asked = Asked { method: &paused.method, url: &paused.url, page, kind: &paused.kind };
        let ad = self.ads.as_ref().and_then(|ads| ads.against(asked));
        ad.map_or(Ruling::Made, Ruling::Ad)
    }
}

fn kinds(block: Block) -> Vec<ResourceType> {
    let kinds = [
        (block.images, ResourceType::Image),
        (block.media, ResourceType::Media),
        (block.fonts, ResourceType::Font),
        (block.stylesheets, ResourceType::Stylesheet),
    ];
    kinds.into_iter().filter(|(blocked, _)| *blocked).map(|(_, kind)| kind).collect()
}

/// Requests that are asked about before they are made: all of them where any may be an ad.
pub(super) fn patterns(block: Block) -> Vec<RequestPattern> {
    if block.ads {
        return vec![RequestPattern::default()];
    }
    let pattern = |kind| RequestPattern { resource_type: Some(kind), ..RequestPattern::default() };
    kinds(block).into_iter().map(pattern).collect()
}

/// Answers a request. If the tab is gone there is nobody to answer.
pub(super) async fn answer(page: Page, paused: Paused, ruling: Ruling) {
    let id = RequestId::from(paused.id);
    match (ruling, paused.kind) {
        (Ruling::Made, _) => {
            let _ = page.execute(ContinueRequestParams::new(id)).await;
        }
        (_, ResourceType::Image) => {
            let _ = page.execute(empty_image(id)).await;
        }
        _ => {
            let _ = page.execute(FailRequestParams::new(id, ErrorReason::BlockedByClient)).await;
        }
    }
}

fn empty_image(id: RequestId) -> FulfillRequestParams {
    let mut fulfil = FulfillRequestParams::new(id, 200);
    fulfil.body = Some(Binary::from(BASE64_STANDARD.encode(EMPTY_IMAGE)));
    // Pages that draw images into a canvas ask for them across origins.
    let header = |name: &str, value: &str| HeaderEntry::new(name, value);
    fulfil.response_headers =
        Some(vec![header("content-type", "image/gif"), header("access-control-allow-origin", "*")]);
    fulfil
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocked_kinds_are_asked_about() {
        assert!(patterns(Block::default()).is_empty());
        let kinds: Vec<_> =
            patterns(Block::TEXT).into_iter().filter_map(|pattern| pattern.resource_type).collect();
        assert_eq!(kinds, [ResourceType::Image, ResourceType::Media, ResourceType::Font]);
        let all = patterns(Block { ads: true, ..Block::TEXT });
        assert_eq!((all.len(), &all[0].resource_type), (1, &None));
    }

    #[test]
    fn the_page_itself_is_always_asked_for() {
        let blocker = Blocker::new(Block { ads: true, ..Block::TEXT }, None);
        let paused = |kind, main| Paused {
            id: "1".to_owned(),
            request: None,
            method: "GET".to_owned(),
            url: "https://a.example/".to_owned(),
            kind,
            main,
        };
        let rule = |kind, main| blocker.rule(&paused(kind, main), "https://a.example/");
        assert_eq!(rule(ResourceType::Document, true), Ruling::Made);
        assert_eq!(rule(ResourceType::Script, false), Ruling::Made);
        assert_eq!(rule(ResourceType::Font, false), Ruling::Unwanted);
    }
}
