//! Starts result services on a database and a folder, and calls them as crawlers and the gateway do.

use std::{fmt::Debug, path::PathBuf, time::Duration};

use api::{
    google::api::HttpBody,
    job::v1::page,
    result::v1::{
        self as pb, result_service_client::ResultServiceClient, session_service_client::SessionServiceClient,
        store_page_request::Part,
    },
};
use domain::{JobId, PageId, Scope, Service, TenantId, id::page_name};
use mesh::{Ca, Node, Principal, Shutdown, Task, client::Channel};
use prost_types::Timestamp;
use result::Config;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};

pub(crate) type Client = ResultServiceClient<Channel>;

/// What outlives a restart.
pub(crate) struct World {
    pub(crate) config: Config,
    folder: TempDir,
    ca: Ca,
}

/// A service that is up.
pub(crate) struct Running {
    /// As crawlers call it.
    pub(crate) crawler: Client,
    /// As the gateway calls it.
    pub(crate) gateway: Client,
    /// As both call its sessions.
    pub(crate) sessions: Sessions,
    shutdown: Shutdown,
    task: Task<anyhow::Result<()>>,
}

/// The sessions of a service that is up.
pub(crate) struct Sessions {
    pub(crate) crawler: SessionServiceClient<Channel>,
    pub(crate) gateway: SessionServiceClient<Channel>,
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
        config.objects.url = format!("file://{}", folder.path().join("objects").display());
        // Small documents, too, are files, which the tests count; tests/it/inline.rs looks at the others.
        config.objects.inline_limit = bytesize::ByteSize(0);
        config.sessions.key_file = folder.path().join("result.key");
        config.janitor.interval = Duration::from_millis(100);
        Self { config, folder, ca: Ca::generate().expect("an authority") }
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    /// Files in the object store.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.objects()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            // The janitor may be faster than we are.
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }

    pub(crate) async fn start(&self) -> Running {
        let identity = self.ca.issue(Service::Result).expect("an identity");
        let shutdown = Shutdown::new();
        let peers = self.config.peers.clone();
        let node = Node::bind(Service::Result, &self.config.server, identity, peers, shutdown.clone());
        let node = node.await.expect("a free port");
        let address = node.addr().to_string();
        let client = |service| {
            let identity = self.ca.issue(service).expect("an identity");
            let channel = Channel::connect(Service::Result, &address, &identity, Duration::from_secs(2));
            let limit = self.config.server.max_message_bytes();
            ResultServiceClient::new(channel).max_decoding_message_size(limit)
        };
        let (crawler, gateway) = (client(Service::Crawler), client(Service::Gateway));
        let sessions = |service| {
            let identity = self.ca.issue(service).expect("an identity");
            let channel = Channel::connect(Service::Result, &address, &identity, Duration::from_secs(2));
            SessionServiceClient::new(channel)
        };
        let sessions = Sessions { crawler: sessions(Service::Crawler), gateway: sessions(Service::Gateway) };
        let task = mesh::spawn("result", result::serve(self.config.clone(), node));
        let running = Running { crawler, gateway, sessions, shutdown, task };
        let someone = someone();
        eventually("the service is up", async || {
            assert!(!running.task.finished(), "the service ended");
            running.list(&someone, JobId::new(), 0, "").await.is_ok()
        })
        .await;
        running
    }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.shutdown.begin();
        self.task.await.expect("no panic").expect("an orderly end");
    }

    /// Stores what `page` describes; returns whether it was stored.
    pub(crate) async fn store(&self, page: &Page) -> Result<bool, Status> {
        self.send(page.parts()).await
    }

    pub(crate) async fn send(&self, parts: Vec<Part>) -> Result<bool, Status> {
        let parts = parts.into_iter().map(|part| pb::StorePageRequest { part: Some(part) });
        let answer = self.crawler.clone().store_page(tokio_stream::iter(parts.collect::<Vec<_>>())).await?;
        Ok(answer.into_inner().stored)
    }

    pub(crate) async fn get(&self, whom: &Principal, name: &str) -> Result<pb::Document, Status> {
        let request = by(whom, pb::GetDocumentRequest { name: name.to_owned() });
        self.gateway.clone().get_document(request).await.map(Response::into_inner)
    }

    /// The page that was last stored under a key: what is known of it, and its HTML.
    pub(crate) async fn recall(
        &self,
        tenant: TenantId,
        key: &[u8],
    ) -> Result<(pb::Document, Vec<u8>), Status> {
        use pb::recall_page_response::Part;
        let request = pb::RecallPageRequest { tenant: tenant.name(), cache_key: key.to_vec() };
        let mut parts = self.crawler.clone().recall_page(request).await?.into_inner();
        let (mut known, mut html) = (None, Vec::new());
        while let Some(part) = parts.message().await? {
            match part.part.expect("a part") {
                Part::Document(document) => known = Some(document),
                Part::Html(piece) => html.extend(piece),
            }
        }
        Ok((known.expect("the document comes first"), html))
    }

    /// Names of the documents on one page of a job's list, and the token of the next.
    pub(crate) async fn list(
        &self,
        whom: &Principal,
        job: JobId,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<String>, String), Status> {
        let page_token = page_token.to_owned();
        let request = by(whom, pb::ListDocumentsRequest { parent: job.name(), page_size, page_token });
        let answer = self.gateway.clone().list_documents(request).await?.into_inner();
        Ok((answer.documents.into_iter().map(|document| document.name).collect(), answer.next_page_token))
    }

    /// The pieces of an artifact.
    pub(crate) async fn artifact(
        &self,
        whom: &Principal,
        name: &str,
        kind: &str,
    ) -> Result<Vec<HttpBody>, Status> {
        let request = by(whom, pb::GetArtifactRequest { name: name.to_owned(), kind: kind.to_owned() });
        let mut pieces = self.gateway.clone().get_artifact(request).await?.into_inner();
        let mut all = Vec::new();
        while let Some(piece) = pieces.message().await? {
            all.push(piece);
        }
        Ok(all)
    }
}

