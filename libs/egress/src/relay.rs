//! Relays: proxies that callers bring, between us and the sites (HTTP, over TLS or not, and SOCKS).
//!
//! Promises: the relay's own address passes the same guard as a site's; a target that is known here to be forbidden is
//! not asked for; credentials go to the relay alone and are in no debug output; whatever the relay does, a connection
//! through it is there or refused within its time. Names are resolved by the relay, that is what many are used for; only SOCKS4
//! cannot, and gets an address that has passed the guard.

mod connect;
mod socks;
mod socks4;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use domain::{ProxyKind, ProxyServer};
use http::HeaderValue;
use tokio::time::timeout;
use tokio_util::either::Either;

pub(crate) use wire::Wire;

use crate::error::RelayFault;
use crate::{FetchError, Guard};

/// A proxy with the credentials for it. Cheap to clone; equal if it is the same one for the same user.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Relay(Arc<Parts>);

#[derive(PartialEq, Eq, Hash)]
struct Parts {
    server: ProxyServer,
    credentials: Option<Credentials>,
}

/// What a relay wants to know.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password, perhaps empty.
    pub password: String,
}

impl Relay {
    /// A relay. SOCKS5 takes user names and passwords of up to 255 bytes, SOCKS4 no password, HTTP no colon in a user name.
    #[must_use]
    pub fn new(server: ProxyServer, credentials: Option<Credentials>) -> Self {
        Self(Arc::new(Parts { server, credentials }))
    }

    /// Where it is.
    #[must_use]
    pub fn server(&self) -> &ProxyServer {
        &self.0.server
    }

    /// The user that it is asked as; empty if it is not told.
    #[must_use]
    pub fn username(&self) -> &str {
        self.0.credentials.as_ref().map_or("", |credentials| credentials.username.as_str())
    }

    /// Whether plain requests are given to it whole instead of through a tunnel.
    pub(crate) fn forwards(&self) -> bool {
        self.0.server.kind().http()
    }

    /// The value of `Proxy-Authorization` (RFC 7617).
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let Credentials { username, password } = self.0.credentials.as_ref()?;
        let pair = BASE64_STANDARD.encode(format!("{username}:{password}"));
        let mut value = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Connects to the relay itself, having checked the target of the request that it will get.
    pub(crate) async fn reach(
        &self,
        guard: &Guard,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> Result<Wire, FetchError> {
        // A name server that is silent must not keep what the relay could resolve from being fetched.
        timeout(limit, guard.check_far(host, port)).await.unwrap_or(Ok(()))?;
        let server = &self.0.server;
        let stream = guard.connect(server.host(), server.port(), limit).await.map_err(|error| {
            FetchError::Relay(match error {
                FetchError::NotAllowed => RelayFault::NotAllowed,
                FetchError::Dns { transient: false } => RelayFault::Unknown,
                _ => RelayFault::Unreachable,
            })
        })?;
        let _ = stream.set_nodelay(true);
        if server.kind() != ProxyKind::Https {
            return Ok(Either::Left(stream));
        }
        let secured = timeout(limit, wire::secure(stream, server.host(), guard.tls())).await;
        secured.unwrap_or(Err(RelayFault::Silent)).map_err(FetchError::Relay)
    }

    /// A connection to the target, through the relay.
    pub(crate) async fn tunnel(
        &self,
        guard: &Guard,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> Result<Wire, FetchError> {
        let mut stream = self.reach(guard, host, port, limit).await?;
        let handshake = self.shake_hands(&mut stream, guard, host, port);
        timeout(limit, handshake).await.unwrap_or(Err(FetchError::Relay(RelayFault::Silent)))?;
        Ok(stream)
    }

    async fn shake_hands(
        &self,
        stream: &mut Wire,
        guard: &Guard,
        host: &str,
        port: u16,
    ) -> Result<(), FetchError> {
        let kind = self.0.server.kind();
        let shaken = match kind {
            ProxyKind::Http | ProxyKind::Https => {
                connect::open(stream, host, port, self.authorization()).await
            }
            ProxyKind::Socks4 | ProxyKind::Socks4a => {
                let goal = socks4::Goal::of(host, port, kind == ProxyKind::Socks4a, guard).await?;
                socks4::open(stream, &goal, port, self.username()).await
            }
            ProxyKind::Socks5 => socks::open(stream, host, port, self.0.credentials.as_ref()).await,
        };
        shaken.map_err(FetchError::Relay)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("server", &self.0.server.to_string()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_sent_and_never_shown() {
        let server = ProxyServer::parse("http://proxy.example:3128").expect("because it is an address");
        let credentials = Credentials { username: "Aladdin".into(), password: "open sesame".into() };
        let relay = Relay::new(server, Some(credentials));
        // The example of RFC 7617.
        let value = relay.authorization().expect("because there are credentials");
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(value.is_sensitive());
        let shown = format!("{relay:?} {:?}", relay.0.credentials);
        assert!(shown.contains("proxy.example:3128"), "{shown}");
        assert!(!shown.contains("Aladdin") && !shown.contains("sesame"), "{shown}");
    }
}
