//! Durations as Go writes them: `10s`, `1m30s`, `100ms`.
//!
//! Written by hand: crates such as humantime also read days and years, which Go refuses.

use std::time::Duration;

const NANOS: [(&str, u128); 8] = [
    // Longer names first: "ms" is not minutes.
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),  // the micro sign
    ("\u{3bc}s", 1_000), // the Greek letter mu
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads what Go's `time.ParseDuration` reads, and is not negative.
///
/// That is: a list of decimal numbers, each with an optional fraction and a
/// unit (`ns`, `us`, `ms`, `s`, `m`, `h`), or `0`; at most 2^63 - 1
/// nanoseconds, which is about 292 years.
pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    if text.starts_with('-') && text != "-0" {
        return Err("a duration can't be negative");
    }
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(SYNTAX);
    }
    let mut total = 0_u128;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(SYNTAX);
        }
        let (unit, after) = NANOS
            .iter()
            .find_map(|(name, nanos)| Some((*nanos, after.strip_prefix(name)?)))
            .ok_or(SYNTAX)?;
        total = total
            .checked_add(nanoseconds(whole, fraction, unit).ok_or(TOO_LONG)?)
            .filter(|total| *total <= i64::MAX as u128)
            .ok_or(TOO_LONG)?;
        rest = after;
    }
    Ok(Duration::from_nanos(
        u64::try_from(total).map_err(|_| TOO_LONG)?,
    ))
}

const SYNTAX: &str = "durations are written like \"10s\", \"1m30s\" or \"100ms\"";
const TOO_LONG: &str = "the duration is longer than 292 years";

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Fractions of a nanosecond are cut off.
fn nanoseconds(whole: &str, fraction: &str, unit: u128) -> Option<u128> {
    let whole: u128 = match whole {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    // Digits beyond the 18th are worth less than a nanosecond, even in hours.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let (mut part, mut scale) = (0_u128, 1_u128);
    for digit in fraction.bytes() {
        part = part * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    whole.checked_mul(unit)?.checked_add(part * unit / scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::format;

    #[test]
    fn what_go_reads_is_read_alike() {
        for (text, nanos) in [
            ("10s", 10_000_000_000),
            ("1m30s", 90_000_000_000),
            ("100ms", 100_000_000),
            ("0", 0),
            ("+0", 0),
            ("-0", 0),
            ("0s", 0),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("1.9ns", 1),
            ("0.000000001s", 1),
            ("3us", 3_000),
            ("3\u{b5}s", 3_000),
            ("3\u{3bc}s", 3_000),
            ("1h2m3s4ms5us6ns", 3_723_004_005_006),
            ("1s1s", 2_000_000_000),
            ("9223372036854775807ns", i64::MAX as u64),
            ("0.100000000000000000000h", 360_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "10",
            "s",
            ".",
            ".s",
            "1 s",
            " 1s",
            "1s ",
            "1d",
            "1S",
            "+",
            "-",
            "--1s",
            "1e3s",
            "1m30",
            "9223372036854775808ns",
            "3000000h",
            "99999999999999999999999999999999999999999s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("-1s"), Err("a duration can't be negative"));
    }

    proptest! {
        #[test]
        fn written_durations_are_read_back(nanos in prop_oneof![0..=i64::MAX as u64, 0..10_000_u64]) {
            for duration in [
                Duration::from_nanos(nanos),
                Duration::from_millis(nanos % 1_000_000),
                Duration::from_secs(nanos % 1_000_000),
            ] {
                prop_assert_eq!(parse(&format(duration)), Ok(duration));
            }
        }
    }
}
