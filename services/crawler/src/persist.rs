//! Calls of a service that may be away for a moment.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Response, Status};

/// First pause before a call is made again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Makes a call again, with back-off, until it is answered or `limit` is over. `last`: a refusal that is for the caller to judge, and
/// comes back as `Some`. `None`: there was no answer, or one that another call would get as well.
pub(crate) async fn persist<T, F>(
    what: &'static str,
    limit: Duration,
    last: impl Fn(&Status) -> bool,
    call: impl Fn() -> F,
) -> Result<T, Option<Status>>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    loop {
        match timeout_at(deadline, call()).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) if last(&status) => return Err(Some(status)),
            Ok(Err(status)) if passes(&status) && Instant::now() + pause < deadline => {
                tracing::debug!(what, code = %status.code(), "not done, tried again");
                sleep(pause).await;
                pause *= 2;
            }
            Ok(Err(status)) => {
                let reason = mesh::error_reason(&status).unwrap_or_default();
                tracing::warn!(what, code = %status.code(), reason, "not done");
                return Err(None);
            }
            Err(_) => {
                tracing::warn!(what, "not done in time");
                return Err(None);
            }
        }
    }
}

/// A refusal will be repeated; anything else may pass.
fn passes(status: &Status) -> bool {
    !matches!(
        status.code(),
        Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented
    )
}
