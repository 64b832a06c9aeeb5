//! Tells what this crawler can do and is doing.

use std::time::Duration;

use api::crawler::v1 as pb;
use api::crawler::v1::crawler_service_server::CrawlerService;
use domain::{Lane, Scope, follow::Reach};
use time::OffsetDateTime;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::browser::Availability;
use crate::map::{self, Mapper};
use crate::outcome::timestamp;
use crate::worker::Worker;

/// Longest time for a map, and how long before the caller's deadline it is told.
const MAP_TIME: Duration = Duration::from_secs(25);
const MARGIN: Duration = Duration::from_millis(500);

/// Why no map is made now.
#[derive(Debug, thiserror::Error)]
#[error("this crawler makes as many maps as it may")]
struct TooManyMaps;

/// Answers `CrawlerService`.
pub(crate) struct Handler {
    /// Id of this process.
    pub(crate) id: Uuid,
    /// When it started.
    pub(crate) start: OffsetDateTime,
    /// The HTTP lane.
    pub(crate) http: Worker,
    /// The browser lane.
    pub(crate) browser: Worker,
    /// Whether the browser lane works.
    pub(crate) availability: Availability,
    /// Makes maps.
    pub(crate) mapper: Mapper,
}

#[tonic::async_trait]
impl CrawlerService for Handler {
    async fn list_workers(
        &self,
        request: Request<pb::ListWorkersRequest>,
    ) -> Result<Response<pb::ListWorkersResponse>, Status> {
        mesh::call(&request)?.require(Scope::WorkersRead)?;
        let worker = pb::Worker {
            name: format!("workers/{}", self.id),
            start_time: Some(timestamp(self.start)),
            lanes: vec![
                lane(Lane::Http, &self.http, Ok(String::new())),
                lane(Lane::Browser, &self.browser, self.availability.state()),
            ],
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(Response::new(pb::ListWorkersResponse { workers: vec![worker] }))
    }

    async fn map_site(
        &self,
        request: Request<pb::MapSiteRequest>,
    ) -> Result<Response<pb::MapSiteResponse>, Status> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        let deadline =
            (Instant::now() + MAP_TIME).min(call.deadline.checked_sub(MARGIN).unwrap_or(call.deadline));
        let plan = map::wire::plan(request.get_ref(), deadline)?;
        if plan.rules.follow().reach == Reach::Any {
            call.require(Scope::CrawlExternal)?;
        }
        match self.mapper.map(&plan).await {
            Some(map) => Ok(Response::new(map::wire::reply(map))),
            None => Err(mesh::refuse(Code::ResourceExhausted, "TOO_MANY_MAPS", &TooManyMaps)),
        }
    }
}

fn lane(lane: Lane, worker: &Worker, state: Result<String, String>) -> pb::WorkerLane {
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    pb::WorkerLane {
        lane: lane.as_str().to_owned(),
        slots: count(worker.slots()),
        busy: count(worker.busy()),
        available: state.is_ok(),
        detail: state.unwrap_or_else(|why| why),
    }
}
