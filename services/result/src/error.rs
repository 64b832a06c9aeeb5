//! What can go wrong in the result service, and the one table from there to what callers see.

use domain::{JobId, PageId, id::page_name};
use sea_orm::DbErr;
use tonic::{Code, Status};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{} has no document", page_name(*.0, *.1))]
    NoDocument(JobId, PageId),
    #[error("{} has no artifact of this kind", page_name(*.0, *.1))]
    NoArtifact(JobId, PageId),
    #[error("no page is kept under this key")]
    NotCached,
    /// The parts of an upload do not fit together.
    #[error("{0}")]
    Upload(&'static str),
    #[error("{what} is larger than {limit} bytes")]
    TooLarge { what: &'static str, limit: u64 },
    #[error("{0} has more text than is compared, {1} bytes")]
    TooLargeToDiff(String, u64),
    #[error("{0} does not exist")]
    NoSession(String),
    #[error("{0} sessions are kept already, the most of a tenant")]
    TooManySessions(u64),
    #[error("its state would have {count} {what}, more than {most}")]
    SessionTooLarge { count: usize, what: &'static str, most: usize },
    #[error(transparent)]
    Sealed(#[from] store::CannotOpen),
    #[error("reach the result store")]
    Store(#[from] DbErr),
    #[error("reach the object store")]
    Objects(#[from] object_store::Error),
    #[error("delete objects")]
    Delete(#[source] std::io::Error),
    #[error("the object store did not answer in time")]
    ObjectsSlow,
    /// The janitor came in between: it may have begun to remove what was to be kept. The next attempt succeeds.
    #[error("keep what the janitor may be removing")]
    Overdue,
    /// There is a row, and no object, or not the one that was written.
    #[error("read back a document: {0}")]
    Lost(String),
}

impl Error {
    /// The database is away.
    pub(crate) fn away() -> Self {
        Self::Store(store::unavailable())
    }

    /// Whether the database is away, so that trying again later helps.
    pub(crate) fn unavailable(&self) -> bool {
        matches!(self, Self::Store(error) if store::is_unavailable(error))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let unreachable = |error| mesh::fail(Code::Unavailable, "RESULT_STORE_UNREACHABLE", error);
        match &error {
            Error::NoDocument(..) | Error::NotCached => {
                mesh::refuse(Code::NotFound, "DOCUMENT_NOT_FOUND", &error)
            }
            Error::NoArtifact(..) => mesh::refuse(Code::NotFound, "ARTIFACT_NOT_FOUND", &error),
            Error::Upload(_) => mesh::refuse(Code::InvalidArgument, "INVALID_UPLOAD", &error),
            Error::TooLarge { .. } => mesh::refuse(Code::ResourceExhausted, "DOCUMENT_TOO_LARGE", &error),
            Error::TooLargeToDiff(..) => mesh::refuse(Code::ResourceExhausted, "DIFF_TOO_LARGE", &error),
            Error::NoSession(_) => mesh::refuse(Code::NotFound, "SESSION_NOT_FOUND", &error),
            Error::TooManySessions(_) => mesh::refuse(Code::ResourceExhausted, "TOO_MANY_SESSIONS", &error),
            Error::SessionTooLarge { .. } => {
                mesh::refuse(Code::ResourceExhausted, "SESSION_TOO_LARGE", &error)
            }
            Error::Sealed(_) => mesh::fail(Code::Internal, "SESSION_UNREADABLE", &error),
            Error::Store(_) if error.unavailable() => unreachable(&error),
            Error::Store(_) => mesh::fail(Code::Internal, "RESULT_STORE_FAILED", &error),
            // A full disk is an object store that cannot be reached for writing.
            Error::Objects(_) | Error::Delete(_) | Error::ObjectsSlow | Error::Overdue => unreachable(&error),
            Error::Lost(_) => mesh::fail(Code::Internal, "DOCUMENT_LOST", &error),
        }
    }
}
