use proptest::prelude::*;

use super::*;

fn encodings() -> impl Strategy<Value = Encoding> {
    proptest::sample::select(&ALL[..])
}

/// Bytes with repeats in them, some too far apart for small windows.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        ("[a-c ]{1,20}", 1..600_usize).prop_map(|(text, times)| text.repeat(times).into_bytes()),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn chunk_sizes() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![1..4_usize, 1..400_usize], 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_chunks_in_any_chunks_out(
        encoding in encodings(),
        body in bodies(),
        fed in proptest::collection::vec(1..8000_usize, 1..4),
        sizes in chunk_sizes(),
    ) {
        let mut compressed = Vec::new();
        let mut deflate = Deflate::new(encoding);
        let mut rest = &body[..];
        for size in fed.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at(rest.len().min(*size));
            deflate.feed(chunk, &mut compressed).unwrap();
            rest = after;
        }
        deflate.finish(&mut compressed).unwrap();

        let (inflated, result) = inflate_in(encoding, &compressed, &sizes, UNLIMITED);
        prop_assert!(result.is_ok(), "{:?}", result);
        prop_assert_eq!(inflated, body);
    }

    /// Whether a body is accepted, and as what, doesn't depend on how it is split
    /// into chunks. Only a zstd frame that arrives as a whole is checked more
    /// strictly: its content must have the declared length, even if an empty
    /// block ends it.
    #[test]
    fn a_damaged_body_is_judged_alike_in_any_chunks(
        encoding in encodings(),
        body in bodies(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1..=255_u8), 0..3),
        tail in proptest::collection::vec(any::<u8>(), 0..3),
        sizes in chunk_sizes(),
    ) {
        let mut damaged = deflate(encoding, &body);
        for (index, flip) in flips {
            let index = index.index(damaged.len());
            damaged[index] ^= flip;
        }
        damaged.extend_from_slice(&tail);
        let whole = inflate(encoding, &damaged);
        let (pieces, result) = inflate_in(encoding, &damaged, &sizes, UNLIMITED);
        match whole {
            Ok(whole) => {
                prop_assert!(result.is_ok(), "{:?}", result);
                prop_assert_eq!(whole, pieces);
            }
            Err(_) if encoding == Encoding::Zstd => {}
            Err(error) => prop_assert!(result.is_err(), "only in one piece: {:?}", error),
        }
    }
}
