//! Resources that are not loaded: an image is answered with an empty one, so that pages do not take it for broken; the rest fails.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chromiumoxide::cdp::browser_protocol::fetch::{
    FailRequestParams, FulfillRequestParams, HeaderEntry, RequestId,
};
use chromiumoxide::cdp::browser_protocol::network::ErrorReason;
use chromiumoxide::{Binary, Page};

/// A transparent GIF of one pixel.
const EMPTY_IMAGE: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x01D\0;";

/// Answers a request for a resource that is not loaded. If the tab is gone there is nobody to answer.
pub(super) async fn answer(page: Page, id: String, image: bool) {
    let id = RequestId::from(id);
    if !image {
        let _ = page.execute(FailRequestParams::new(id, ErrorReason::BlockedByClient)).await;
        return;
    }
    let mut fulfil = FulfillRequestParams::new(id, 200);
    fulfil.body = Some(Binary::from(BASE64_STANDARD.encode(EMPTY_IMAGE)));
    // Pages that draw images into a canvas ask for them across origins.
    let header = |name: &str, value: &str| HeaderEntry::new(name, value);
    fulfil.response_headers =
        Some(vec![header("content-type", "image/gif"), header("access-control-allow-origin", "*")]);
    let _ = page.execute(fulfil).await;
}
