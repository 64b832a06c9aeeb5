//! A tunnel through a SOCKS5 proxy (RFC 1928), with a user name and password if there are any (RFC 1929).
//!
//! Promises: names are given to the proxy as names; nothing that follows its answer is read.

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Credentials, Wire};
use crate::error::RelayFault;

const VERSION: u8 = 5;
const NO_CREDENTIALS: u8 = 0;
const PASSWORD: u8 = 2;
const PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Makes the connection to a proxy one to the target.
pub(super) async fn open(
    stream: &mut Wire,
    host: &str,
    port: u16,
    credentials: Option<&Credentials>,
) -> Result<(), RelayFault> {
    greet(stream, credentials).await?;
    let request = request(host, port).ok_or(RelayFault::Refused)?;
    stream.write_all(&request).await.map_err(broken)?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(broken)?;
    let [version, reply, _, kind] = head;
    if version != VERSION {
        return Err(RelayFault::Broken);
    }
    judge(reply)?;
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(stream.read_u8().await.map_err(broken)?),
        _ => return Err(RelayFault::Broken),
    };
    // Where the proxy connects from: of no interest, but in the way.
    let mut bound = [0; 255 + 2];
    stream.read_exact(&mut bound[..length + 2]).await.map_err(broken)?;
    Ok(())
}

/// Agrees on how to log in, and does so.
async fn greet(stream: &mut Wire, credentials: Option<&Credentials>) -> Result<(), RelayFault> {
    let greeting: &[u8] = match credentials {
        None => &[VERSION, 1, NO_CREDENTIALS],
        Some(_) => &[VERSION, 2, NO_CREDENTIALS, PASSWORD],
    };
    stream.write_all(greeting).await.map_err(broken)?;
    let mut choice = [0; 2];
    stream.read_exact(&mut choice).await.map_err(broken)?;
    match (choice, credentials) {
        ([VERSION, NO_CREDENTIALS], _) => Ok(()),
        ([VERSION, PASSWORD], Some(credentials)) => {
            let login = login(credentials).ok_or(RelayFault::Credentials)?;
            stream.write_all(&login).await.map_err(broken)?;
            let mut answer = [0; 2];
            // A proxy that hangs up here has said what it thinks of the password, too.
            stream.read_exact(&mut answer).await.map_err(|_| RelayFault::Credentials)?;
            if answer[1] == 0 { Ok(()) } else { Err(RelayFault::Credentials) }
        }
        ([VERSION, _], _) => Err(RelayFault::Credentials),
        _ => Err(RelayFault::Broken),
    }
}

fn login(Credentials { username, password }: &Credentials) -> Option<Vec<u8>> {
    let mut login = vec![PASSWORD_VERSION, u8::try_from(username.len()).ok()?];
    login.extend_from_slice(username.as_bytes());
    login.push(u8::try_from(password.len()).ok()?);
    login.extend_from_slice(password.as_bytes());
    Some(login)
}

fn request(host: &str, port: u16) -> Option<Vec<u8>> {
    let mut request = vec![VERSION, CONNECT, 0];
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<Ipv6Addr>().map(IpAddr::V6).or_else(|_| host.parse()) {
        Ok(IpAddr::V4(ip)) => {
            request.push(IPV4);
            request.extend_from_slice(&ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            request.push(IPV6);
            request.extend_from_slice(&ip.octets());
        }
        Err(_) => {
            request.extend_from_slice(&[NAME, u8::try_from(host.len()).ok()?]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    Some(request)
}

/// What a reply says about the tunnel (RFC 1928, section 6).
const fn judge(reply: u8) -> Result<(), RelayFault> {
    match reply {
        0 => Ok(()),
        // Not allowed by its rules; a command or an address that it does not know.
        2 | 7 | 8 => Err(RelayFault::Refused),
        _ => Err(RelayFault::NoTarget),
    }
}

fn broken(_: io::Error) -> RelayFault {
    RelayFault::Broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_written_as_what_they_are() {
        let request = |host: &str| request(host, 443).expect("because it fits");
        assert_eq!(request("1.2.3.4"), [5, 1, 0, 1, 1, 2, 3, 4, 1, 187]);
        assert_eq!(request("a.b"), [5, 1, 0, 3, 3, b'a', b'.', b'b', 1, 187]);
        for host in ["[::1]", "::1"] {
            assert_eq!(&request(host)[..4], [5, 1, 0, 4]);
        }
        assert_eq!(super::request(&"a".repeat(256), 1), None);
    }

    #[test]
    fn credentials_have_their_longest() {
        let login = |username: &str, password: &str| {
            login(&Credentials { username: username.into(), password: password.into() })
        };
        assert_eq!(login("u", "").as_deref(), Some(&[1, 1, b'u', 0][..]));
        assert_eq!(login(&"u".repeat(256), ""), None);
    }
}
