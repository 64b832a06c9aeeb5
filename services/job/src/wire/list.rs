//! Reads the requests of list methods: filters, sizes, and tokens that are bound to tenant, list and filter.

use api::job::v1::{self as pb, job, page};
use domain::{JobId, ScheduleId, TenantId, Verdict, page_token};
use time::OffsetDateTime;
use tonic::Status;

use super::{job_id, read_timestamp, schedule_id, violation};
use crate::{change::Change, job::State, page as ledger};

const DEFAULT_JOBS: usize = 50;
const MAX_JOBS: usize = 200;
const DEFAULT_SCHEDULES: usize = 50;
const MAX_SCHEDULES: usize = 100;
const DEFAULT_PAGES: usize = 100;
const MAX_PAGES: usize = 1000;

/// One page of a list.
#[derive(Debug, Clone)]
pub(crate) struct List<C, F> {
    /// Rows at most.
    pub(crate) size: usize,
    /// The last row of the answer before.
    pub(crate) after: Option<C>,
    /// Only rows of this kind.
    pub(crate) filter: Option<F>,
    /// What tokens of this list are bound to.
    name: String,
}

impl<C: ToString, F> List<C, F> {
    /// The token with which the list goes on after `cursor`.
    pub(crate) fn token(&self, cursor: &C) -> String {
        page_token::encode(&self.name, &cursor.to_string())
    }
}

/// Which jobs are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct JobFilter {
    /// In this state.
    pub(crate) state: Option<State>,
    /// With this label and value.
    pub(crate) label: Option<(String, String)>,
    /// Accepted at this time or later.
    pub(crate) from: Option<OffsetDateTime>,
    /// Accepted before this time.
    pub(crate) before: Option<OffsetDateTime>,
    /// Created by this schedule.
    pub(crate) schedule: Option<ScheduleId>,
}

/// Reads `page_size`: 0 is the default, too much is the maximum.
pub(crate) fn page_size(size: i32, default: usize, max: usize) -> Result<usize, Status> {
    match usize::try_from(size) {
        Err(_) => Err(violation("page_size", "OUT_OF_RANGE", "must not be negative")),
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(max)),
    }
}

/// Reads `ListJobsRequest`; the cursor is the id of a job.
pub(crate) fn list_jobs(
    tenant: TenantId,
    request: &pb::ListJobsRequest,
) -> Result<List<JobId, JobFilter>, Status> {
    let filter = JobFilter {
        state: job_state(request.state)?,
        label: label(&request.label)?,
        from: time("create_time_from", request.create_time_from)?,
        before: time("create_time_before", request.create_time_before)?,
        schedule: match request.schedule.as_str() {
            "" => None,
            name => Some(schedule_id("schedule", name)?),
        },
    };
    let size = page_size(request.page_size, DEFAULT_JOBS, MAX_JOBS)?;
    let mut name = format!("{tenant} jobs state={}", filter.state.map_or("", |state| state.as_str()));
    if filter != (JobFilter { state: filter.state, ..JobFilter::default() }) {
        let JobFilter { label, from, before, schedule, .. } = &filter;
        name += &format!(" label={label:?} {from:?} {before:?}");
        name += &schedule.map(|schedule| format!(" {}", schedule.name())).unwrap_or_default();
    }
    let after = cursor(&name, &request.page_token)?;
    Ok(List { size, after, filter: Some(filter), name })
}

/// Which pages are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PageFilter {
    /// With this verdict.
    pub(crate) verdict: Option<Verdict>,
    /// In this state.
    pub(crate) state: Option<ledger::State>,
    /// That differ from the baseline so.
    pub(crate) change: Option<Change>,
}

/// Reads `ListPagesRequest`; the cursor is the position of a page in its job.
pub(crate) fn list_pages(
    tenant: TenantId,
    request: &pb::ListPagesRequest,
) -> Result<(JobId, List<i64, PageFilter>), Status> {
    let job = job_id("parent", &request.parent)?;
    let (verdict, state) = (verdict_filter(request.verdict)?, page_state(request.state)?);
    let change = change_filter(request.change)?;
    let size = page_size(request.page_size, DEFAULT_PAGES, MAX_PAGES)?;
    let mut name = format!(
        "{tenant} jobs/{job}/pages verdict={} state={}",
        verdict.map_or("", |verdict| verdict.as_str()),
        state.map_or("", |state| state.as_str())
    );
    name += &change.map(|change| format!(" change={change}")).unwrap_or_default();
    let after = cursor(&name, &request.page_token)?;
    Ok((job, List { size, after, filter: Some(PageFilter { verdict, state, change }), name }))
}

