//! The only clock of the services. Everything further in takes the time as an argument.

use time::OffsetDateTime;

/// The time in UTC, cut to microseconds: what a database gives back equals what was put in.
#[must_use]
pub fn now() -> OffsetDateTime {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let now = OffsetDateTime::now_utc();
    let whole = now.nanosecond() / 1_000 * 1_000;
    now.replace_nanosecond(whole).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_time_is_cut_to_microseconds() {
        let now = super::now();
        assert_eq!(now.nanosecond() % 1_000, 0);
        assert!(now.offset().is_utc() && now.year() > 2024);
    }
}
