//! The blocks of a prompt: what an engine's prefix cache may have of it.

use twox_hash::XxHash3_64;

use super::json::Json;

/// Bytes of a block: some 128 tokens, which are 8 blocks of vLLM's cache.
pub(crate) const BLOCK: usize = 512;
/// The blocks of a prompt that are told apart: 4 MiB.
const MOST: usize = 8192;

/// The parts of a body that make the prompt, in the order in which chat templates put them.
///
/// They are taken as they are written, since a client writes the same conversation the same way
/// each time: with all that the template may use, and in one pass. Two clients that write the
/// same text differently share no blocks.
#[derive(Debug, Default)]
pub(super) struct Parts<'a> {
    tools: &'a [u8],
    system: &'a [u8],
    messages: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn takes(key: &[u8]) -> bool {
        matches!(
            key,
            b"tools" | b"system" | b"instructions" | b"messages" | b"input" | b"prompt"
        )
    }

    /// Skips a member that is a part; of several the first counts.
    pub(super) fn member(&mut self, key: &[u8], value: &mut Json<'a>) -> Option<()> {
        value.peek();
        let before = value.rest();
        let skipped = value.skip();
        let part = match key {
            b"tools" => &mut self.tools,
            b"system" | b"instructions" => &mut self.system,
            _ => &mut self.messages,
        };
        if part.is_empty() {
            let len = before.len() - value.rest().len();
            // Without its end, before which the next turn adds to it.
            let len = len - usize::from(skipped.is_some());
            *part = before.get(..len).unwrap_or_default();
        }
        skipped
    }

    /// The hash of each block, which covers all before it. What does not fill a block has none.
    pub(super) fn blocks(&self) -> Vec<u64> {
        let mut chain = Chain::default();
        let parts = [self.tools, self.system, self.messages];
        parts.into_iter().for_each(|part| chain.add(part));
        chain.blocks
    }
}

#[derive(Default)]
struct Chain {
    hash: u64,
    /// Bytes that the hash covers since the last block.
    open: usize,
    blocks: Vec<u64>,
}

impl Chain {
    fn add(&mut self, mut text: &[u8]) {
        self.blocks.reserve(text.len().div_ceil(BLOCK).min(MOST));
        while self.blocks.len() < MOST
            && let Some((piece, rest)) = text.split_at_checked(BLOCK - self.open)
        {
            self.hash(piece);
            self.blocks.push(self.hash);
            (self.open, text) = (0, rest);
        }
        if !text.is_empty() {
            self.hash(text);
            self.open += text.len().min(BLOCK - 1 - self.open);
        }
    }

    fn hash(&mut self, piece: &[u8]) {
        // A multiplication folded in itself, as wyhash has it.
        let piece = XxHash3_64::oneshot(piece) ^ 0x2d35_8dcc_aa6c_78a5;
        let product = u128::from(self.hash ^ 0x8bb8_4b93_962e_acc9) * u128::from(piece);
        self.hash = (product >> 64) as u64 ^ product as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{BodyKeys, NeededKeys};

    fn read(body: &[u8]) -> Vec<u64> {
        let needed = NeededKeys {
            blocks: true,
            ..NeededKeys::default()
        };
        BodyKeys::read(body, needed).blocks.unwrap().to_vec()
    }

    fn of(body: &Value) -> Vec<u64> {
        read(body.to_string().as_bytes())
    }

    fn common(one: &[u64], other: &[u64]) -> usize {
        one.iter()
            .zip(other)
            .take_while(|(one, other)| one == other)
            .count()
    }

    #[test]
    fn members_count_in_the_order_of_the_template() {
        let text = "x".repeat(2000);
        let one = format!(
            r#"{{"messages":[{{"a":"{text}"}}],"model":"m","system":"{text}","tools":["{text}"]}}"#
        );
        let other = format!(
            r#"{{"tools":["{text}"],"system":"{text}","stream":true,"messages":[{{"a":"{text}"}}]}}"#
        );
        assert_eq!(read(one.as_bytes()).len(), 6012 / BLOCK);
        assert_eq!(read(one.as_bytes()), read(other.as_bytes()));
    }

    #[test]
    fn other_tools_make_another_prompt() {
        let text = "x".repeat(2000);
        let of = |tool: &str| of(&json!({"tools": [tool], "prompt": text}));
        assert_eq!(common(&of("a"), &of("b")), 0);
        assert!(of("a").len() > 2);
    }

    #[test]
    fn what_is_short_or_has_no_prompt_has_no_blocks() {
        for body in [
            json!({"messages": [{"role": "user", "content": "hello"}]}),
            json!({"other": "x".repeat(5000)}),
            json!(["x".repeat(5000)]),
        ] {
            assert_eq!(of(&body), Vec::<u64>::new());
        }
    }

    #[test]
    fn the_blocks_are_bounded() {
        let body = json!({"prompt": "x".repeat((MOST + 10) * BLOCK), "system": "y".repeat(3)});
        assert_eq!(of(&body).len(), MOST);
    }

    proptest! {
        #[test]
        fn a_later_turn_begins_with_the_blocks_of_the_one_before(
            turns in prop::collection::vec("[a-z\"\\\\\n ]{0,900}", 1..8),
            system in "[a-z]{0,900}",
            at in any::<prop::sample::Index>(),
        ) {
            let body = |turns: &[String]| {
                let messages: Vec<_> = turns.iter().map(|turn| json!({"role": "user", "content": turn})).collect();
                of(&json!({"system": system, "messages": messages}))
            };
            let (before, now) = (body(&turns[..at.index(turns.len())]), body(&turns));
            prop_assert_eq!(common(&before, &now), before.len());
        }

        #[test]
        fn what_is_cut_off_has_the_blocks_as_far_as_it_goes(text in "[a-z]{0,3000}", cut in any::<prop::sample::Index>()) {
            let body = json!({"prompt": text}).to_string();
            let (whole, part) = (read(body.as_bytes()), read(&body.as_bytes()[..cut.index(body.len())]));
            prop_assert_eq!(common(&whole, &part), part.len());
        }

        #[test]
        fn a_changed_byte_changes_its_block_and_all_behind_it(text in "[a-z]{600,4000}", at in any::<prop::sample::Index>()) {
            let at = at.index(text.len());
            let mut other = text.clone();
            other.replace_range(at..=at, "A");
            let (one, other) = (of(&json!({"prompt": text})), of(&json!({"prompt": other})));
            // The quote before it counts.
            prop_assert_eq!(common(&one, &other), one.len().min((at + 1) / BLOCK));
            prop_assert!(one.iter().zip(&other).skip((at + 1) / BLOCK).all(|(one, other)| one != other));
        }
    }
}
