//! The connection to a relay, with TLS if it wants that. Its certificate counts as that of a site does.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::error::RelayFault;

/// Bytes to and from a site, or a relay.
pub(crate) type Wire = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// TLS over a connection to the relay `host`.
pub(super) async fn secure(
    stream: TcpStream,
    host: &str,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Wire, RelayFault> {
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (Some(tls), Ok(name)) = (tls, ServerName::try_from(bare)) else { return Err(RelayFault::Tls) };
    let secured = TlsConnector::from(tls.clone()).connect(name, stream).await;
    secured.map(|stream| Either::Right(Box::new(stream))).map_err(|error| {
        // What rustls says of a certificate comes as invalid data; the rest is a connection that broke.
        if error.kind() == std::io::ErrorKind::InvalidData { RelayFault::Tls } else { RelayFault::Broken }
    })
}
