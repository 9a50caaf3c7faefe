use super::dialect::Dialect;

/// The counts of tokens that an engine has reported so far, exactly as given.
///
/// Where an engine reports more than once, the last count holds: they are running totals in every
/// dialect. They are not made comparable: Anthropic's input is without what was cached, Gemini's
/// output without its thoughts.
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
    /// Written to a cache: `cache_creation_input_tokens`, `cache_write_tokens`.
    pub cache_written: Option<u64>,
    /// `reasoning_tokens`, `thoughtsTokenCount`.
    pub reasoning: Option<u64>,
    /// Of the input: `audio_tokens`, or of the modality `AUDIO`.
    pub input_audio: Option<u64>,
    /// Of the output: `audio_tokens`, or of the modality `AUDIO`.
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
    /// All tokens that were read and all that were made, whatever the API counts apart: Anthropic
    /// what was cached, Gemini the thoughts and what its tools have read. Rerankers have a total only.
    pub(crate) fn totals(&self, dialect: Dialect) -> (Option<u64>, Option<u64>) {
        let sum = |parts: &[Option<u64>]| {
            let known = parts.iter().copied().flatten();
            known.reduce(u64::saturating_add)
        };
        let output = match dialect {
            Dialect::Gemini => sum(&[self.output, self.reasoning]),
            _ => self.output,
        };
        let rest = self
            .total
            .map(|total| total.saturating_sub(output.unwrap_or(0)));
        let input = match dialect {
            Dialect::Messages => sum(&[self.input, self.cached, self.cache_written]).or(rest),
            Dialect::Gemini => self.input.max(rest),
            _ => self.input.or(rest),
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
