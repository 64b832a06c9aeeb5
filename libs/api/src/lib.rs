//! The protocol: /proto compiled. No code of ours.
#![allow(missing_docs, clippy::all, clippy::large_futures, unreachable_pub, reason = "generated code")]

/// Every .proto file with its options and comments, as a serialized `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// The few standard messages that the protos import.
pub mod google {
    /// `google.api`.
    pub mod api {
        tonic::include_proto!("google.api");
    }
}

/// The packages, nested as the generated code expects them.
pub mod crawlmesh {
    /// Package `crawlmesh.auth`.
    pub mod auth {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("crawlmesh.auth.v1");
        }
    }
    /// Package `crawlmesh.crawler`.
    pub mod crawler {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("crawlmesh.crawler.v1");
        }
    }
    /// Package `crawlmesh.job`.
    pub mod job {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("crawlmesh.job.v1");
        }
    }
    /// Package `crawlmesh.result`.
    pub mod result {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("crawlmesh.result.v1");
        }
    }
    /// Package `crawlmesh.webhook`.
    pub mod webhook {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("crawlmesh.webhook.v1");
        }
    }
}

pub use crawlmesh::{auth, crawler, job, result, webhook};
