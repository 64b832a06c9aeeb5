//! The embedded mesh: every service in this process, talking mTLS over loopback as they would across machines.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    future::Future,
    io::ErrorKind,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    time::Duration,
};

use anyhow::{Context as _, bail};
use domain::Service;
use mesh::{Config as _, Node, Shutdown, task::Task};
use queue::server::NatsServer;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::Plan;

/// How long the mesh may take until the gateway is ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a port that a service just gave up may stay taken.
const REBIND_TIMEOUT: Duration = Duration::from_secs(5);

type Serving = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

struct Running {
    shutdown: Shutdown,
    task: Task<anyhow::Result<()>>,
}

/// A mesh in this process. Dropping it ends it at once; [`Embedded::stop`] ends it in order.
pub struct Embedded {
    plan: Plan,
    ca: mesh::tls::Ca,
    running: BTreeMap<Service, Running>,
    /// Ports that are bound and not yet served: a service takes its own when it starts.
    ports: BTreeMap<Service, TcpListener>,
    public: Option<TcpListener>,
    nats: Option<NatsServer>,
    _lock: File,
}

impl Embedded {
    /// Starts a NATS server below the plan's data directory if the plan names none, then every service, and waits until
    /// the gateway is ready.
    pub async fn start(mut plan: Plan) -> anyhow::Result<Self> {
        mesh::tls::install_crypto_provider();
        plan.create_data_dir()
            .with_context(|| format!("create the data directory {}", plan.data.display()))?;
        let lock = lock(&plan.data)?;
        let nats = if plan.nats_url.is_empty() {
            let server = start_nats(&plan.data).await?;
            plan.nats_url = server.url();
            Some(server)
        } else {
            None
        };
        let ca = plan.ca()?;
        // Every port is bound before the first service starts, so that each can be told of all the others, and none is
        // taken by somebody else in between.
        let mut ports = BTreeMap::new();
        for service in Service::ALL {
            let at = plan.peers.get(service).copied().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
            let port = TcpListener::bind(at).await.with_context(|| format!("bind {service} to {at}"))?;
            plan.peers.insert(*service, port.local_addr()?);
            ports.insert(*service, port);
        }
        let at = plan.listen;
        let public = TcpListener::bind(at).await.with_context(|| format!("bind the public port to {at}"))?;
        plan.listen = public.local_addr()?;
        let mut mesh =
            Self { plan, ca, running: BTreeMap::new(), ports, public: Some(public), nats, _lock: lock };
        for service in Service::ALL {
            mesh.start_service(*service).await?;
        }
        mesh.wait_ready().await?;
        Ok(mesh)
    }

