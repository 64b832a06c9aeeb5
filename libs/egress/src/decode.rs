//! Content codings (RFC 9110, section 8.4): what a server may send, and how it is undone.
//!
//! One coding at most: nesting them is how bombs are built. What is not known is left as it is, as browsers do.

use std::io;
use std::pin::Pin;

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead};

use crate::FetchError;

/// What we say that we accept.
pub(crate) const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// The largest window of zstd on the web, 8 MiB (RFC 9659): it is memory that the sender chooses.
const ZSTD_WINDOW_LOG: u32 = 23;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// The coding of a response. Two of them are refused.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, FetchError> {
        let mut coding = Self::Identity;
        for value in headers.get_all(CONTENT_ENCODING) {
            for word in value.to_str().unwrap_or_default().split(',') {
                let next = match word.trim().to_ascii_lowercase().as_str() {
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    "br" => Self::Brotli,
                    "zstd" => Self::Zstd,
                    _ => continue,
                };
                if coding != Self::Identity {
                    return Err(FetchError::Protocol);
                }
                coding = next;
            }
        }
        Ok(coding)
    }

    /// Undoes the coding of `wire`. An empty body is empty in every coding.
    pub(crate) async fn decode<R>(self, mut wire: R) -> io::Result<Pin<Box<dyn AsyncRead + Send>>>
    where
        R: AsyncBufRead + Send + Unpin + 'static,
    {
        let start = wire.fill_buf().await?;
        if start.is_empty() {
            return Ok(Box::pin(tokio::io::empty()));
        }
        let zlib = is_zlib(start);
        Ok(match self {
            Self::Identity => Box::pin(wire),
            Self::Gzip => Box::pin(GzipDecoder::new(wire)),
            Self::Deflate if zlib => Box::pin(ZlibDecoder::new(wire)),
            Self::Deflate => Box::pin(DeflateDecoder::new(wire)),
            Self::Brotli => Box::pin(BrotliDecoder::new(wire)),
            Self::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                let mut decoder = ZstdDecoder::with_params(wire, &window);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        })
    }
}

/// "deflate" means zlib, but servers send raw deflate as well (RFC 1950, section 2.2: the check bits of the header).
fn is_zlib(start: &[u8]) -> bool {
    match start {
        [first, second, ..] => first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0,
        [first] => *first == 0x78,
        [] => false,
    }
}
