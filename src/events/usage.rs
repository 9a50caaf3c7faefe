use super::dialect::Dialect;

/// The most tokens that an answer can have used: the longest contexts have 10 million. Taken as it
/// is, a count that is wild would lock a bucket for years, and wrap every sum that it goes into.
pub(crate) const MOST_TOKENS: u64 = 1 << 24;

/// The token counts that an engine has reported so far, as reported.
///
/// If an engine reports more than once, the last count holds: they are running totals in every
/// dialect. They are not normalized: Anthropic's input excludes cached tokens, Gemini's output
/// excludes thoughts.
///
/// A count above 16,777,216, which no answer can have, is treated as not reported by observers and
/// limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Usage {
    /// `prompt_tokens`, `input_tokens`, `promptTokenCount`, `prompt_eval_count`.
    pub input: Option<u64>,
    /// `completion_tokens`, `output_tokens`, `candidatesTokenCount`, `eval_count`.
    pub output: Option<u64>,
    /// `total_tokens`, `totalTokenCount`.
    pub total: Option<u64>,
    /// Read from a cache: `cached_tokens`, `cache_read_input_tokens`, `prompt_cache_hit_tokens`,
    /// `cachedContentTokenCount`.
    pub cached: Option<u64>,
    /// Written to a cache: `cache_creation_input_tokens`, `cache_write_tokens`, `created_cache_tokens`.
    pub cache_written: Option<u64>,
    /// `reasoning_tokens`, `thinking_tokens`, `thoughtsTokenCount`.
    pub reasoning: Option<u64>,
    /// Audio tokens in the input: `audio_tokens`, or those of the modality
    /// `AUDIO`.
    pub input_audio: Option<u64>,
    /// Audio tokens in the output: `audio_tokens`, or those of the modality
    /// `AUDIO`.
    pub output_audio: Option<u64>,
}

/// A count of [`Usage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Input,
    Output,
    Total,
    Cached,
    CacheWritten,
    Reasoning,
    InputAudio,
    OutputAudio,
}

impl Usage {
    /// Without the counts that are not believed.
    pub(crate) fn believed(mut self) -> Self {
        let Self {
            input,
            output,
            total,
            cached,
            cache_written,
            reasoning,
            input_audio,
            output_audio,
        } = &mut self;
        let (all, parts) = (
            [input, output, total, cached],
            [cache_written, reasoning, input_audio, output_audio],
        );
        for count in all.into_iter().chain(parts) {
            *count = count.filter(is_possible);
        }
        self
    }

    /// All tokens that were read and all that were made, whatever the API counts apart: Anthropic
    /// what was cached, Gemini the thoughts and what its tools have read. Rerankers have a total only.
    ///
    /// They are of the counts as given: a sum of which a part is not believed is not known.
    pub(crate) fn totals(&self, dialect: Dialect) -> (Option<u64>, Option<u64>) {
        let sum = |parts: &[Option<u64>]| {
            let known = parts.iter().copied().flatten();
            known.reduce(u64::saturating_add).filter(is_possible)
        };
        let input = match dialect {
            // What was cached says nothing about the rest.
            Dialect::Messages if self.input.is_none() => None,
            Dialect::Messages => sum(&[self.input, self.cached, self.cache_written]),
            _ => sum(&[self.input]),
        };
        let output = match dialect {
            Dialect::Gemini => sum(&[self.output, self.reasoning]),
            _ => sum(&[self.output]),
        };
        let Some(total) = sum(&[self.total]) else {
            return (input, output);
        };
        let output = output.or_else(|| total.checked_sub(input?));
        let rest = Some(total.saturating_sub(output.unwrap_or(0)));
        let input = match dialect {
            Dialect::Gemini => input.max(rest),
            _ => input.or(rest),
        };
        (input, output)
    }

    pub(super) fn set(&mut self, count: Count, value: u64) {
        *self.place(count) = Some(value);
    }

    /// Of one of several answers.
    pub(super) fn add(&mut self, count: Count, value: u64) {
        let place = self.place(count);
        *place = Some(place.unwrap_or(0).saturating_add(value));
    }

    fn place(&mut self, count: Count) -> &mut Option<u64> {
        match count {
            Count::Input => &mut self.input,
            Count::Output => &mut self.output,
            Count::Total => &mut self.total,
            Count::Cached => &mut self.cached,
            Count::CacheWritten => &mut self.cache_written,
            Count::Reasoning => &mut self.reasoning,
            Count::InputAudio => &mut self.input_audio,
            Count::OutputAudio => &mut self.output_audio,
        }
    }
}

fn is_possible(count: &u64) -> bool {
    *count <= MOST_TOKENS
}

#[cfg(test)]
mod tests {
    use super::*;

    const WILD: u64 = MOST_TOKENS + 1;

    fn said(counts: &[(Count, u64)]) -> Usage {
        let mut usage = Usage::default();
        for (count, value) in counts {
            usage.set(*count, *value);
        }
        usage
    }

    #[test]
    fn a_count_that_is_not_possible_is_as_if_it_were_not_said() {
        let all = [
            Count::Input,
            Count::Output,
            Count::Total,
            Count::Cached,
            Count::CacheWritten,
            Count::Reasoning,
            Count::InputAudio,
            Count::OutputAudio,
        ];
        for wild in [WILD, u64::MAX] {
            assert_eq!(
                said(&all.map(|count| (count, wild))).believed(),
                Usage::default()
            );
        }
        let most = said(&all.map(|count| (count, MOST_TOKENS)));
        assert_eq!(most.believed(), most);
    }

    #[test]
    fn a_sum_with_a_part_that_is_not_possible_is_not_known() {
        use Count::{CacheWritten, Cached, Input, Output, Reasoning, Total};
        for (dialect, counts, totals) in [
            (
                Dialect::Chat,
                &[(Input, 7), (Output, WILD)][..],
                (Some(7), None),
            ),
            (
                Dialect::Chat,
                &[(Input, WILD), (Output, 7), (Total, u64::MAX)],
                (None, Some(7)),
            ),
            (
                Dialect::Gemini,
                &[(Input, 7), (Output, WILD), (Reasoning, 5)],
                (Some(7), None),
            ),
            (
                Dialect::Messages,
                &[(Input, WILD), (Cached, 5), (Output, 7)],
                (None, Some(7)),
            ),
            (
                Dialect::Messages,
                &[(Input, MOST_TOKENS), (CacheWritten, 1)],
                (None, None),
            ),
        ] {
            assert_eq!(said(counts).totals(dialect), totals, "{counts:?}");
        }
    }

    #[test]
    fn what_is_not_said_is_the_rest_of_the_total() {
        use Count::{Cached, Input, Output, Total};
        for (dialect, counts, totals) in [
            (
                Dialect::Chat,
                &[(Input, 7), (Total, 507)][..],
                (Some(7), Some(500)),
            ),
            (
                Dialect::Chat,
                &[(Output, 7), (Total, 507)],
                (Some(500), Some(7)),
            ),
            (Dialect::Chat, &[(Total, 11)], (Some(11), None)),
            // A total that is less than its part says nothing.
            (Dialect::Chat, &[(Input, 7), (Total, 6)], (Some(7), None)),
            // Of a prompt that was blocked; what is 0 is left out.
            (
                Dialect::Gemini,
                &[(Input, 4), (Total, 4)],
                (Some(4), Some(0)),
            ),
            (
                Dialect::Messages,
                &[(Cached, 0), (Output, 7)],
                (None, Some(7)),
            ),
        ] {
            assert_eq!(said(counts).totals(dialect), totals, "{counts:?}");
        }
    }
}
