//! The cookies that the answers to a job's requests have set, for its later requests over plain HTTP and for its context in the
//! browser, where pages of the job may come to either lane.
//!
//! Promises: no job sees the cookies of another; jobs and cookies have a bound. They live in this process alone: another
//! crawler that works on the same job begins with none, and a restart forgets them.

use std::sync::Arc;
use std::time::Duration;

use domain::JobId;
use egress::Jar;
use moka::future::Cache;
use serde::Deserialize;

/// `[cookies]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Jobs whose cookies are kept.
    pub jobs: u64,
    /// Cookies kept of one job.
    pub per_job: usize,
    /// How long cookies are kept after the last request of their job.
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
}

impl Config {
    /// Every problem of these settings: the key and what is wrong with it.
    pub(crate) fn check(&self) -> Vec<(&'static str, &'static str)> {
        let rules = [
            (self.jobs == 0, "jobs", "must be at least 1"),
            (!(1..=10_000).contains(&self.per_job), "per_job", "must be from 1 to 10000"),
            (self.idle < Duration::from_secs(1), "idle", "must be at least 1s"),
        ];
        rules.iter().filter(|(broken, ..)| *broken).map(|&(_, key, problem)| (key, problem)).collect()
    }
}

/// The jars of the jobs that this crawler has worked on lately.
#[derive(Clone)]
pub(crate) struct Jars {
    jars: Cache<JobId, Arc<Jar>>,
    per_job: usize,
}

impl Jars {
    pub(crate) fn new(config: &Config) -> Self {
        let jars = Cache::builder().max_capacity(config.jobs).time_to_idle(config.idle).build();
        Self { jars, per_job: config.per_job }
    }

    /// Cookies that a jar has room for.
    pub(crate) fn room(&self) -> usize {
        self.per_job
    }

    /// The jar of a job; an empty one at its first request here.
    pub(crate) async fn of(&self, job: JobId) -> Arc<Jar> {
        self.jars.get_with(job, async { Arc::new(Jar::new(self.per_job)) }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_has_a_jar_of_its_own() {
        let config = Config { jobs: 10, per_job: 5, idle: Duration::from_secs(60) };
        assert_eq!(config.check(), []);
        let jars = Jars::new(&config);
        let (one, other) = (JobId::new(), JobId::new());
        assert!(Arc::ptr_eq(&jars.of(one).await, &jars.of(one).await));
        assert!(!Arc::ptr_eq(&jars.of(one).await, &jars.of(other).await));
        let broken = Config { jobs: 0, per_job: 0, idle: Duration::ZERO };
        assert_eq!(broken.check().len(), 3);
    }
}
