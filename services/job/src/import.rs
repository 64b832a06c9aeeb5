//! A submission that comes as a stream: read to its end before anything is done with it.
//!
//! Promises: URLs and bytes are bounded, and what is over a bound is refused as soon as it is; a stream without its last message is
//! no submission. To hyper a request that its sender has given up (`RST_STREAM` with `CANCEL`) has ended like any other.

use api::job::v1::{self as pb, import_crawl_job_request::Part};
use prost::Message;
use tonic::{Status, Streaming};

use crate::wire;

/// What a stream may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) urls: usize,
    pub(crate) bytes: usize,
}

/// Reads a stream into the request that it stands for.
pub(crate) async fn collect(
    mut parts: Streaming<pb::ImportCrawlJobRequest>,
    bounds: Bounds,
) -> Result<pb::CreateCrawlJobRequest, Status> {
    let first = parts.message().await?;
    let mut bytes = first.as_ref().map_or(0, Message::encoded_len);
    let Some(Part::Job(mut job)) = first.and_then(|first| first.part) else {
        return Err(wire::violation("job", "REQUIRED", "comes first"));
    };
    while let Some(next) = parts.message().await? {
        bytes += next.encoded_len();
        match next.part {
            Some(Part::Urls(more)) => job.urls.extend(more.urls),
            Some(Part::End(end)) => return ended(&mut parts, job, end.urls).await,
            Some(Part::Job(_)) => return Err(wire::violation("job", "CONFLICT", "is there twice")),
            None => {
                return Err(wire::violation(
                    "urls",
                    "REQUIRED",
                    "is required in every message but the first",
                ));
            }
        }
        if job.urls.len() > bounds.urls {
            let description = format!("has more than {} URLs", bounds.urls);
            return Err(wire::violation("urls", "TOO_MANY_URLS", description));
        }
        if bytes > bounds.bytes {
            return Err(wire::violation(
                "urls",
                "TOO_LARGE",
                format!("has more than {} bytes", bounds.bytes),
            ));
        }
    }
    Err(wire::violation("end", "REQUIRED", "did not come: the stream broke off"))
}

/// Holds the last message against what came before it, and what comes after it.
async fn ended(
    parts: &mut Streaming<pb::ImportCrawlJobRequest>,
    job: pb::CreateCrawlJobRequest,
    urls: i32,
) -> Result<pb::CreateCrawlJobRequest, Status> {
    if usize::try_from(urls) != Ok(job.urls.len()) {
        let description = format!("{} URLs came", job.urls.len());
        return Err(wire::violation("end.urls", "CONFLICT", description));
    }
    match parts.message().await? {
        None => Ok(job),
        Some(_) => Err(wire::violation("end", "CONFLICT", "is not the last message")),
    }
}