/// A page as a crawler would store it.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) tenant: TenantId,
    pub(crate) job: JobId,
    pub(crate) page: PageId,
    pub(crate) seq: i64,
    pub(crate) markdown: String,
    /// Kind, content type, bytes.
    pub(crate) artifacts: Vec<(&'static str, &'static str, Vec<u8>)>,
    /// Seconds from now.
    pub(crate) ttl: i64,
    /// Empty: it is not found again.
    pub(crate) cache_key: Vec<u8>,
}

impl Page {
    pub(crate) fn new(whom: &Principal, job: JobId) -> Self {
        let tenant = whom.tenant;
        Self {
            tenant,
            job,
            page: PageId::new(),
            seq: 1,
            markdown: "# Hi".into(),
            artifacts: vec![],
            ttl: 3600,
            cache_key: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> String {
        page_name(self.job, self.page)
    }

    pub(crate) fn header(&self) -> pb::store_page_request::Header {
        let artifacts = self.artifacts.iter().map(|(kind, content_type, bytes)| pb::Artifact {
            kind: (*kind).to_owned(),
            content_type: (*content_type).to_owned(),
            size: i64::try_from(bytes.len()).expect("a small artifact"),
        });
        let document = pb::Document {
            name: self.name(),
            url: "https://example.com/".to_owned(),
            verdict: page::Verdict::Ok.into(),
            title: format!("dispatch {}", self.seq),
            markdown: self.markdown.clone(),
            artifacts: artifacts.collect(),
            ..pb::Document::default()
        };
        pb::store_page_request::Header {
            tenant: self.tenant.name(),
            dispatch_sequence: self.seq,
            document: Some(document),
            expire_time: Some(Timestamp {
                seconds: mesh::clock::now().unix_timestamp() + self.ttl,
                nanos: 0,
            }),
            cache_key: self.cache_key.clone(),
        }
    }

    /// The header, and the artifacts in chunks of at most 1 MiB.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut parts = vec![Part::Header(self.header())];
        for (kind, _, bytes) in &self.artifacts {
            parts.extend(bytes.chunks(1 << 20).map(|data| chunk(kind, data)));
        }
        parts
    }
}

pub(crate) fn chunk(kind: &str, data: &[u8]) -> Part {
    Part::Chunk(pb::store_page_request::Chunk { kind: kind.to_owned(), data: data.to_vec() })
}

/// Somebody with a tenant of their own who may read.
pub(crate) fn someone() -> Principal {
    Principal { tenant: TenantId::new(), subject: "api-keys/test".to_owned(), scopes: vec![Scope::JobsRead] }
}

/// A request on behalf of `principal`.
pub(crate) fn by<T>(principal: &Principal, message: T) -> Request<T> {
    let mut headers = http::HeaderMap::new();
    mesh::principal_headers(principal, &mut headers);
    let mut request = Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    request
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < patience, "waited in vain until {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Asserts how a call failed.
#[track_caller]
pub(crate) fn refused<T: Debug>(result: Result<T, Status>, code: Code, reason: &str) {
    let status = result.expect_err("it is refused");
    let told = (status.code(), mesh::error_reason(&status));
    assert_eq!(told, (code, Some(reason.to_owned())), "{}", status.message());
}
