//! Times that both databases put in the same order.
//!
//! SQLite gets a time as RFC 3339 text, written without trailing zeros, and compares the texts: `…00Z` comes after `…00.5Z`,
//! and `…00.51Z` before `…00.5Z`. Texts of one length in one offset compare as the times do.

use sea_orm::prelude::TimeDateTimeWithTimeZone;

/// The same moment in UTC and whole microseconds, of which the last digit is never 0 (so it may be 1 µs later).
///
/// Every time that a query compares or orders must be made so, the stored one and the one it is compared with.
#[must_use]
pub fn comparable(time: TimeDateTimeWithTimeZone) -> TimeDateTimeWithTimeZone {
    let time = time.to_offset(time::UtcOffset::UTC);
    let micros = time.nanosecond() / 1000;
    let micros = if micros.is_multiple_of(10) { micros + 1 } else { micros };
    // Six digits are in range whatever the time.
    time.replace_nanosecond(micros * 1000).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use sea_orm::prelude::TimeDateTimeWithTimeZone as Time;

    use super::comparable;

    #[test]
    fn texts_have_one_length_and_the_time_moves_by_a_microsecond_at_most() {
        for nanos in [0, 1, 999, 1_000, 9_999, 10_000, 500_000_000, 999_999_999, 123_456_789] {
            let time = Time::from_unix_timestamp(1_800_000_000).unwrap().replace_nanosecond(nanos).unwrap();
            let made = comparable(time);
            assert_eq!(
                made.format(&time::format_description::well_known::Rfc3339).unwrap().len(),
                27,
                "{nanos}"
            );
            assert!((made - time).abs() <= time::Duration::MICROSECOND, "{nanos}");
            assert_eq!(comparable(made), made, "{nanos}");
        }
    }
}