/// Reads `ListSchedulesRequest`; the cursor is the id of a schedule.
pub(crate) fn list_schedules(
    tenant: TenantId,
    request: &pb::ListSchedulesRequest,
) -> Result<List<ScheduleId, ()>, Status> {
    let size = page_size(request.page_size, DEFAULT_SCHEDULES, MAX_SCHEDULES)?;
    let name = format!("{tenant} schedules");
    let after = cursor(&name, &request.page_token)?;
    Ok(List { size, after, filter: None, name })
}

/// Reads `key=value`; the first `=` ends the key.
fn label(text: &str) -> Result<Option<(String, String)>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !text.contains('\0') => {
            Ok(Some((key.to_owned(), value.to_owned())))
        }
        _ => Err(violation("label", "INVALID_LABEL", "is not key=value")),
    }
}

fn time(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<OffsetDateTime>, Status> {
    let read = |time| {
        read_timestamp(time).ok_or_else(|| violation(field, "OUT_OF_RANGE", "is not a time that can be"))
    };
    time.map(read).transpose()
}

fn cursor<C: std::str::FromStr>(name: &str, token: &str) -> Result<Option<C>, Status> {
    let bad = || violation("page_token", "INVALID_PAGE_TOKEN", "is not a page token of this list");
    let Some(text) = page_token::decode(name, token).map_err(|_| bad())? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| bad())
}

/// Reads a state to filter by; none for `STATE_UNSPECIFIED`.
fn job_state(number: i32) -> Result<Option<State>, Status> {
    match job::State::try_from(number) {
        Ok(job::State::Unspecified) => Ok(None),
        Ok(job::State::Queued) => Ok(Some(State::Queued)),
        Ok(job::State::Running) => Ok(Some(State::Running)),
        Ok(job::State::Succeeded) => Ok(Some(State::Succeeded)),
        Ok(job::State::Failed) => Ok(Some(State::Failed)),
        Ok(job::State::Cancelled) => Ok(Some(State::Cancelled)),
        Ok(job::State::Paused) => Ok(Some(State::Paused)),
        Err(_) => Err(violation("state", "UNKNOWN_VALUE", "is not a known value")),
    }
}

/// Reads the state of a page to filter by; none for `STATE_UNSPECIFIED`.
fn page_state(number: i32) -> Result<Option<ledger::State>, Status> {
    match page::State::try_from(number) {
        Ok(page::State::Unspecified) => Ok(None),
        Ok(page::State::Pending) => Ok(Some(ledger::State::Pending)),
        Ok(page::State::Running) => Ok(Some(ledger::State::Running)),
        Ok(page::State::Done) => Ok(Some(ledger::State::Done)),
        Err(_) => Err(violation("state", "UNKNOWN_VALUE", "is not a known value")),
    }
}

/// Reads a change to filter by; none for `CHANGE_UNSPECIFIED`.
fn change_filter(number: i32) -> Result<Option<Change>, Status> {
    match page::Change::try_from(number) {
        Ok(page::Change::Unspecified) => Ok(None),
        Ok(page::Change::New) => Ok(Some(Change::New)),
        Ok(page::Change::Same) => Ok(Some(Change::Same)),
        Ok(page::Change::Changed) => Ok(Some(Change::Changed)),
        Ok(page::Change::Removed) => Ok(Some(Change::Removed)),
        Err(_) => Err(violation("change", "UNKNOWN_VALUE", "is not a known value")),
    }
}

/// Reads a verdict to filter by; none for `VERDICT_UNSPECIFIED`.
fn verdict_filter(number: i32) -> Result<Option<Verdict>, Status> {
    match page::Verdict::try_from(number) {
        Ok(verdict) => Ok(read_verdict(verdict)),
        Err(_) => Err(violation("verdict", "UNKNOWN_VALUE", "is not a known value")),
    }
}

/// The verdict of a proto value: the same word in another case.
pub(super) fn read_verdict(verdict: page::Verdict) -> Option<Verdict> {
    verdict.as_str_name().to_ascii_lowercase().parse().ok()
}