    /// Address of the public port.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.plan.listen)
    }

    /// What this mesh was started from, with the addresses that it got.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The certificate authority of this mesh.
    #[must_use]
    pub fn ca(&self) -> &mesh::tls::Ca {
        &self.ca
    }

    /// The NATS server that this mesh started, if it did.
    pub fn nats(&mut self) -> Option<&mut NatsServer> {
        self.nats.as_mut()
    }

    /// A connection to the queue as the job service has it, to see whether it can be used.
    pub async fn queue(&self) -> anyhow::Result<queue::Bus> {
        let config: job::Config = self.plan.config()?;
        queue::Bus::connect(&config.queue, "up").await.context("connect to the queue")
    }

    /// Starts one service that is not running, at the address it has in the plan.
    pub async fn start_service(&mut self, service: Service) -> anyhow::Result<()> {
        let shutdown = Shutdown::new();
        let serving =
            self.serving(service, shutdown.clone()).await.with_context(|| format!("start {service}"))?;
        let task = mesh::spawn(service.as_str(), serving);
        self.running.insert(service, Running { shutdown, task });
        Ok(())
    }

    /// Stops one service: in order, or with `abort` between any two of its awaits, as a crash would.
    pub async fn stop_service(&mut self, service: Service, abort: bool) -> anyhow::Result<()> {
        let Some(running) = self.running.remove(&service) else { return Ok(()) };
        if abort {
            running.task.abort();
            // Its port is free when it is gone; that it did not end in order is what was asked for.
            let _aborted = running.task.await;
            return Ok(());
        }
        running.shutdown.begin();
        running
            .task
            .await
            .with_context(|| format!("join {service}"))?
            .with_context(|| format!("stop {service}"))
    }

    /// Ends when a service ends by itself, with its name and why: a mesh that lacks one is not a mesh.
    pub async fn failed(&mut self) -> anyhow::Error {
        let tasks = self.running.iter_mut().map(|(service, running)| {
            Box::pin(async move {
                match (&mut running.task).await {
                    Ok(Ok(())) => anyhow::anyhow!("{service} ended"),
                    Ok(Err(error)) => error.context(format!("{service} failed")),
                    Err(error) => anyhow::Error::from(error).context(format!("{service} failed")),
                }
            })
        });
        futures::future::select_all(tasks).await.0
    }

    /// Stops the gateway first, then what it stands on; NATS last.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for service in [
            Service::Gateway,
            Service::Crawler,
            Service::Webhook,
            Service::Job,
            Service::Result,
            Service::Auth,
        ] {
            self.stop_service(service, false).await?;
        }
        Ok(())
    }

    async fn serving(&mut self, service: Service, shutdown: Shutdown) -> anyhow::Result<Serving> {
        let identity = self.ca.issue(service)?;
        let listener = match self.ports.remove(&service) {
            Some(port) => port,
            None => bind_again(self.plan.peers[&service]).await?,
        };
        macro_rules! serve {
            ($service:ident, $serve:expr) => {{
                let config: $service::Config = self.plan.config()?;
                let peers = config.peers().clone();
                let node = Node { service, listener, admin: None, shutdown, identity, peers };
                Ok(Box::pin($serve(config, node)))
            }};
        }
        match service {
            Service::Auth => serve!(auth, auth::serve),
            Service::Job => serve!(job, job::serve),
            Service::Crawler => serve!(crawler, crawler::serve),
            Service::Result => serve!(result, result::serve),
            Service::Webhook => serve!(webhook, webhook::serve),
            Service::Gateway => {
                let public = match self.public.take() {
                    Some(port) => port,
                    None => bind_again(self.plan.listen).await?,
                };
                serve!(gateway, |config, node| gateway::serve_on(config, node, public))
            }
        }
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let url = self.url();
        let deadline = Instant::now() + START_TIMEOUT;
        let ready = async {
            while Instant::now() < deadline {
                if crate::command::client::ready(&url).await {
                    return Ok(());
                }
                sleep(Duration::from_millis(20)).await;
            }
            bail!("the gateway was not ready within {START_TIMEOUT:?}");
        };
        tokio::select! {
            ready = ready => ready,
            error = self.failed() => Err(error),
        }
    }
}

/// Binds the port of a service that ran before. Its last connections may take a moment to go.
async fn bind_again(at: SocketAddr) -> anyhow::Result<TcpListener> {
    let deadline = Instant::now() + REBIND_TIMEOUT;
    loop {
        match TcpListener::bind(at).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            result => return result.with_context(|| format!("bind {at} again")),
        }
    }
}

/// Keeps a second mesh off the same files. The lock goes with the process.
fn lock(data: &Path) -> anyhow::Result<File> {
    let path = data.join("lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another crawlmesh is using the data directory {}", data.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

async fn start_nats(data: &Path) -> anyhow::Result<NatsServer> {
    let binary = queue::server::find_server(None).context(
        "no nats-server found; install it (Debian, Ubuntu: apt-get install nats-server) or name a running one with --nats-url",
    )?;
    NatsServer::start(&binary, &data.join("nats"), 0).await.context("start nats-server")
}
