use super::*;

/// 200 MB of zeros: brotli at quality 5, with the largest window.
const BROTLI_BOMB: &[u8] = b"\xcf\xff\xff\x7f\x00$\x00\xe2\xb1@r\xef\xff\xf9\xff\xff\x0f\x80\x04@\x1c\x16\x80\xee\xfd?\xff\xff\xff\x01\x90\x00\x88\xc3\x02\xd0\xbd\xff\xe7\xff\xff?\x00\x12\x00qX\x00\xba\xf7\xff\xfc\xff\xff\x07@\x02 \x0e\x0b@\xf7\xfe\x9f\xff\xff\xff\x00H\x00\xc4a\x01\xe8\xde\xff\xf3\xff\xff\x1f\x00\x09\x808,\x00\xdd\xfb\x7f\xfe\xff\xff\x03 \x01\x10\x87\x05\xa0{\xff\xcf\xff\xff\x7f\x00$\x00\xe2\xb0\x00t\xef\xff\xf9\xff\xff\x0f\x80\x04@\x1c\x16\x80\xee\xfd?\xff\xff\xff\x01\x90\x00\x88\xc3\x02\xd0\xbd\xff\xe7\xff\xff?\x00\x12\x00qX\x00\xba\xf7\xff\xf9\xff\xff\x07@\x02 \x0e\x0b@\xf7\xfe\x0f";

/// 200 MB of zeros in 6.4 KB: blocks of 128 KiB that are one byte repeated.
fn zstd_bomb() -> Vec<u8> {
    const BLOCKS: u32 = 1600;
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for block in 1..=BLOCKS {
        let header = (128 << 10 << 3) | (1 << 1) | u32::from(block == BLOCKS);
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(0);
    }
    bomb
}

#[test]
fn the_limit_is_the_last_byte_allowed() {
    let body = [b'x'; 40_000];
    for encoding in ALL {
        let compressed = deflate(encoding, &body);
        for (max_bytes, fits) in [(40_000, true), (39_999, false), (0, false)] {
            let limits = InflateLimits {
                max_bytes,
                max_ratio: 1,
            };
            for size in [3, usize::MAX] {
                let (out, result) = inflate_in(encoding, &compressed, &[size], limits);
                assert!(out.len() as u64 <= max_bytes);
                match result {
                    Ok(()) => assert!(fits && out == body, "{encoding}"),
                    Err(error) => assert!(!fits && matches!(error, InflateError::TooLarge(_))),
                }
            }
        }
    }
}

#[test]
fn the_ratio_counts_past_the_floor_only() {
    let floor = usize::try_from(InflateLimits::RATIO_FLOOR).unwrap();
    let zeros = vec![0; floor + 1];
    let limits = |max_ratio| InflateLimits {
        max_bytes: u64::MAX,
        max_ratio,
    };
    let at = deflate(Encoding::Gzip, &zeros[..floor]);
    let (_, result) = inflate_in(Encoding::Gzip, &at, &[usize::MAX], limits(1));
    result.unwrap();
    let past = deflate(Encoding::Gzip, &zeros);
    let (_, result) = inflate_in(Encoding::Gzip, &past, &[usize::MAX], limits(100));
    assert!(matches!(result, Err(InflateError::RatioTooHigh(_))));
    let (_, result) = inflate_in(Encoding::Gzip, &past, &[usize::MAX], limits(1100));
    result.unwrap();
}

#[test]
fn bombs_go_off_at_once() {
    let zeros = vec![0; 6 << 20];
    let gzip = deflate(Encoding::Gzip, &zeros);
    let members = deflate(Encoding::Gzip, &zeros[..1 << 20]).repeat(200);
    let bombs = [
        (Encoding::Gzip, gzip),
        (Encoding::Gzip, members),
        (Encoding::Deflate, deflate(Encoding::Deflate, &zeros)),
        (Encoding::Deflate, deflate_bare(&zeros)),
        (Encoding::Brotli, BROTLI_BOMB.to_vec()),
        (Encoding::Zstd, zstd_bomb()),
    ];
    for (encoding, bomb) in bombs {
        for size in [1, 100, usize::MAX] {
            let small = InflateLimits {
                max_bytes: 100_000,
                max_ratio: u32::MAX,
            };
            let (out, result) = inflate_in(encoding, &bomb, &[size], small);
            assert!(
                matches!(result, Err(InflateError::TooLarge(_))),
                "{encoding}"
            );
            assert!(out.len() <= 100_000);

            let dense = InflateLimits {
                max_bytes: u64::MAX,
                max_ratio: 100,
            };
            let (out, result) = inflate_in(encoding, &bomb, &[size], dense);
            assert!(
                matches!(result, Err(InflateError::RatioTooHigh(_))),
                "{encoding}"
            );
            assert!(out.len() as u64 <= InflateLimits::RATIO_FLOOR, "{encoding}");
        }
    }
}

#[test]
fn windows_are_bounded() {
    let fits = b"\x28\xb5\x2f\xfd\0\x68\x11\0\0{}";
    assert_eq!(inflate(Encoding::Zstd, fits).unwrap(), b"{}");
    // A window descriptor, or a content size that is the window: the frame's
    // header is enough to refuse it, whether it is the first frame or not.
    for header in [&b"\0\x69"[..], b"\0\xff", b"\xa0\0\0\x90\0"] {
        let huge = [b"\x28\xb5\x2f\xfd", header].concat();
        for body in [huge.clone(), [&fits[..], &huge].concat()] {
            let result = inflate(Encoding::Zstd, &body);
            assert!(
                matches!(result, Err(InflateError::Corrupt(_))),
                "{header:x?}: {result:?}"
            );
        }
    }
    // An empty stream of the extension, with a window of 1 GiB.
    let result = inflate(Encoding::Brotli, b"\x11\xde");
    assert!(
        matches!(result, Err(InflateError::Corrupt(_))),
        "{result:?}"
    );
}

#[test]
fn there_is_an_end_to_members() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let member = deflate(encoding, b"");
        inflate(encoding, &member.repeat(1024)).unwrap();
        assert!(matches!(
            inflate(encoding, &member.repeat(1025)),
            Err(InflateError::TooManyMembers)
        ));
    }
}
