//! Starts auth services that share a database, a pepper and an authority, and calls them as the gateway does.

use std::{fmt::Debug, path::PathBuf, time::Duration};

use api::auth::v1::{self as pb, auth_service_client::AuthServiceClient};
use auth::Config;
use domain::{Scope, Service, TenantId};
use mesh::{Ca, Node, Principal, Shutdown, Task, client::Channel};
use tempfile::TempDir;
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};

pub(crate) type Client = AuthServiceClient<Channel>;

/// What outlives a restart.
pub(crate) struct World {
    pub(crate) config: Config,
    folder: TempDir,
    ca: Ca,
}

/// A service that is up.
pub(crate) struct Running {
    pub(crate) client: Client,
    shutdown: Shutdown,
    task: Task<anyhow::Result<()>>,
}

/// One world for each database.
pub(crate) fn worlds() -> Vec<World> {
    let both = store::testing::both().expect("both databases");
    both.into_iter().map(|(_, database)| World::new(database)).collect()
}

impl World {
    pub(crate) fn new(database: store::Config) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config =
            mesh::config::with::<Config>(toml::Table::new()).unwrap_or_else(|wrong| panic!("{wrong}"));
        config.server.listen = "127.0.0.1:0".to_owned();
        config.database = database;
        config.keys.pepper_file = folder.path().join("auth.pepper");
        config.bootstrap.admin_key_file = folder.path().join("admin.key");
        Self { config, folder, ca: Ca::generate().expect("an authority") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The admin key that the first start wrote.
    pub(crate) fn admin_key(&self) -> String {
        std::fs::read_to_string(self.path("admin.key")).expect("the admin key")
    }

    pub(crate) async fn start(&self) -> Running {
        let identity = self.ca.issue(Service::Auth).expect("an identity");
        let shutdown = Shutdown::new();
        let peers = self.config.peers.clone();
        let node = Node::bind(Service::Auth, &self.config.server, identity, peers, shutdown.clone());
        let node = node.await.expect("a free port");
        let gateway = self.ca.issue(Service::Gateway).expect("an identity");
        let address = node.addr().to_string();
        let channel = Channel::connect(Service::Auth, &address, &gateway, Duration::from_secs(2));
        let task = mesh::spawn("auth", auth::serve(self.config.clone(), node));
        let mut running = Running { client: AuthServiceClient::new(channel), shutdown, task };
        running.wait_ready().await;
        running
    }
}

impl Running {
    async fn wait_ready(&mut self) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.client.get_jwks(pb::GetJwksRequest {}).await.is_err() {
            assert!(!self.task.finished(), "the service ended");
            assert!(tokio::time::Instant::now() < patience, "the service did not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.begin();
        self.task.await.expect("no panic").expect("an orderly end");
    }

    /// Whom a credential stands for.
    pub(crate) async fn principal(&mut self, credential: &str) -> Result<Principal, Status> {
        let request = pb::AuthenticateRequest { credential: credential.to_owned() };
        let pb::Principal { tenant, subject, scopes, .. } =
            self.client.authenticate(request).await?.into_inner();
        Ok(Principal {
            tenant: TenantId::from_name(&tenant).expect("a tenant's name"),
            subject,
            scopes: scopes.iter().map(|scope| scope.parse().expect("a scope")).collect(),
        })
    }

    /// Creates a key with `scopes` as `creator`; returns it with its secret.
    pub(crate) async fn create(
        &mut self,
        creator: &Principal,
        scopes: &[Scope],
    ) -> Result<pb::CreateApiKeyResponse, Status> {
        let scopes = scopes.iter().map(ToString::to_string).collect();
        let api_key = pb::ApiKey { display_name: "test".to_owned(), scopes, ..pb::ApiKey::default() };
        self.create_as(creator, api_key).await
    }

    pub(crate) async fn create_as(
        &mut self,
        creator: &Principal,
        api_key: pb::ApiKey,
    ) -> Result<pb::CreateApiKeyResponse, Status> {
        let request = pb::CreateApiKeyRequest { api_key: Some(api_key) };
        Ok(self.client.create_api_key(by(creator, request)).await?.into_inner())
    }

    /// Creates a tenant; returns who may act for it.
    pub(crate) async fn tenant(&mut self, admin: &Principal, name: &str) -> Principal {
        let tenant = Some(pb::Tenant { display_name: name.to_owned(), ..pb::Tenant::default() });
        let request = by(admin, pb::CreateTenantRequest { tenant });
        let secret = self.client.create_tenant(request).await.expect("a tenant").into_inner().secret;
        self.principal(&secret).await.expect("its first key")
    }

    pub(crate) async fn revoke(&mut self, by_whom: &Principal, name: &str) -> Result<pb::ApiKey, Status> {
        let request = pb::RevokeApiKeyRequest { name: name.to_owned() };
        self.client.revoke_api_key(by(by_whom, request)).await.map(Response::into_inner)
    }

    pub(crate) async fn token(&mut self, api_key: &str) -> Result<pb::IssueTokenResponse, Status> {
        let request = pb::IssueTokenRequest { api_key: api_key.to_owned() };
        self.client.issue_token(request).await.map(Response::into_inner)
    }
}

/// A request on behalf of `principal`.
pub(crate) fn by<T>(principal: &Principal, message: T) -> Request<T> {
    let mut headers = http::HeaderMap::new();
    mesh::principal_headers(principal, &mut headers);
    let mut request = Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    request
}

/// Asserts how a call failed.
#[track_caller]
pub(crate) fn refused<T: Debug>(result: Result<T, Status>, code: Code, reason: &str) {
    let status = result.expect_err("it is refused");
    let told = (status.code(), mesh::error_reason(&status));
    assert_eq!(told, (code, Some(reason.to_owned())), "{}", status.message());
}
