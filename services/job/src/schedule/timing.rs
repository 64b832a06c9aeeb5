//! When a schedule creates jobs: a cron expression in a time zone, or an interval.
//!
//! Where clocks go forward, a time that does not exist comes at the first instant after the gap. Where they go back, a single time
//! of the day comes once, the first time, and what comes more often than daily comes in both hours.

use std::time::Duration;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, Zoned, tz::TimeZone};
use time::OffsetDateTime;

/// How far ahead times are compared, and how many: more than a day of minutes, more than a year of days.
const AHEAD: Duration = Duration::from_secs(400 * 86_400);
const COMPARED: usize = 1500;
/// The shortest time between two times of any cron expression.
const MINUTE: Duration = Duration::from_secs(60);

/// When.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timing {
    /// At the times of an expression, in a time zone by its IANA name.
    Cron { expression: String, time_zone: String },
    /// From one time to the next.
    Every(Duration),
}

/// What is wrong with a timing: the field, a reason for programs, a description for humans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) field: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) description: String,
}

impl Timing {
    /// Reads an expression and a time zone; an empty one is UTC.
    pub(crate) fn cron(expression: &str, time_zone: &str) -> Result<Self, Refusal> {
        parse(expression)?;
        let zone = zone(if time_zone.is_empty() { "UTC" } else { time_zone })?;
        // As the database spells it.
        let time_zone = zone.iana_name().unwrap_or(time_zone).to_owned();
        Ok(Self::Cron { expression: expression.trim().to_owned(), time_zone })
    }

    /// The first time after `now`. Those of an interval keep their distance from `due`, the last one, however late it was.
    pub(crate) fn next(
        &self,
        due: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<OffsetDateTime, Refusal> {
        match self {
            Self::Cron { expression, time_zone } => {
                let cron = parse(expression)?;
                following(&cron, &zoned(now, zone(time_zone)?)?).map(|time| instant(&time))
            }
            Self::Every(interval) => {
                let due = due.unwrap_or(now);
                let late = u128::try_from((now - due).whole_nanoseconds()).unwrap_or(0);
                let times = late / interval.as_nanos().max(1) + 1;
                Ok(due + *interval * u32::try_from(times).unwrap_or(u32::MAX))
            }
        }
    }

    /// Refuses a timing that comes more often than every `least`.
    pub(crate) fn check(&self, least: Duration, now: OffsetDateTime) -> Result<(), Refusal> {
        let Self::Cron { expression, time_zone } = self else { return Ok(()) };
        let cron = parse(expression)?;
        let start = zoned(now, zone(time_zone)?)?;
        let mut last = following(&cron, &start)?;
        if least <= MINUTE {
            return Ok(());
        }
        for _ in 0..COMPARED {
            let Ok(next) = following(&cron, &last) else { return Ok(()) };
            let distance = instant(&next) - instant(&last);
            if distance < least {
                let description = format!("comes again after {distance}, sooner than {least:?}");
                return Err(Refusal { field: "cron", reason: "TOO_OFTEN", description });
            }
            if instant(&next) - now > AHEAD {
                return Ok(());
            }
            last = next;
        }
        Ok(())
    }
}

fn parse(expression: &str) -> Result<Cron, Refusal> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(expression).map_err(|error| invalid(error.to_string()))
}

fn invalid(description: String) -> Refusal {
    Refusal { field: "cron", reason: "INVALID_CRON", description }
}

fn zone(name: &str) -> Result<TimeZone, Refusal> {
    TimeZone::get(name).map_err(|_| Refusal {
        field: "time_zone",
        reason: "UNKNOWN_TIME_ZONE",
        description: "is not a time zone of the IANA database".to_owned(),
    })
}

fn zoned(time: OffsetDateTime, zone: TimeZone) -> Result<Zoned, Refusal> {
    let time = Timestamp::from_nanosecond(time.unix_timestamp_nanos());
    time.map(|time| time.to_zoned(zone)).map_err(|error| invalid(error.to_string()))
}

fn following(cron: &Cron, after: &Zoned) -> Result<Zoned, Refusal> {
    cron.find_next_occurrence(after, false).map_err(|_| invalid("never comes".to_owned()))
}

fn instant(time: &Zoned) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(time.timestamp().as_nanosecond())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
