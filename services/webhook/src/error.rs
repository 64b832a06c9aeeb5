//! What can go wrong here, and what a caller sees of it.

use ::store::CannotOpen;
use sea_orm::DbErr;
use tonic::{Code, Status};

/// An error of the webhook service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, or is busy.
    #[error("reach the webhook store")]
    Unavailable(#[source] DbErr),
    /// The database refused what we asked, or holds what we cannot read.
    #[error("use the webhook store")]
    Store(#[source] DbErr),
    /// A row that this version cannot read.
    #[error("read the {0} of a stored delivery")]
    Row(&'static str),
    /// A signing secret that cannot be opened.
    #[error(transparent)]
    Sealed(#[from] CannotOpen),
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if store::is_unavailable(&error) { Self::Unavailable(error) } else { Self::Store(error) }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match &error {
            Error::Unavailable(_) => mesh::fail(Code::Unavailable, "WEBHOOK_STORE_UNREACHABLE", &error),
            Error::Store(_) | Error::Row(_) => mesh::fail(Code::Internal, "WEBHOOK_STORE_FAILED", &error),
            Error::Sealed(_) => mesh::fail(Code::Internal, "SIGNING_SECRET_UNREADABLE", &error),
        }
    }
}
