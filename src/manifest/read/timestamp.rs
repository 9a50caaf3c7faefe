//! `creationTimestamp`: RFC 3339, as something that can be compared.
//!
//! Written by hand: a crate for dates would be a dependency for one comparison.

/// Seconds since 1970 and nanoseconds; `None` if it is not RFC 3339.
pub(crate) fn parse(text: &str) -> Option<(i64, u32)> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let [hours, minutes] = numbers(&zone[1..], ':', [2, 2])?;
            (hours * 60 + minutes) * 60 * if zone.starts_with('-') { -1 } else { 1 }
        }
    };
    if !valid || fraction.is_empty() || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some((seconds - offset, nanos))
}

fn numbers<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part = parts.next()?;
        let digits = part.len() == length && part.bytes().all(|digit| digit.is_ascii_digit());
        *number = part.parse().ok().filter(|_| digits)?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Days since 1970-01-01 in the Gregorian calendar, whose cycle is 400 years.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    cycle * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_seconds_since_1970() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some((0, 0))),
            ("2024-02-29T12:00:01Z", Some((1_709_208_001, 0))),
            ("2024-02-29T13:00:01+01:00", Some((1_709_208_001, 0))),
            (
                "2024-02-29t07:00:01.25-05:00",
                Some((1_709_208_001, 250_000_000)),
            ),
            ("1969-12-31T23:59:59Z", Some((-1, 0))),
            ("2025-13-01T00:00:00Z", None),
            ("2025-01-01", None),
            ("2025-01-01T00:00:00", None),
            ("yesterday", None),
            ("2025-01-01T00:00:00.Z", None),
            ("2025-1-1T00:00:00Z", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
