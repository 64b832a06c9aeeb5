//! How old a page is by what is said of it before it is fetched: a sitemap's `lastmod`, or the date in its URL.

use time::{Date, OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use url::Url;

const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const SECONDS_OF_A_DAY: f64 = 86_400.0;
/// Before this year there were no pages: the number is something else.
const FIRST_YEAR: i32 = 1991;

/// Days since a W3C date (`2026`, `2026-11`, `2026-11-01`, with or without a time).
pub(crate) fn age_days(lastmod: &str, now: OffsetDateTime) -> Option<f64> {
    let day = lastmod.get(..10.min(lastmod.len()))?;
    let whole = match day.len() {
        4 => format!("{day}-01-01"),
        7 => format!("{day}-01"),
        _ => day.to_owned(),
    };
    let date = Date::parse(&whole, DAY).ok()?.midnight().assume_utc();
    Some((now - date).as_seconds_f64().max(0.0) / SECONDS_OF_A_DAY)
}

/// Days since the date in the path of a URL, as blogs and newspapers write it: `/2026/11/21/a`, `/2026/11/a`, `/2026/a`,
/// `/2026-11-21-a`. A year that is yet to come is none.
pub(crate) fn age_of_url(url: &str, now: OffsetDateTime) -> Option<f64> {
    let url = Url::parse(url).ok()?;
    let segments: Vec<&str> = url.path_segments()?.collect();
    segments.iter().enumerate().find_map(|(at, segment)| {
        let year = segment.get(..4).filter(|year| year.bytes().all(|digit| digit.is_ascii_digit()))?;
        if !(FIRST_YEAR..=now.year()).contains(&year.parse().ok()?) {
            return None;
        }
        if segment.len() > 4 {
            return segment.get(..10).and_then(|day| age_days(day, now));
        }
        let part = |after: usize, most: u8| {
            let number = segments.get(at + after).and_then(|part| part.parse::<u8>().ok());
            number.filter(|number| (1..=most).contains(number))
        };
        let month = part(1, 12);
        let day = month.and_then(|_| part(2, 31));
        age_days(&format!("{year}-{:02}-{:02}", month.unwrap_or(1), day.unwrap_or(1)), now)
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn ages_are_days() {
        let now = datetime!(2026-11-21 12:00 UTC);
        for (lastmod, age) in [
            ("2026-11-20", Some(1.5)),
            ("2026-11-20T10:00:00+02:00", Some(1.5)),
            ("2026-11", Some(20.5)),
            ("2027", Some(0.0)),
            ("yesterday", None),
            ("2026-13-01", None),
        ] {
            assert_eq!(age_days(lastmod, now), age, "{lastmod}");
        }
    }

    #[test]
    fn urls_carry_dates() {
        let now = datetime!(2026-11-21 12:00 UTC);
        for (path, age) in [
            ("/2026/11/20/a", Some(1.5)),
            ("/blog/2026/11/a", Some(20.5)),
            ("/2026/1/1/", Some(324.5)),
            ("/2026/", Some(324.5)),
            ("/news/2026-11-20-a.html", Some(1.5)),
            ("/2026/11/31/a", None),
            ("/2026/13/a", Some(324.5)),
            ("/2077/01/01/", None),
            ("/1024/01/", None),
            ("/20261120/", None),
            ("/p/1234567", None),
            ("/", None),
        ] {
            assert_eq!(age_of_url(&format!("https://example.com{path}"), now), age, "{path}");
        }
    }
}
