//! The methods of schedules: decode, act, encode.

use std::{sync::Arc, time::Duration};

use api::job::v1::{self as pb, schedule_service_server::ScheduleService};
use domain::{ScheduleId, Scope};
use tonic::{Request, Response, Status};
use tracing::{Span, info};

use super::Reply;
use crate::{
    announcer::Announcer,
    error::Error,
    hub::Hub,
    job::Job,
    metrics,
    schedule::{Plan, Refusal, Schedule, Schedules},
    spec::Submission,
    store::{AskedSchedule, NewSchedule, Prepared, Store},
    trace,
    wire::{self, Draft, Headers, Rules},
};

/// A change is made anew so often when another one came in between.
const RACES: usize = 3;

/// Answers the calls. Clones share everything.
#[derive(Clone)]
pub(crate) struct ScheduleHandler {
    pub(crate) store: Store,
    pub(crate) hub: Hub,
    pub(crate) announcer: Announcer,
    pub(crate) rules: Arc<Rules>,
    pub(crate) limits: Schedules,
    /// For how long a request id returns its first schedule.
    pub(crate) request_id_retention: Duration,
    /// Bytes of a list answer.
    pub(crate) answer_budget: usize,
}

impl ScheduleHandler {
    /// Changes the schedule that is there now; fails with [`Error::ScheduleChanged`] if it is another by then.
    async fn change(
        &self,
        call: &mesh::TenantCall,
        id: ScheduleId,
        request: &pb::UpdateScheduleRequest,
    ) -> Result<Result<Schedule, Error>, Status> {
        let change = request.schedule.clone().unwrap_or_default();
        let current = self.store.schedule(call.tenant, id).await?;
        if !change.etag.is_empty() && change.etag != current.version.to_string() {
            return Err(Error::ScheduleChanged(id).into());
        }
        let (whole, another_job) = wire::changed(&current, change, request.update_mask.as_ref())?;
        let Draft { plan, scopes } = wire::draft(Some(whole), &self.rules, &self.limits, call.time)?;
        if another_job {
            require(call, &scopes)?;
            self.check_baseline(call, &plan).await?;
        }
        let change = |schedule: &mut Schedule| schedule.change(plan.clone(), call.time).map_err(Error::from);
        Ok(self.store.change_schedule((call.tenant, id), current.version, change).await)
    }
}

impl ScheduleHandler {
    /// The same that is asked of a job when it is created.
    async fn check_baseline(&self, call: &mesh::TenantCall, plan: &Plan) -> Result<(), Status> {
        let field = "schedule.job.baseline";
        super::check_baseline(&self.store, call, field, plan.job.baseline, &plan.job.spec).await
    }
}

fn require(call: &mesh::TenantCall, scopes: &[Scope]) -> Result<(), Status> {
    scopes.iter().try_for_each(|scope| call.require(*scope))
}

impl From<Refusal> for Error {
    /// A timing that was read a moment ago.
    fn from(refusal: Refusal) -> Self {
        Self::Row(format!("{}: {}", refusal.field, refusal.description))
    }
}

