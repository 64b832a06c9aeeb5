//! The one way in which extraction refuses a body. Bad HTML is never an error: it is read as far as it goes.

/// Why a body became no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Of no type that is read: the media type found, such as `image/png`, from the content where the header lies.
    #[error("content of type {0} cannot be extracted")]
    UnsupportedType(String),
}
