//! The members of the mesh, each one noun: folder, crate, binary, proto package, env prefix, `service.name`.

use crate::lane::words;

words! {
    /// A member of the mesh.
    Service {
        /// REST and gRPC on one public port.
        Gateway = "gateway",
        /// Tenants, API keys, tokens.
        Auth = "auth",
        /// Jobs, the ledger, the event log.
        Job = "job",
        /// Fetches pages.
        Crawler = "crawler",
        /// Keeps page documents.
        Result = "result",
        /// Delivers webhooks.
        Webhook = "webhook",
    }
}

impl Service {
    /// Its identity in certificates, a SPIFFE id in the URI SAN.
    #[must_use]
    pub fn spiffe_id(self) -> String {
        format!("spiffe://crawlmesh/{self}")
    }

    /// Reads a SPIFFE id of the mesh's trust domain.
    #[must_use]
    pub fn from_spiffe_id(id: &str) -> Option<Self> {
        id.strip_prefix("spiffe://crawlmesh/")?.parse().ok()
    }

    /// The service that owns a proto package, e.g. `crawlmesh.job.v1`.
    #[must_use]
    pub fn from_package(package: &str) -> Option<Self> {
        package.strip_prefix("crawlmesh.")?.strip_suffix(".v1")?.parse().ok()
    }
}
