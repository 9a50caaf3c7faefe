use super::*;

#[test]
fn a_body_cut_short_is_truncated() {
    let body = b"{\"model\":\"deepseek-r1\",\"prompt\":\"again and again and again\"}";
    for encoding in ALL {
        let compressed = deflate(encoding, body);
        for length in 0..compressed.len() {
            let result = inflate(encoding, &compressed[..length]);
            assert!(
                matches!(result, Err(InflateError::Truncated)),
                "{encoding} {length}: {result:?}"
            );
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused_wherever_the_chunks_are_cut() {
    for encoding in ALL {
        let compressed = deflate(encoding, b"{\"model\":\"a\"}");
        for garbage in [&b"\0"[..], b"\0\0\0\0", b"{\"model\":\"b\"}", b"\r\n"] {
            let smuggled = [&compressed, garbage].concat();
            for size in [1, compressed.len(), compressed.len() + 1] {
                let (_, result) = inflate_in(encoding, &smuggled, &[size], UNLIMITED);
                assert!(
                    matches!(result, Err(InflateError::TrailingData)),
                    "{encoding} {garbage:?} {size}: {result:?}"
                );
            }
        }
    }
    let bare = [&deflate_bare(b"{}")[..], b"\0"].concat();
    assert!(matches!(
        inflate(Encoding::Deflate, &bare),
        Err(InflateError::TrailingData)
    ));
}

#[test]
fn a_further_member_must_be_whole_and_sound() {
    let member = deflate(Encoding::Gzip, b"{}");
    let result = inflate(Encoding::Gzip, &[&member[..], &member[..5]].concat());
    assert!(matches!(result, Err(InflateError::Truncated)), "{result:?}");
    let result = inflate(Encoding::Gzip, &[&member[..], b"\x1f\0"].concat());
    assert!(
        matches!(result, Err(InflateError::Corrupt(_))),
        "{result:?}"
    );
}

#[test]
fn a_damaged_body_is_corrupt() {
    let body = b"{\"model\":\"deepseek-r1\",\"prompt\":\"again and again\"}";
    // The checksum, and the data before it.
    for encoding in [Encoding::Gzip, Encoding::Deflate] {
        let mut compressed = deflate(encoding, body);
        *compressed.last_mut().unwrap() ^= 1;
        for size in [1, usize::MAX] {
            let (_, result) = inflate_in(encoding, &compressed, &[size], UNLIMITED);
            assert!(
                matches!(result, Err(InflateError::Corrupt(_))),
                "{encoding}: {result:?}"
            );
        }
    }
    for encoding in ALL {
        for plain in [&body[..], b"\xff\xff\xff\xff\xff\xff"] {
            let result = inflate(encoding, plain);
            assert!(
                matches!(result, Err(InflateError::Corrupt(_))),
                "{encoding}: {result:?}"
            );
        }
    }
}

#[test]
fn nothing_is_read_after_an_error() {
    #[derive(Debug)]
    enum Stop {
        Sink,
        Inflate(InflateError),
    }
    impl From<InflateError> for Stop {
        fn from(error: InflateError) -> Self {
            Self::Inflate(error)
        }
    }

    let compressed = deflate(Encoding::Zstd, b"{}");
    let mut inflate = Inflate::new(Encoding::Zstd, UNLIMITED);
    let result = feed(&mut inflate, &compressed, |_| Err(Stop::Sink));
    assert!(matches!(result, Err(Stop::Sink)), "{result:?}");
    let result = feed(&mut inflate, &compressed, |_| Ok(()));
    assert!(matches!(
        result,
        Err(Stop::Inflate(InflateError::Corrupt(_)))
    ));
    assert!(inflate.finish().is_err());
}
