//! The guard: which targets may be connected to, at which addresses, and which roots a proxy's certificate may have.
//!
//! Promises: one forbidden address among the answers refuses the name, so that a mixed answer gains nothing; what is
//! connected to is what was checked (a second lookup never happens in between).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::{AddressPolicy, PageUrl};
use futures::future::select_ok;
use ipnet::IpNet;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::{FetchError, Resolver, Stage, StartError};

/// Most addresses tried for one name.
const MAX_ADDRESSES: usize = 8;
/// How long an address is tried before the next one is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// The address policy together with the resolver it needs. Cheap to clone.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    policy: AddressPolicy,
    resolver: Resolver,
    /// For proxies that are spoken to over TLS.
    tls: Option<Arc<ClientConfig>>,
}

impl Guard {
    /// Guards by `policy`, looking names up with `resolver`.
    #[must_use]
    pub fn new(policy: AddressPolicy, resolver: Resolver) -> Self {
        Self(Arc::new(Inner { policy, resolver, tls: None }))
    }

    /// The same, with TLS for the proxies that want it: HTTP/1.1 is spoken to them.
    pub(crate) fn trusting(&self, mut tls: ClientConfig) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(Inner { tls: Some(Arc::new(tls)), ..(*self.0).clone() }))
    }

    /// TLS for proxies.
    pub(crate) fn tls(&self) -> Option<&Arc<ClientConfig>> {
        self.0.tls.as_ref()
    }

    /// The public Internet and the networks in `allow`, with the name servers of this machine.
    pub fn system(allow: Vec<IpNet>) -> Result<Self, StartError> {
        Ok(Self::new(AddressPolicy::new(allow), Resolver::system()?))
    }

    /// Refuses a URL that is forbidden whatever its name resolves to: IP literals, names that exist only inside.
    pub fn check_url(&self, url: &PageUrl) -> Result<(), FetchError> {
        self.check(url.as_url())
    }

    /// Whether this address may be connected to.
    #[must_use]
    pub fn allows(&self, ip: IpAddr) -> bool {
        self.0.policy.allows(ip)
    }

    /// The addresses to connect to. Fails if the host is forbidden, or if any of its addresses is.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, FetchError> {
        let host = parse_host(host).ok_or(FetchError::NotAllowed)?;
        let url = Url::parse(&format!("http://{host}/")).map_err(|_| FetchError::NotAllowed)?;
        self.check(&url)?;
        let mut addresses = match &host {
            Host::Ipv4(ip) => vec![IpAddr::V4(*ip)],
            Host::Ipv6(ip) => vec![IpAddr::V6(*ip)],
            Host::Domain(name) if is_localhost(name) => self.loopback(),
            Host::Domain(name) => self.0.resolver.lookup(name).await?,
        };
        if addresses.is_empty() || !addresses.iter().all(|ip| self.allows(*ip)) {
            tracing::debug!("a name with a forbidden address was refused");
            return Err(FetchError::NotAllowed);
        }
        addresses.sort_by_key(IpAddr::is_ipv6);
        addresses.truncate(MAX_ADDRESSES);
        Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }

    /// Checks a target that a proxy will connect to. Refused are what is forbidden whatever it resolves to, and a name
    /// that has a forbidden address here; a name that is unknown here is the proxy's to resolve.
    pub async fn check_far(&self, host: &str, port: u16) -> Result<(), FetchError> {
        match self.resolve(host, port).await {
            Ok(_) | Err(FetchError::Dns { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Connects to the host at one of its checked addresses, within `limit`.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> Result<TcpStream, FetchError> {
        let stream = tokio::time::timeout(limit, async {
            let addresses = self.resolve(host, port).await?;
            let tries = addresses.into_iter().zip(0u32..).map(|(address, before)| {
                Box::pin(async move {
                    tokio::time::sleep(HEAD_START * before).await;
                    TcpStream::connect(address).await
                })
            });
            select_ok(tries).await.map(|(stream, _)| stream).map_err(|_| FetchError::Connect)
        })
        .await
        .map_err(|_| FetchError::Timeout { stage: Stage::Connect })??;
        let peer = stream.peer_addr().map_err(|_| FetchError::Connect)?;
        if self.allows(peer.ip()) { Ok(stream) } else { Err(FetchError::NotAllowed) }
    }

    fn check(&self, url: &Url) -> Result<(), FetchError> {
        self.0.policy.check_url(url).map_err(|_| FetchError::NotAllowed)
    }

    /// `localhost` is ours by RFC 6761, whatever a name server says; only what is allowed of it counts.
    fn loopback(&self) -> Vec<IpAddr> {
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        both.into_iter().filter(|ip| self.allows(*ip)).collect()
    }
}

/// Reads a host as the URL parser does, so that the check and the connection see the same one. Brackets are optional.
fn parse_host(text: &str) -> Option<Host> {
    match text.parse::<Ipv6Addr>() {
        Ok(ip) => Some(Host::Ipv6(ip)),
        Err(_) => Host::parse(text).ok(),
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}
