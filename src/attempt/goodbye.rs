//! Whether one side of a WebSocket session has said that it is over.

/// Follows the frames of one side (RFC 6455 section 5.2) up to its Close.
#[derive(Debug, Default)]
pub(super) struct Goodbye {
    /// What has come of the head of a frame.
    head: Vec<u8>,
    /// How much is still to come of its payload.
    payload: u64,
    is_said: bool,
}

const CLOSE: u8 = 8;

impl Goodbye {
    pub(super) fn is_said(&self) -> bool {
        self.is_said
    }

    /// Reads the next bytes of that side, however they are cut.
    pub(super) fn hear(&mut self, mut data: &[u8]) {
        while !self.is_said {
            let passed = usize::try_from(self.payload).unwrap_or(usize::MAX);
            let passed = passed.min(data.len());
            self.payload -= passed as u64;
            let Some((byte, rest)) = data.get(passed..).and_then(<[u8]>::split_first) else {
                return;
            };
            self.head.push(*byte);
            data = rest;
            if let Some((kind, payload)) = frame(&self.head) {
                self.is_said = kind == CLOSE;
                self.payload = payload;
                self.head.clear();
            }
        }
    }
}

/// The kind of a frame and the length of its payload, once its head is whole.
fn frame(head: &[u8]) -> Option<(u8, u64)> {
    let (&[first, second], more) = head.split_first_chunk()?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = more.split_first_chunk()?;
            (u16::from_be_bytes(*length).into(), rest)
        }
        127 => {
            let (length, rest) = more.split_first_chunk()?;
            (u64::from_be_bytes(*length), rest)
        }
        short => (short.into(), more),
    };
    (rest.len() == mask).then_some((first & 0x0f, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame of this kind, whose payload looks like one that closes.
    fn written(kind: u8, length: u32, is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | kind];
        match length {
            0..126 => frame.push(mask | length as u8),
            126..0x1_0000 => {
                frame.push(mask | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend(u64::from(length).to_be_bytes());
            }
        }
        frame.extend([0x88; 4].iter().filter(|_| is_masked));
        frame.resize(frame.len() + length as usize, 0x88);
        frame
    }

    fn lengths() -> impl Strategy<Value = u32> {
        prop_oneof![0..200_u32, 65_500..65_600_u32]
    }

    proptest! {
        #[test]
        fn it_is_said_by_a_close_alone_wherever_the_bytes_are_cut(
            frames in prop::collection::vec((0..8_u8, lengths(), any::<bool>()), 0..4),
            (close, is_masked) in (0..126_u32, any::<bool>()),
            size in prop_oneof![1..9_usize, 1..9000_usize],
        ) {
            let before: Vec<u8> = frames.iter().flat_map(|&(kind, length, is_masked)| {
                written(kind, length, is_masked)
            }).collect();
            let mut side = Goodbye::default();
            before.chunks(size).for_each(|bytes| side.hear(bytes));
            prop_assert!(!side.is_said());
            written(CLOSE, close, is_masked).chunks(size).for_each(|bytes| side.hear(bytes));
            prop_assert!(side.is_said());
        }
    }

    #[test]
    fn the_longest_payload_is_followed() {
        let mut side = Goodbye::default();
        side.hear(&[0x82, 127]);
        side.hear(&[0xff; 8]);
        side.hear(&[0x88; 1000]);
        assert!(!side.is_said());
    }
}
