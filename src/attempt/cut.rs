//! Takes events out of a stream, and leaves every other byte as it is.

use bytes::Bytes;

/// The longest event that is held until it is known what it is; a longer one passes.
const MAX: usize = 64 << 10;

/// Passes a stream event by event. What has come of the next one waits for its end.
#[derive(Debug, Default)]
pub(super) struct Cut {
    held: Vec<u8>,
    /// Whether the beginning of the next event has passed.
    is_open: bool,
    /// Whether a line feed that comes next ends an event that has gone.
    skips_feed: bool,
}

/// Where an event ends, counted from the beginning of a chunk, and whether it goes.
pub(super) type EventEnd = (usize, bool);

impl Cut {
    /// What passes of the next chunk, in which these events end.
    pub(super) fn pass(&mut self, data: &Bytes, ends: &[EventEnd]) -> Bytes {
        let behind = ends.last().and_then(|(end, _)| data.get(*end..));
        let stays = ends.iter().all(|(_, goes)| !goes);
        if matches!(behind, Some(b"" | b"\n")) && stays && self.held.is_empty() && !self.skips_feed
        {
            self.is_open = false;
            return data.clone();
        }
        let mut passed = Vec::new();
        let mut rest = &data[..];
        let mut begin = 0;
        for (end, goes) in ends {
            let (event, after) = rest.split_at_checked(end - begin).unwrap_or((rest, &[]));
            (rest, begin) = (after, *end);
            self.hold(event);
            match *goes && !self.is_open {
                true => passed.extend_from_slice(self.drop_event()),
                false => passed.append(&mut self.held),
            }
            self.is_open = false;
        }
        // The line feed that an event that has passed ends with does not wait for the next one: until
        // it comes, clients do not know that the event is whole.
        if self.held.is_empty()
            && !self.skips_feed
            && let Some(after) = rest.strip_prefix(b"\n")
        {
            passed.push(b'\n');
            rest = after;
        }
        self.hold(rest);
        if self.is_open || self.held.len() > MAX {
            self.is_open = true;
            passed.append(&mut self.held);
        }
        passed.into()
    }

    /// What passes at the end of the stream, where the last event goes or not.
    pub(super) fn end(&mut self, goes: bool) -> Bytes {
        match goes && !self.is_open {
            true => Bytes::from_static(self.drop_event()),
            false => std::mem::take(&mut self.held).into(),
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let skips = self.skips_feed && bytes.first() == Some(&b'\n');
        self.skips_feed &= bytes.is_empty();
        let bytes = bytes.get(usize::from(skips)..).unwrap_or_default();
        self.held.extend_from_slice(bytes);
    }

    /// The event that is held goes. What is left of it is the line feed that the event before it
    /// ends with: a line that ends with CR LF is over at its CR.
    fn drop_event(&mut self) -> &'static [u8] {
        self.skips_feed = self.held.last() == Some(&b'\r');
        let is_before = self.held.first() == Some(&b'\n');
        self.held.clear();
        if is_before { b"\n" } else { b"" }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_stays_is_the_same_whatever_the_chunks(
            events in prop::collection::vec(("[a-z]{1,9}", any::<bool>()), 0..8),
            tail in "[a-z]{0,5}",
            size in 1..20_usize,
        ) {
            let whole: String = events.iter().map(|(event, _)| &**event).chain([&*tail]).collect();
            let stays = events.iter().filter(|(_, goes)| !goes).map(|(event, _)| &**event);
            let expected: String = stays.chain([&*tail]).collect();
            let ends: Vec<_> = events.iter().scan(0, |at, (event, goes)| {
                *at += event.len();
                Some((*at, *goes))
            }).collect();
            let mut cut = Cut::default();
            let mut passed = Vec::new();
            let mut at = 0;
            for chunk in whole.as_bytes().chunks(size) {
                let here = at + 1..=at + chunk.len();
                let ends: Vec<_> = ends.iter().filter(|(end, _)| here.contains(end))
                    .map(|(end, goes)| (end - at, *goes)).collect();
                passed.extend_from_slice(&cut.pass(&Bytes::copy_from_slice(chunk), &ends));
                at += chunk.len();
            }
            passed.extend_from_slice(&cut.end(false));
            prop_assert_eq!(String::from_utf8(passed).unwrap(), expected);
        }
    }

    #[test]
    fn an_event_does_not_wait_for_the_next_one() {
        for (chunks, expected) in [
            // The reader has an event end at the CR of its empty line.
            (&[("a\r\n\r\n", &[(4, false)][..])][..], &["a\r\n\r\n"][..]),
            (
                &[("a\r\n\r", &[(4, false)]), ("\n", &[])],
                &["a\r\n\r", "\n"],
            ),
            (&[("a\r\n\r\nb", &[(4, false)])], &["a\r\n\r\n"]),
            (
                &[
                    ("a\r\n\r\nb\r\n\r\n", &[(4, false), (9, true)]),
                    ("c\r\n\r\n", &[(4, false)]),
                ],
                &["a\r\n\r\n", "c\r\n\r\n"],
            ),
            (
                &[
                    ("b\r\n\r", &[(4, true)]),
                    ("\nc", &[]),
                    ("\r\n\r\n", &[(3, false)]),
                ],
                &["", "", "c\r\n\r\n"],
            ),
        ] {
            let mut cut = Cut::default();
            let passed: Vec<_> = chunks
                .iter()
                .map(|(chunk, ends)| cut.pass(&Bytes::from_static(chunk.as_bytes()), ends))
                .collect();
            assert_eq!(passed, expected, "{chunks:?}");
        }
    }

    #[test]
    fn an_event_that_is_too_long_to_hold_passes() {
        let mut cut = Cut::default();
        let chunk = Bytes::from(vec![b'x'; MAX / 2 + 1]);
        assert!(cut.pass(&chunk, &[]).is_empty());
        assert_eq!(cut.pass(&chunk, &[]).len(), MAX + 2);
        assert_eq!(cut.pass(&chunk, &[(chunk.len(), true)]), chunk);
        assert!(cut.pass(&chunk, &[(chunk.len(), true)]).is_empty());
    }
}
