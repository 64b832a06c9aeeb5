//! What can go wrong in the auth service, and the one table from there to what callers see.

use domain::{KeyId, Scope};
use sea_orm::DbErr;
use tonic::{Code, Status};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the call carries no credential")]
    MissingCredentials,
    /// Not a key, or a key that nobody has: which of the two is nobody's business.
    #[error("the API key is not valid")]
    InvalidKey,
    #[error("the API key was revoked")]
    RevokedKey,
    #[error("the API key has expired")]
    ExpiredKey,
    /// One reason for every defect of a token: a forger learns nothing from it.
    #[error("the access token is not valid")]
    InvalidToken,
    #[error("the credential lacks the permission {0}, so it cannot give it away")]
    MissingPermission(Scope),
    #[error("{} does not exist", .0.name())]
    KeyNotFound(KeyId),
    #[error("the tenant has {0} API keys in use already")]
    TooManyKeys(u64),
    #[error("reach the auth store")]
    Store(#[from] DbErr),
    #[error("{0}")]
    Crypto(&'static str),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let unauthenticated = |reason| mesh::refuse(Code::Unauthenticated, reason, &error);
        match &error {
            Error::MissingCredentials => unauthenticated("MISSING_CREDENTIALS"),
            Error::InvalidKey => unauthenticated("INVALID_API_KEY"),
            Error::RevokedKey => unauthenticated("API_KEY_REVOKED"),
            Error::ExpiredKey => unauthenticated("API_KEY_EXPIRED"),
            Error::InvalidToken => unauthenticated("INVALID_TOKEN"),
            Error::MissingPermission(scope) => mesh::refuse_with(
                Code::PermissionDenied,
                "MISSING_PERMISSION",
                error.to_string(),
                &[("permission", scope.as_str())],
            ),
            Error::KeyNotFound(_) => mesh::refuse(Code::NotFound, "API_KEY_NOT_FOUND", &error),
            Error::TooManyKeys(_) => mesh::refuse(Code::ResourceExhausted, "TOO_MANY_API_KEYS", &error),
            Error::Store(cause) if store::is_unavailable(cause) => {
                mesh::fail(Code::Unavailable, "AUTH_STORE_UNREACHABLE", &error)
            }
            Error::Store(_) => mesh::fail(Code::Internal, "AUTH_STORE_FAILED", &error),
            Error::Crypto(_) => mesh::fail(Code::Internal, "CRYPTO_FAILED", &error),
        }
    }
}
