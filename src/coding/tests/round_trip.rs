use super::*;

#[test]
fn every_length_around_the_buffers_comes_back() {
    let pattern: Vec<u8> = (0..70_000_u32)
        .map(|i| (i.wrapping_mul(i) >> 9) as u8)
        .collect();
    for length in [0, 1, 16_383, 16_384, 16_385, 32_768, 65_536, 70_000] {
        for encoding in ALL {
            let compressed = deflate(encoding, &pattern[..length]);
            for size in [usize::MAX, compressed.len().max(2) - 1, 1000] {
                let (body, result) = inflate_in(encoding, &compressed, &[size], UNLIMITED);
                result.unwrap_or_else(|error| panic!("{encoding} {length} {size}: {error:?}"));
                assert!(body == pattern[..length], "{encoding} {length} {size}");
            }
        }
    }
}

#[test]
fn what_others_compressed_is_read() {
    const BODY: &[u8] = br#"{"model":"m","prompt":"ab ab ab ab"}"#;
    let fixtures: [(Encoding, &[u8]); 7] = [
        // gzip(1) 1.12
        (Encoding::Gzip, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xabV\xca\xcdOI\xcdQ\xb2R\xcaU\xd2Q*(\xca\xcf-(\x01r\x12\x93\x14`H\xa9\x16\x00\x9aR&\xba$\x00\x00\x00"),
        // every optional header field
        (Encoding::Gzip, b"\x1f\x8b\x08\x1f\x00\x00\x00\x00\x00\xff\x04\x00ab\x00\x00name\x00comment\x00\"\xe7\xabV\xca\xcdOI\xcdQ\xb2R\xcaU\xd2Q*(\xca\xcf-(\x01r\x12\x93\x14`H\xa9\x16\x00\x9aR&\xba$\x00\x00\x00"),
        // zlib
        (Encoding::Deflate, b"x\xda\xabV\xca\xcdOI\xcdQ\xb2R\xcaU\xd2Q*(\xca\xcf-(\x01r\x12\x93\x14`H\xa9\x16\x00\xd2n\x0b5"),
        // zlib, bare
        (Encoding::Deflate, b"\xabV\xca\xcdOI\xcdQ\xb2R\xcaU\xd2Q*(\xca\xcf-(\x01r\x12\x93\x14`H\xa9\x16\x00"),
        // Google brotli
        (Encoding::Brotli, b"\x1b#\x00\xf8\x8d\xd4b\xcd\x19\xee\x84\xb0\xb9Te\xb9i\x17E\xde\x9e:,})\xc9$\x16\x15\x01C\xf4=h\xd9\x9b\xde\x87\xac\xc0"),
        // with content size and checksum
        (Encoding::Zstd, b"(\xb5/\xfd$$!\x01\x00{\"model\":\"m\",\"prompt\":\"ab ab ab ab\"}\x97\xe7/`"),
        // with neither
        (Encoding::Zstd, b"(\xb5/\xfd\x00X!\x01\x00{\"model\":\"m\",\"prompt\":\"ab ab ab ab\"}"),
    ];
    for (encoding, compressed) in fixtures {
        for size in [1, usize::MAX] {
            let (body, result) = inflate_in(encoding, compressed, &[size], UNLIMITED);
            result.unwrap();
            assert_eq!(body, BODY, "{encoding}");
        }
    }
}

#[test]
fn both_flavours_of_deflate_are_read() {
    let body = b"{\"model\":\"deepseek-r1\"}";
    assert_eq!(
        inflate(Encoding::Deflate, &deflate_bare(body)).unwrap(),
        body
    );
    assert_eq!(
        inflate(Encoding::Deflate, &deflate(Encoding::Deflate, body)).unwrap(),
        body
    );
    // A stored block: no compression at all.
    let stored = b"\x01\x02\x00\xfd\xff{}";
    assert_eq!(inflate(Encoding::Deflate, stored).unwrap(), b"{}");
}

#[test]
fn an_empty_body_is_in_no_coding() {
    for encoding in ALL {
        assert!(matches!(
            inflate(encoding, b""),
            Err(InflateError::Truncated)
        ));
        assert_eq!(inflate(encoding, &deflate(encoding, b"")).unwrap(), b"");
    }
}

#[test]
fn only_gzip_and_zstd_go_on_with_another_member() {
    for encoding in ALL {
        let two = [deflate(encoding, b"{\"mod"), deflate(encoding, b"el\":1}")].concat();
        for size in [1, 7, usize::MAX] {
            let (body, result) = inflate_in(encoding, &two, &[size], UNLIMITED);
            match encoding {
                Encoding::Gzip | Encoding::Zstd => {
                    result.unwrap();
                    assert_eq!(body, b"{\"model\":1}", "{encoding}");
                }
                Encoding::Deflate | Encoding::Brotli => {
                    assert!(matches!(result, Err(InflateError::TrailingData)));
                }
            }
        }
    }
}

#[test]
fn skippable_zstd_frames_are_skipped() {
    let skippable = b"\x5a\x2a\x4d\x18\x03\0\0\0abc";
    let frame = deflate(Encoding::Zstd, b"{}");
    let body = [&skippable[..], &frame, skippable].concat();
    for size in [1, usize::MAX] {
        let (body, result) = inflate_in(Encoding::Zstd, &body, &[size], UNLIMITED);
        result.unwrap();
        assert_eq!(body, b"{}");
    }
}
