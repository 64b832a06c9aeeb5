//! Sends documents and artifacts to the result service.
//!
//! Promises: storing twice is storing once (the result service keys by page and fences by dispatch); a result service that
//! is away is asked again with back-off until `store_timeout` is over, and then it is our fault, not the page's.

use std::time::Duration;

use api::result::v1 as pb;
use api::result::v1::recall_page_response::Part as RecalledPart;
use api::result::v1::result_service_client::ResultServiceClient;
use api::result::v1::store_page_request::{Chunk, Header, Part};
use bytes::{Bytes, BytesMut};
use mesh::client::Channel;
use tonic::Code;

use crate::cache::Recalled;
use crate::persist::persist;

/// Bytes of an artifact in one message.
const CHUNK: usize = 256 * 1024;

/// Most HTML of a stored page that is used again.
const MAX_RECALLED: usize = 64 << 20;

/// Why a page is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The document or an artifact is larger than the result service takes.
    #[error("the document is too large to keep")]
    TooLarge,
    /// The result service is away, or refuses us.
    #[error("the result service is away")]
    Away,
}

/// A page to keep.
pub(crate) struct Parcel {
    /// What comes first; its document announces the artifacts.
    pub(crate) header: Header,
    /// The bytes of the artifacts, in the order announced.
    pub(crate) artifacts: Vec<(&'static str, Bytes)>,
}

/// The result service, as crawlers use it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Results {
    client: ResultServiceClient<Channel>,
    timeout: Duration,
    max_message: usize,
}

impl Results {
    /// Stores at the result service behind `channel`. A document must fit into `max_message` bytes.
    pub(crate) fn new(channel: Channel, timeout: Duration, max_message: usize) -> Self {
        let client = ResultServiceClient::new(channel).max_encoding_message_size(max_message);
        Self { client, timeout, max_message }
    }

    /// The page that was last stored under a key. A result service that is away has none: the page is fetched.
    pub(crate) async fn recall(&self, tenant: String, key: [u8; 32]) -> Option<Recalled> {
        let request = pb::RecallPageRequest { tenant, cache_key: key.to_vec() };
        let mut client = self.client.clone();
        let ask = async {
            let mut parts = client.recall_page(request).await?.into_inner();
            let (mut known, mut html) = (None, BytesMut::new());
            while let Some(part) = parts.message().await? {
                match part.part {
                    Some(RecalledPart::Document(document)) => known = Some(document),
                    Some(RecalledPart::Html(piece)) if html.len() + piece.len() <= MAX_RECALLED => {
                        html.extend(piece)
                    }
                    Some(RecalledPart::Html(_)) | None => return Ok(None),
                }
            }
            Ok::<_, tonic::Status>(known.and_then(|document| Recalled::new(document, html.freeze())))
        };
        match tokio::time::timeout(self.timeout, ask).await {
            Ok(Ok(recalled)) => recalled,
            Ok(Err(status)) if status.code() == Code::NotFound => None,
            Ok(Err(status)) => {
                tracing::debug!(code = %status.code(), "no page from the cache");
                None
            }
            Err(_) => None,
        }
    }

    /// Keeps a page. `false`: a later dispatch of it has been kept before.
    pub(crate) async fn store(&self, parcel: &Parcel) -> Result<bool, Error> {
        if prost::Message::encoded_len(&parcel.header) >= self.max_message {
            return Err(Error::TooLarge);
        }
        let call = || {
            let (mut client, parts) = (self.client.clone(), tokio_stream::iter(parts(parcel)));
            async move { client.store_page(parts).await }
        };
        let answer = persist("store page", self.timeout, too_large, call).await;
        answer.map(|answer| answer.stored).map_err(|refused| match refused {
            Some(_) => Error::TooLarge,
            None => Error::Away,
        })
    }
}

fn too_large(status: &tonic::Status) -> bool {
    status.code() == Code::ResourceExhausted && !overloaded(status)
}

fn overloaded(status: &tonic::Status) -> bool {
    mesh::error_reason(status).is_some_and(|reason| reason == "OVERLOADED")
}

fn parts(parcel: &Parcel) -> Vec<pb::StorePageRequest> {
    let request = |part| pb::StorePageRequest { part: Some(part) };
    let mut parts = vec![request(Part::Header(parcel.header.clone()))];
    for (kind, bytes) in &parcel.artifacts {
        let chunk = |data: &[u8]| Part::Chunk(Chunk { kind: (*kind).to_owned(), data: data.to_vec() });
        parts.extend(bytes.chunks(CHUNK).map(|data| request(chunk(data))));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_cut_into_chunks_in_order() {
        let artifacts =
            vec![("html", Bytes::from(vec![1; CHUNK + 1])), ("screenshot", Bytes::from_static(b"png"))];
        let parts = parts(&Parcel { header: Header::default(), artifacts });
        let shape: Vec<(String, usize)> = parts
            .into_iter()
            .map(|part| match part.part {
                Some(Part::Header(_)) => ("header".to_owned(), 0),
                Some(Part::Chunk(chunk)) => (chunk.kind, chunk.data.len()),
                None => ("nothing".to_owned(), 0),
            })
            .collect();
        let expected = [("header", 0), ("html", CHUNK), ("html", 1), ("screenshot", 3)];
        assert_eq!(shape, expected.map(|(kind, size)| (kind.to_owned(), size)));
    }
}
