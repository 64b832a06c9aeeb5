//! The header `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2).

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

const HEADER: &str = "grpc-timeout";
/// Longer ones cannot be meant; the clock must be able to add it.
pub(crate) const MAX: Duration = Duration::from_secs(24 * 3600);

/// The time that a call has. None if it does not say, or not so that it can be understood.
pub(crate) fn read(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Says that a call has `timeout`, at most a day.
pub(crate) fn write(headers: &mut HeaderMap, timeout: Duration) {
    // A day in milliseconds has eight digits. Rounded up: zero would mean "too late already".
    let millis = timeout.min(MAX).as_micros().div_ceil(1_000);
    if let Ok(value) = HeaderValue::from_str(&format!("{millis}m")) {
        headers.insert(HEADER, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_says() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("100m", Some(Duration::from_millis(100))),
            ("2H", Some(Duration::from_secs(7200))),
            ("0n", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("", None),
            ("S", None),
            ("5", None),
            ("5s", None),
            ("-5S", None),
            ("+5S", None),
            ("123456789S", None),
            ("5é", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(read(&headers), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (timeout, expected) in [
            (Duration::from_secs(30), Duration::from_secs(30)),
            (Duration::from_micros(10), Duration::from_millis(1)),
            (Duration::from_secs(1_000_000), MAX),
        ] {
            let mut headers = HeaderMap::new();
            write(&mut headers, timeout);
            assert_eq!(read(&headers), Some(expected));
        }
    }
}
