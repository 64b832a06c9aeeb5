//! Job settings, asked from the job service once for each version and kept for a while.
//!
//! Promises: pages that need the same settings at the same time ask once; while the job service is away the question is
//! repeated with back-off until its time is up; an ended job is never kept, so that it may be opened again.

mod browser;
pub(crate) mod follow;

use std::sync::Arc;
use std::time::Duration;

use api::job::v1 as pb;
use api::job::v1::job_service_client::JobServiceClient;
use domain::{JobId, follow::Rules};
use mesh::client::Channel;
use moka::future::Cache;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Code;

use crate::browser::options::Options;
use crate::manners::Manners;
use crate::sessions::Named;

/// First pause before the job service is asked again; it doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(3);
/// Where a job says nothing; the job service fills in the same.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_SESSION_TTL: Duration = Duration::from_secs(600);
const DEFAULT_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// How the pages of a job are fetched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    /// Wall-clock deadline of one attempt.
    pub(crate) page_timeout: Duration,
    /// What is done in the browser, if the page gets there.
    pub(crate) browser: Arc<Options>,
    /// Whether the HTML is kept.
    pub(crate) keep_html: bool,
    /// Whether the HTTP lane may hand a page on to the browser lane.
    pub(crate) may_escalate: bool,
    /// How long the results are kept.
    pub(crate) result_ttl: Duration,
    /// Whether pages that robots.txt asks to leave alone are left alone.
    pub(crate) respect_robots: bool,
    /// What is read of the pages.
    pub(crate) extraction: Arc<extract::Options>,
    /// Which links are followed. `None`: none.
    pub(crate) follow: Option<Arc<Rules>>,
    /// How the pages are asked for.
    pub(crate) manners: Arc<Manners>,
    /// The session that pages begin with.
    pub(crate) session: Option<Named>,
}

/// Why there are no settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The job has ended or is unknown: its pages need no work.
    #[error("the job has ended")]
    Ended,
    /// The job service does not answer, or not with settings.
    #[error("the job service is away")]
    Away,
}

/// How settings are asked for and kept; `[page]` of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    pub(crate) ttl: Duration,
    pub(crate) jobs: u64,
}

/// The settings of jobs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Specs {
    client: JobServiceClient<Channel>,
    cache: Cache<(JobId, i32), Arc<Spec>>,
    timeout: Duration,
}

impl Specs {
    /// Asks the job service behind `channel`.
    pub(crate) fn new(channel: Channel, limits: Limits) -> Self {
        let cache = Cache::builder().max_capacity(limits.jobs).time_to_live(limits.ttl).build();
        Self { client: JobServiceClient::new(channel), cache, timeout: limits.timeout }
    }

    /// The settings of a job, at least of this version.
    pub(crate) async fn get(&self, job: JobId, version: i32) -> Result<Arc<Spec>, Error> {
        self.cache.try_get_with((job, version), self.ask(job)).await.map_err(|error| *error)
    }

    async fn ask(&self, job: JobId) -> Result<Arc<Spec>, Error> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let request = pb::GetJobSpecRequest { name: job.name() };
            let call = self.client.clone();
            let answer = timeout_at(deadline, async move { { call }.get_job_spec(request).await }).await;
            match answer {
                Ok(Ok(spec)) => return read(spec.get_ref()),
                Ok(Err(status)) if status.code() == Code::NotFound => return Err(Error::Ended),
                Ok(Err(status)) if Instant::now() + pause < deadline => {
                    tracing::debug!(code = %status.code(), "no job spec, asked again");
                    sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!("the job service gives no spec");
                    return Err(Error::Away);
                }
            }
        }
    }
}

fn read(spec: &pb::JobSpec) -> Result<Arc<Spec>, Error> {
    if spec.ended {
        return Err(Error::Ended);
    }
    let config = spec.config.clone().unwrap_or_default();
    let duration = |value: Option<prost_types::Duration>, default: Duration| {
        value.and_then(|value| Duration::try_from(value).ok()).filter(|d| !d.is_zero()).unwrap_or(default)
    };
    // The job service refuses what cannot be read; options that only a newer version knows are not ours to guess.
    let extraction =
        config.extraction.as_ref().map_or_else(|| Ok(extract::Options::default()), extract::options);
    let mut extraction = extraction.map_err(|refusals| {
        tracing::error!(
            field = refusals.first().map(|it| it.field.as_str()),
            "a job has options that cannot be read"
        );
        Error::Away
    })?;
    if config.deep_crawl.is_some() {
        // Links are found in the document, and its metadata says whether they may be followed.
        extraction.parts = extraction.parts.with(extract::Part::Links).with(extract::Part::Metadata);
    }
    let Some(manners) = config.fetch.as_deref().map_or_else(|| Some(Manners::default()), Manners::read)
    else {
        tracing::error!("a job has a proxy that cannot be read");
        return Err(Error::Away);
    };
    let session = config.session.as_ref().map(|session| {
        let name = session.name.parse().map_err(|_| {
            tracing::error!("a job has a session that cannot be read");
            Error::Away
        })?;
        Ok(Named { name, ttl: duration(session.ttl, DEFAULT_SESSION_TTL) })
    });
    Ok(Arc::new(Spec {
        page_timeout: duration(config.page_timeout, DEFAULT_TIMEOUT),
        browser: Arc::new(browser::read(*config.browser.clone().unwrap_or_default(), config.screenshot)),
        keep_html: config.keep_html.unwrap_or(true),
        may_escalate: matches!(
            config.render(),
            pb::crawl_config::Render::Auto | pb::crawl_config::Render::Unspecified
        ) && !manners.sends(),
        result_ttl: duration(config.result_ttl, DEFAULT_TTL),
        respect_robots: config.respect_robots.unwrap_or(true),
        extraction: Arc::new(extraction),
        follow: config.deep_crawl.as_ref().and_then(follow::read).map(Arc::new),
        manners: Arc::new(manners),
        session: session.transpose()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(config: pb::CrawlConfig) -> pb::JobSpec {
        pb::JobSpec { config: Some(config), ..pb::JobSpec::default() }
    }

    #[test]
    fn settings_are_read_with_their_defaults() {
        let plain = read(&spec(pb::CrawlConfig::default())).unwrap();
        let expected = Spec {
            page_timeout: DEFAULT_TIMEOUT,
            browser: Arc::new(browser::read(pb::BrowserOptions::default(), false)),
            keep_html: true,
            may_escalate: true,
            result_ttl: DEFAULT_TTL,
            respect_robots: true,
            extraction: Arc::new(extract::Options::default()),
            follow: None,
            manners: Arc::default(),
            session: None,
        };
        assert_eq!(*plain, expected);
        let chosen = read(&spec(pb::CrawlConfig {
            render: pb::crawl_config::Render::Http.into(),
            page_timeout: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
            keep_html: Some(false),
            screenshot: true,
            ..pb::CrawlConfig::default()
        }))
        .unwrap();
        assert_eq!(chosen.page_timeout, Duration::from_secs(5));
        assert!(chosen.browser.keep.screenshot.is_some() && !chosen.keep_html && !chosen.may_escalate);
    }

    #[test]
    fn an_ended_job_has_no_settings() {
        assert_eq!(read(&pb::JobSpec { ended: true, ..pb::JobSpec::default() }), Err(Error::Ended));
    }
}
