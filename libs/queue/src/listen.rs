//! Wake-ups over core NATS: hints, never the truth. Lost ones cost only time.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::Stream;

/// The payloads sent to one topic. Goes on by itself after a reconnect; hints sent meanwhile are lost.
///
/// Buffers [`crate::subjects::SUBSCRIPTION_CAPACITY`] hints for a slow reader and drops the rest.
#[derive(Debug)]
pub struct Listener(pub(crate) async_nats::Subscriber);

impl Stream for Listener {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Pin::new(&mut self.0).poll_next(cx).map(|message| message.map(|m| m.payload))
    }
}
