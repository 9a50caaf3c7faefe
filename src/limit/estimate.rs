//! How many tokens a request will probably use.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::events::MOST_TOKENS;

/// The output of a request that sets no maximum, while nothing is known about others.
pub(crate) const TYPICAL_OUTPUT: u64 = 256;
/// The input of a request, while nothing is known about others.
const TYPICAL_INPUT: u64 = 1024;
/// Bytes of a token, before an engine has reported any.
pub(crate) const BYTES_PER_TOKEN: u8 = 4;
/// The weight of the last answer in the average (Kthena's cost-aware scheduler has the same).
const WEIGHT: f32 = 0.2;

/// What is learned from the answers of one ModelServer.
#[derive(Debug)]
pub(crate) struct Estimates {
    /// The bits of an `f32`.
    bytes_per_token: AtomicU32,
    /// The average input; the bits of an `f32`, 0 while nothing is known.
    input: AtomicU32,
    /// The average output; the same.
    output: AtomicU32,
}

/// What a request says about the tokens that it will use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// Bytes of text in its body.
    pub(crate) text_bytes: u64,
    /// Whether there is anything else in it: what its tokens are says nothing about text.
    pub(crate) has_media: bool,
    /// The most that it lets be generated, of all its choices.
    pub(crate) max_output: Option<u64>,
}

impl Default for Estimates {
    fn default() -> Self {
        Self {
            bytes_per_token: AtomicU32::new(f32::from(BYTES_PER_TOKEN).to_bits()),
            input: AtomicU32::new(0),
            output: AtomicU32::new(0),
        }
    }
}

impl Estimates {
    /// What a token of text is on average.
    pub(crate) fn bytes_per_token(&self) -> f64 {
        f32::from_bits(self.bytes_per_token.load(Ordering::Relaxed)).into()
    }

    /// Input tokens.
    pub(crate) fn input(&self, estimate: &Estimate) -> u64 {
        (estimate.text_bytes as f64 / self.bytes_per_token()).ceil() as u64
    }

    /// Output tokens at most.
    pub(super) fn output(&self, estimate: &Estimate) -> u64 {
        let most = estimate.max_output;
        most.unwrap_or_else(|| average(&self.output, TYPICAL_OUTPUT))
    }

    /// Output tokens, of which clients allow many more than they get.
    pub(crate) fn expected_output(&self, estimate: &Estimate) -> u64 {
        let average = average(&self.output, TYPICAL_OUTPUT);
        estimate
            .max_output
            .map_or(average, |most| most.min(average))
    }

    /// Input tokens of a request of which nothing is known.
    pub(crate) fn typical_input(&self) -> u64 {
        average(&self.input, TYPICAL_INPUT)
    }

    /// A request with this estimate has used this many tokens, by the engine's
    /// report.
    pub(crate) fn learn(&self, estimate: &Estimate, input: Option<u64>, output: Option<u64>) {
        let is_text = estimate.text_bytes > 0 && !estimate.has_media;
        if let Some(input) = input.filter(|input| (1..=MOST_TOKENS).contains(input) && is_text) {
            // Far from these a report is a mistake, or the tokens are not of this text.
            let measured = (estimate.text_bytes as f32 / input as f32).clamp(0.5, 32.0);
            learn(&self.bytes_per_token, measured);
        }
        if let Some(input) = input.filter(|input| (1..=MOST_TOKENS).contains(input)) {
            learn(&self.input, input as f32);
        }
        if let Some(output) = output.filter(|output| (1..=MOST_TOKENS).contains(output)) {
            learn(&self.output, output as f32);
        }
    }
}

/// The average, or else what is typical.
fn average(average: &AtomicU32, typical: u64) -> u64 {
    match f32::from_bits(average.load(Ordering::Relaxed)) {
        0.0 => typical,
        average => average.ceil() as u64,
    }
}

/// Moves an average. Where two do so at once, one of them counts: it is an average.
fn learn(average: &AtomicU32, measured: f32) {
    let old = f32::from_bits(average.load(Ordering::Relaxed));
    let new = match old {
        0.0 => measured,
        old => old + (measured - old) * WEIGHT,
    };
    average.store(new.to_bits(), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: u64) -> Estimate {
        Estimate {
            text_bytes: bytes,
            ..Estimate::default()
        }
    }

    #[test]
    fn four_bytes_are_a_token_until_more_is_known() {
        let estimates = Estimates::default();
        assert_eq!(estimates.input(&text(401)), 101);
        estimates.learn(&text(900), Some(100), None);
        // 4 + (9 - 4) * 0.2
        assert_eq!(estimates.input(&text(500)), 100);
        for _ in 0..40 {
            estimates.learn(&text(900), Some(100), None);
        }
        assert_eq!(estimates.input(&text(900)), 101);
    }

    #[test]
    fn what_is_not_possible_teaches_nothing() {
        let estimates = Estimates::default();
        for wild in [u64::MAX, MOST_TOKENS + 1] {
            estimates.learn(&text(400), Some(wild), Some(wild));
        }
        assert_eq!(
            (estimates.input(&text(400)), estimates.output(&text(0))),
            (100, TYPICAL_OUTPUT)
        );
    }

    #[test]
    fn what_is_not_text_teaches_nothing_about_text() {
        let estimates = Estimates::default();
        let picture = Estimate {
            has_media: true,
            ..text(100)
        };
        estimates.learn(&picture, Some(1000), None);
        estimates.learn(&text(100), Some(0), Some(0));
        estimates.learn(&text(0), Some(10), None);
        assert_eq!(
            (estimates.input(&text(400)), estimates.output(&text(0))),
            (100, 256)
        );
    }

    #[test]
    fn output_is_the_clients_most_or_the_average_or_256() {
        let estimates = Estimates::default();
        let most = Estimate {
            max_output: Some(77),
            ..text(9)
        };
        assert_eq!(
            (estimates.output(&most), estimates.output(&text(9))),
            (77, 256)
        );
        estimates.learn(&text(9), None, Some(100));
        assert_eq!(estimates.output(&text(9)), 100);
        estimates.learn(&text(9), None, Some(200));
        assert_eq!(
            (estimates.output(&most), estimates.output(&text(9))),
            (77, 120)
        );
    }

    #[test]
    fn wild_reports_do_no_harm() {
        let estimates = Estimates::default();
        for (bytes, tokens) in [(1, u64::MAX), (u64::MAX, 1), (u64::MAX, u64::MAX), (1, 1)] {
            estimates.learn(&text(bytes), Some(tokens), Some(tokens));
            let input = estimates.input(&text(1000));
            assert!((31..=2000).contains(&input), "{input}");
        }
    }
}
