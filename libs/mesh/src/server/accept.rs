//! Connections: accepted, secured, identified and, at the end, closed.
//!
//! Handshakes run beside the accept loop, each with a limit, so that a slow or failing one holds up nobody. The member
//! behind a connection is read from its certificate once.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tracing::{debug, warn};

use super::{Caller, pipeline::Pipeline};
use crate::{config, error::chain, metrics, tls};

const MAX_CONNECTIONS: usize = 4_096;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// After an error of `accept` itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
const MAX_HEADERS: u32 = 64 << 10;
const WINDOW: u32 = 4 << 20;

/// Bounds of all connections.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    streams: u32,
    grace: Duration,
}

impl Limits {
    pub(super) fn new(config: &config::Server) -> Self {
        // Further than the calls at work, so that overload is refused instead of waiting unseen in the client, and so
        // that streams, which are no calls at work once they have begun, fit beside them.
        let streams = u32::try_from(config.max_concurrent_calls.saturating_mul(4)).unwrap_or(u32::MAX);
        Self { streams, grace: config.grace }
    }
}

/// Accepts until `stop`, then lets running calls finish within the grace. Returns how many connections had to be cut.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    pipeline: Arc<Pipeline>,
    limits: Limits,
    stop: CancellationToken,
) -> usize {
    let acceptor = TlsAcceptor::from(tls);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let (socket, slot) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(error = chain(&error), "cannot accept a connection");
                    sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let connection = Connection { acceptor: acceptor.clone(), pipeline: pipeline.clone(), limits };
        let stop = stop.clone();
        connections.spawn(async move {
            connection.run(socket, stop).await;
            drop(slot);
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    // Bound first: the future borrows the set.
    let finished = timeout(limits.grace, all).await.is_ok();
    let cut = if finished { 0 } else { connections.len() };
    connections.shutdown().await;
    cut
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (socket, _): (_, SocketAddr) = listener.accept().await?;
    Ok((socket, slot))
}

struct Connection {
    acceptor: TlsAcceptor,
    pipeline: Arc<Pipeline>,
    limits: Limits,
}

impl Connection {
    async fn run(self, socket: TcpStream, stop: CancellationToken) {
        // Small answers must not wait for more; an error means that the connection is gone.
        let _ = socket.set_nodelay(true);
        let secured = tokio::select! {
            () = stop.cancelled() => return,
            secured = timeout(HANDSHAKE, self.acceptor.accept(socket)) => secured,
        };
        match secured {
            Ok(Ok(stream)) => self.serve(stream, stop).await,
            Ok(Err(error)) => {
                metrics::handshake_failed("tls");
                debug!(error = chain(&error), "handshake failed");
            }
            Err(_) => {
                metrics::handshake_failed("timeout");
                debug!("handshake took too long");
            }
        }
    }

    async fn serve(self, stream: TlsStream<TcpStream>, stop: CancellationToken) {
        let caller = caller(&stream);
        let pipeline = self.pipeline;
        let service = service_fn(move |request: Request<Incoming>| {
            let pipeline = pipeline.clone();
            async move {
                Ok::<Response<Body>, std::convert::Infallible>(
                    pipeline.answer(caller, request.map(Body::new)).await,
                )
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams)
            .max_header_list_size(MAX_HEADERS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * 4)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(error = chain(&error), "connection broke");
        }
    }
}

/// The member behind a connection. The handshake has checked that the certificate is one of our authority.
fn caller(stream: &TlsStream<TcpStream>) -> Caller {
    let certificates = stream.get_ref().1.peer_certificates()?;
    match tls::member(certificates.first()?) {
        Ok(service) => Some(service),
        Err(error) => {
            metrics::handshake_failed("not_a_member");
            warn!(error = chain(&error), "a certificate of our authority names no member");
            None
        }
    }
}
