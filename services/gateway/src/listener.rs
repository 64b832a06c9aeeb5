//! The public port: HTTP/1.1 and HTTP/2 in the clear or over TLS, with a limit on everything a client may hold.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use mesh::{Config as _, Shutdown};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{
    config::{Config, Public, bytes},
    edge::Edge,
    metrics,
};

/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// Streams that a client may open and reset before we look at them (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// An HTTP/2 connection without a sign of life is asked for one after this, and closed if none comes.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(10);
/// After an error of `accept` itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// The public port.
pub(crate) struct Listener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    connection: Connection,
    max_connections: usize,
    drain_delay: Duration,
    grace: Duration,
    shutdown: Shutdown,
}

/// What each connection needs.
#[derive(Clone)]
struct Connection {
    edge: Arc<Edge>,
    http: Builder<TokioExecutor>,
    header_timeout: Duration,
    /// No further request.
    finish: CancellationToken,
    /// Not even the rest of an answer.
    cut: CancellationToken,
}

impl Listener {
    /// Reads the certificate, if there is one.
    pub(crate) fn new(
        listener: TcpListener,
        edge: Arc<Edge>,
        config: &Config,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let public = &config.public;
        let tls =
            if public.secured() { Some(tls(&public.tls_cert_file, &public.tls_key_file)?) } else { None };
        Ok(Self {
            listener,
            tls,
            connection: Connection {
                edge,
                http: http(public),
                header_timeout: public.header_timeout,
                finish: CancellationToken::new(),
                cut: CancellationToken::new(),
            },
            max_connections: public.max_connections,
            drain_delay: config.server().drain_delay,
            grace: config.server().grace,
            shutdown,
        })
    }

    /// Serves until the shutdown begins: then, after `drain_delay`, the port closes and running requests finish within
    /// `grace`; what is left is cut.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let open = TaskTracker::new();
        tokio::select! {
            () = self.drained() => {}
            never = self.accept(&open) => match never {},
        }
        let Self { listener, connection, grace, .. } = self;
        drop(listener);
        connection.finish.cancel();
        open.close();
        if timeout(grace, open.wait()).await.is_err() {
            warn!(connections = open.len(), "connections are cut");
            connection.cut.cancel();
            open.wait().await;
        }
        Ok(())
    }

    async fn drained(&self) {
        self.shutdown.begun().await;
        sleep(self.drain_delay).await;
    }

    /// Accepts for ever. A connection has its slot before it is accepted, so that the kernel's queue holds the rest.
    async fn accept(&self, open: &TaskTracker) -> std::convert::Infallible {
        let slots = Arc::new(Semaphore::new(self.max_connections));
        loop {
            let slot = slots.clone().acquire_owned().await;
            let socket = match self.listener.accept().await {
                Ok((socket, _)) => socket,
                Err(error) => {
                    warn!(error = %error, "cannot accept a connection");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let (connection, tls) = (self.connection.clone(), self.tls.clone());
            let serving = open.track_future(async move {
                connection.run(socket, tls).await;
                drop(slot);
            });
            mesh::spawn("connection", serving).detach();
        }
    }
}

impl Connection {
    async fn run(self, socket: TcpStream, tls: Option<TlsAcceptor>) {
        // Small answers must not wait for more; an error means that the connection is gone.
        let _ = socket.set_nodelay(true);
        let Some(tls) = tls else { return self.serve(socket).await };
        let secured = tokio::select! {
            () = self.finish.cancelled() => return,
            secured = timeout(self.header_timeout, tls.accept(socket)) => secured,
        };
        match secured {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => {
                metrics::connection_closed("tls");
                debug!(error = %error, "handshake failed");
            }
            Err(_) => metrics::connection_closed("tls_timeout"),
        }
    }

    async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let spoken = Arc::new(AtomicBool::new(false));
        let (edge, first) = (self.edge, spoken.clone());
        let service = service_fn(move |request| {
            first.store(true, Ordering::Relaxed);
            edge.clone().serve(request)
        });
        let serving = self.http.serve_connection(TokioIo::new(stream), service).into_owned();
        tokio::pin!(serving);
        // hyper's own limit begins once it knows the version of HTTP: until the first request, ours counts.
        let silence = sleep(self.header_timeout);
        tokio::pin!(silence);
        let (mut silent, mut finishing) = (true, false);
        loop {
            tokio::select! {
                ended = &mut serving => {
                    if let Err(error) = ended {
                        debug!(error, "connection broke");
                    }
                    return;
                }
                () = &mut silence, if silent => {
                    silent = false;
                    if !spoken.load(Ordering::Relaxed) {
                        return metrics::connection_closed("silent");
                    }
                }
                () = self.finish.cancelled(), if !finishing => {
                    finishing = true;
                    serving.as_mut().graceful_shutdown();
                }
                () = self.cut.cancelled() => return,
            }
        }
    }
}

fn http(public: &Public) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let head = bytes(public.max_header_bytes);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(public.header_timeout)
        .max_buf_size(head)
        .max_headers(public.max_headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    builder
}

fn tls(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{} holds no PEM certificates", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_slice(&read(key)?)
        .with_context(|| format!("{} holds no PEM key", key.display()))?;
    mesh::install_crypto_provider();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("use public.tls_cert_file with public.tls_key_file")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
