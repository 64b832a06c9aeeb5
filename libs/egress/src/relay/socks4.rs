//! A tunnel through a SOCKS4 proxy, which takes an IPv4 address, or with 4a a name to resolve itself. It knows a user, and no password.
//!
//! Promises: nothing that follows its answer is read.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Wire;
use crate::error::RelayFault;
use crate::{FetchError, Guard};

const VERSION: u8 = 4;
const CONNECT: u8 = 1;
/// An address that says: the name comes after the user (4a).
const NAMED: Ipv4Addr = Ipv4Addr::new(0, 0, 0, 1);

/// Where a SOCKS4 proxy is to connect to.
pub(super) enum Goal {
    Address(Ipv4Addr),
    Name(String),
}

impl Goal {
    /// The host as it is, if the proxy resolves names; else one of its addresses, all of which have passed the guard.
    pub(super) async fn of(host: &str, port: u16, named: bool, guard: &Guard) -> Result<Self, FetchError> {
        if let Ok(ip) = host.parse() {
            return Ok(Self::Address(ip));
        }
        // It has no form for IPv6.
        let refused = FetchError::Relay(RelayFault::Refused);
        if host.starts_with('[') {
            return Err(refused);
        }
        if named {
            return Ok(Self::Name(host.to_owned()));
        }
        let addresses = guard.resolve(host, port).await?;
        let ipv4 = addresses.iter().find_map(|address| match address {
            SocketAddr::V4(address) => Some(*address.ip()),
            SocketAddr::V6(_) => None,
        });
        ipv4.map(Self::Address).ok_or(refused)
    }
}

/// Makes the connection to a proxy one to the target.
pub(super) async fn open(stream: &mut Wire, goal: &Goal, port: u16, user: &str) -> Result<(), RelayFault> {
    let exchange = async {
        stream.write_all(&request(goal, port, user)).await?;
        stream.flush().await?;
        let mut reply = [0; 8];
        stream.read_exact(&mut reply).await?;
        std::io::Result::Ok(reply)
    };
    match exchange.await.map_err(|_| RelayFault::Broken)? {
        [0, code, ..] => judge(code),
        _ => Err(RelayFault::Broken),
    }
}

fn request(goal: &Goal, port: u16, user: &str) -> Vec<u8> {
    let (address, name) = match goal {
        Goal::Address(address) => (*address, None),
        Goal::Name(name) => (NAMED, Some(name)),
    };
    let mut request = vec![VERSION, CONNECT];
    request.extend_from_slice(&port.to_be_bytes());
    request.extend_from_slice(&address.octets());
    for text in [Some(user), name.map(String::as_str)].into_iter().flatten() {
        request.extend_from_slice(text.as_bytes());
        request.push(0);
    }
    request
}

/// What a reply says about the tunnel.
const fn judge(reply: u8) -> Result<(), RelayFault> {
    match reply {
        90 => Ok(()),
        // It does not say whether it will not or cannot.
        91 => Err(RelayFault::NoTarget),
        92 | 93 => Err(RelayFault::Credentials),
        _ => Err(RelayFault::Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_written_as_what_they_are() {
        let address = Goal::Address(Ipv4Addr::new(1, 2, 3, 4));
        assert_eq!(request(&address, 443, "u"), [4, 1, 1, 187, 1, 2, 3, 4, b'u', 0]);
        let name = Goal::Name("a.b".to_owned());
        assert_eq!(request(&name, 80, ""), [4, 1, 0, 80, 0, 0, 0, 1, 0, b'a', b'.', b'b', 0]);
    }
}
