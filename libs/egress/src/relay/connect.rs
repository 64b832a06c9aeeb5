//! A tunnel through an HTTP proxy: CONNECT (RFC 9110, section 9.3.6).
//!
//! Promises: reads the head of the answer and not a byte of what follows it.

use std::io;

use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Wire;
use crate::error::RelayFault;

/// Most bytes of the head of an answer.
const MAX_HEAD: usize = 16 * 1024;

/// Makes the connection to a proxy one to the target.
pub(super) async fn open(
    stream: &mut Wire,
    host: &str,
    port: u16,
    authorization: Option<HeaderValue>,
) -> Result<(), RelayFault> {
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let head = exchange(stream, &request).await.map_err(|_| RelayFault::Broken)?;
    judge(status(&head).ok_or(RelayFault::Broken)?)
}

/// What a status says about the tunnel.
fn judge(status: u16) -> Result<(), RelayFault> {
    match status {
        200..=299 => Ok(()),
        401 | 407 => Err(RelayFault::Credentials),
        // What proxies say of a target that they do not reach.
        408 | 500 | 502..=504 => Err(RelayFault::NoTarget),
        429 => Err(RelayFault::Busy),
        _ => Err(RelayFault::Refused),
    }
}

async fn exchange(stream: &mut Wire, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    // Byte by byte, since what comes after the head belongs to the target.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// The status in `HTTP/1.1 200 Connection established`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next().filter(|code| code.len() == 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_by_their_status() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(Ok(()))),
            ("HTTP/1.0 200\r\n\r\n", Some(Ok(()))),
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Some(Err(RelayFault::Credentials))),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", Some(Err(RelayFault::Refused))),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", Some(Err(RelayFault::NoTarget))),
            ("HTTP/2 200\r\n\r\n", None),
            ("SSH-2.0-OpenSSH\r\n\r\n", None),
            ("HTTP/1.1 2000 x\r\n\r\n", None),
            ("\r\n\r\n", None),
        ] {
            assert_eq!(status(head.as_bytes()).map(judge), expected, "{head}");
        }
    }
}