#[tonic::async_trait]
impl ScheduleService for ScheduleHandler {
    async fn create_schedule(&self, request: Request<pb::CreateScheduleRequest>) -> Reply<pb::Schedule> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        let request = request.into_inner();
        wire::request_id(&request.request_id)?;
        let Draft { plan, scopes } = wire::draft(request.schedule, &self.rules, &self.limits, call.time)?;
        require(&call, &scopes)?;
        self.check_baseline(&call, &plan).await?;
        let schedule = Schedule::new(call.tenant, plan, call.time).map_err(Error::from)?;
        let memory = self.request_id_retention;
        let request = (!request.request_id.is_empty()).then_some((request.request_id, memory));
        let new = NewSchedule { schedule, request, most: self.limits.max_per_tenant };
        let schedule = self.store.create_schedule(&new, call.time).await?;
        if schedule.id == new.schedule.id {
            info!(schedule = %schedule.id, "schedule created");
            self.hub.rescheduled();
        }
        Ok(Response::new(wire::schedule(&schedule, Headers::Hidden)))
    }

    async fn get_schedule(&self, request: Request<pb::GetScheduleRequest>) -> Reply<pb::Schedule> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsRead)?;
        let id = wire::schedule_id("name", &request.get_ref().name)?;
        let schedule = self.store.schedule(call.tenant, id).await?;
        Ok(Response::new(wire::schedule(&schedule, Headers::Hidden)))
    }

    async fn list_schedules(
        &self,
        request: Request<pb::ListSchedulesRequest>,
    ) -> Reply<pb::ListSchedulesResponse> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsRead)?;
        let list = wire::list_schedules(call.tenant, request.get_ref())?;
        let found = self.store.schedules(call.tenant, list.after, list.size as u64 + 1).await?;
        let mut schedules: Vec<pb::Schedule> =
            found.iter().take(list.size).map(|schedule| wire::schedule(schedule, Headers::Hidden)).collect();
        let cut = wire::fit(&mut schedules, self.answer_budget);
        let last = schedules.len().checked_sub(1).map(|last| found[last].id);
        let next_page_token = match last {
            Some(last) if cut || found.len() > list.size => list.token(&last),
            _ => String::new(),
        };
        Ok(Response::new(pb::ListSchedulesResponse { schedules, next_page_token }))
    }

    async fn update_schedule(&self, request: Request<pb::UpdateScheduleRequest>) -> Reply<pb::Schedule> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        let request = request.into_inner();
        let name = request.schedule.as_ref().map(|schedule| schedule.name.as_str()).unwrap_or_default();
        let id = wire::schedule_id("schedule.name", name)?;
        let named = request.schedule.as_ref().is_some_and(|schedule| !schedule.etag.is_empty());
        for race in 1.. {
            match self.change(&call, id, &request).await? {
                Err(Error::ScheduleChanged(_)) if race < RACES && !named => {}
                changed => {
                    let schedule = changed?;
                    info!(schedule = %id, paused = schedule.plan.paused, "schedule changed");
                    self.hub.rescheduled();
                    return Ok(Response::new(wire::schedule(&schedule, Headers::Hidden)));
                }
            }
        }
        unreachable!("the loop ends with its last race")
    }

    async fn run_schedule(&self, request: Request<pb::RunScheduleRequest>) -> Reply<pb::Job> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        let pb::RunScheduleRequest { name, request_id } = request.into_inner();
        let schedule = wire::schedule_id("name", &name)?;
        wire::request_id(&request_id)?;
        let memory = self.request_id_retention;
        let request_id = (!request_id.is_empty()).then_some(request_id);
        let request = request_id.clone().map(|id| (id, memory));
        let traceparent = trace::traceparent(&Span::current());
        let prepare = |schedule: &Schedule, last: Option<&Job>| {
            let submission =
                wire::scheduled(schedule, last, &self.rules).map_err(|status| status.message().to_owned())?;
            let submission = Submission { request_id: request_id.clone(), ..submission };
            Ok(Prepared::new(call.tenant, &submission, traceparent.clone(), call.time, memory))
        };
        let asked = AskedSchedule { tenant: call.tenant, schedule, request };
        let (job, new) = self.store.run_asked(&asked, call.time, prepare).await?;
        if new {
            metrics::created();
            info!(job = %job.id, %schedule, pages = job.counts.found, "a schedule was asked for a job");
            self.announcer.tell(&job).await;
        }
        Ok(Response::new(wire::job(&job, Headers::Hidden)))
    }

    async fn delete_schedule(&self, request: Request<pb::DeleteScheduleRequest>) -> Reply<()> {
        let call = mesh::call(&request)?;
        call.require(Scope::JobsWrite)?;
        let id = wire::schedule_id("name", &request.get_ref().name)?;
        self.store.delete_schedule(call.tenant, id).await?;
        info!(schedule = %id, "schedule deleted");
        Ok(Response::new(()))
    }
}
