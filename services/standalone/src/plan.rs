//! The plan of a mesh on one machine: which service listens where, keeps its files where, and trusts whom.
//!
//! One plan serves both ways to run it: in one process ([`crate::embedded`]) and as six (`crawlmesh plan`, which
//! writes a configuration file and a certificate for each).

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use domain::Service;
use toml::{Table, Value};

/// A mesh on one machine.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where everything is kept: databases, documents, keys, certificates, the queue.
    pub data: PathBuf,
    /// Address of the public port.
    pub listen: SocketAddr,
    /// Addresses of the services, the gateway's mesh port included.
    pub peers: BTreeMap<Service, SocketAddr>,
    /// Address of NATS.
    pub nats_url: String,
    /// Databases: `None` for SQLite files in `data`, or the URL of a Postgres server without a database name. Each service
    /// then has the database `{prefix}_{service}`.
    pub postgres: Option<String>,
    /// Sets this mesh apart from others on the same NATS or Postgres server.
    pub prefix: String,
    /// Networks that may be crawled although the address policy forbids them.
    pub allow_targets: Vec<String>,
    /// Where the first admin key goes. `None`: it is printed.
    pub admin_key_file: Option<PathBuf>,
    /// Chromium's own sandbox. It does not work as root.
    pub browser_sandbox: bool,
    /// Settings that win over those of the plan, by service.
    pub overlays: BTreeMap<Service, Table>,
    /// Variables such as `JOB__DATABASE__URL`, which win over everything else in a mesh of one process.
    pub env: Vec<(String, String)>,
}

impl Plan {
    /// A plan for `data`, on free ports, with SQLite.
    pub fn new(data: &Path, listen: SocketAddr, nats_url: impl Into<String>) -> Self {
        Self {
            data: data.to_owned(),
            listen,
            peers: BTreeMap::new(),
            nats_url: nats_url.into(),
            postgres: None,
            prefix: "crawlmesh".into(),
            allow_targets: Vec::new(),
            admin_key_file: None,
            browser_sandbox: true,
            overlays: BTreeMap::new(),
            env: Vec::new(),
        }
    }

    /// The settings of one service, over its defaults.
    #[must_use]
    pub fn settings(&self, service: Service) -> Table {
        let mut table = Table::new();
        let mut set = |path: &str, value: Value| insert(&mut table, path, value);

        if let Some(addr) = self.peers.get(&service) {
            set("server.listen", addr.to_string().into());
        }
        for (peer, addr) in &self.peers {
            if *peer != Service::Gateway {
                set(&format!("peers.{peer}"), addr.to_string().into());
            }
        }
        let targets = Value::Array(self.allow_targets.iter().map(|net| net.as_str().into()).collect());
        let file = |name: &str| Value::from(self.data.join(name).display().to_string());
        if matches!(service, Service::Auth | Service::Job | Service::Result | Service::Webhook) {
            set("database.url", self.database(service).into());
        }
        if matches!(service, Service::Job | Service::Crawler | Service::Webhook) {
            set("queue.url", self.nats_url.as_str().into());
            set("queue.prefix", self.prefix.as_str().into());
        }
        match service {
            Service::Gateway => set("public.listen", self.listen.to_string().into()),
            Service::Auth => {
                set("keys.pepper_file", file("auth.pepper"));
                if let Some(path) = &self.admin_key_file {
                    set("bootstrap.admin_key_file", path.display().to_string().into());
                }
            }
            Service::Job => set("targets.allow", targets),
            Service::Crawler => {
                set("egress.allow_targets", targets);
                set("browser.work_dir", file("browser"));
                set("browser.sandbox", self.browser_sandbox.into());
            }
            Service::Result => {
                set("objects.url", file("documents"));
                set("sessions.key_file", file("result.key"));
            }
            Service::Webhook => {
                set("egress.allow_targets", targets);
                set("secrets.key_file", file("webhook.key"));
            }
        }
        if let Some(overlay) = self.overlays.get(&service) {
            merge(&mut table, overlay);
        }
        table
    }

    /// The settings of a service that runs in this process.
    pub(crate) fn config<C: mesh::Config>(&self) -> Result<C, mesh::config::Invalid> {
        mesh::config::with_env(self.settings(C::SERVICE), self.env.iter().cloned())
    }

    fn database(&self, service: Service) -> String {
        match &self.postgres {
            Some(server) => format!("{}/{}_{service}", server.trim_end_matches('/'), self.prefix),
            None => format!("sqlite://{}", self.data.join(format!("{service}.db")).display()),
        }
    }

    /// Makes the data directory, readable by its owner only.
    pub fn create_data_dir(&self) -> io::Result<()> {
        fs::create_dir_all(&self.data)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&self.data, fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    }

    /// The certificate authority of this mesh, made at the first call.
    pub fn ca(&self) -> anyhow::Result<mesh::tls::Ca> {
        self.create_data_dir()
            .with_context(|| format!("create the data directory {}", self.data.display()))?;
        mesh::tls::Ca::load_or_create(&self.data.join("tls")).context("open the certificate authority")
    }

    /// Writes `{service}.toml`, `{service}.crt` and `{service}.key` for each service into `folder`, for processes of their own.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let ca = self.ca()?;
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        for service in Service::ALL {
            ca.issue(*service)?.write(folder, service.as_str())?;
            let mut table = self.settings(*service);
            for (key, file) in [
                ("ca_file", "ca.crt".to_owned()),
                ("cert_file", format!("{service}.crt")),
                ("key_file", format!("{service}.key")),
            ] {
                insert(&mut table, &format!("tls.{key}"), folder.join(file).display().to_string().into());
            }
            let path = folder.join(format!("{service}.toml"));
            fs::write(&path, toml::to_string(&table)?)
                .with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

fn insert(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// Lays `overlay` over `table`, key by key.
pub fn merge(table: &mut Table, overlay: &Table) {
    for (key, value) in overlay {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => merge(inner, over),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_wins_key_by_key() {
        let mut table: Table = toml::from_str("[a]\nx = 1\ny = 2").expect("because it is TOML");
        merge(&mut table, &toml::from_str("[a]\ny = 3\n[b]\nz = 4").expect("because it is TOML"));
        assert_eq!(table, toml::from_str("[a]\nx = 1\ny = 3\n[b]\nz = 4").expect("because it is TOML"));
    }
}
