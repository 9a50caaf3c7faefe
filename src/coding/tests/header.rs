use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};

use crate::{
    coding::{encoding::Unsupported, tests::ALL},
    config::Encoding,
    error::ACCEPTED_ENCODINGS,
};

fn headers(values: &[&'static str]) -> HeaderMap {
    values
        .iter()
        .map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value)))
        .collect()
}

#[test]
fn the_header_names_one_coding_or_none() {
    for (values, expected) in [
        (&[][..], Ok(None)),
        (&[""], Ok(None)),
        (&["identity"], Ok(None)),
        (&["Identity, ", "identity"], Ok(None)),
        (&["gzip"], Ok(Some(Encoding::Gzip))),
        (&["X-GZip"], Ok(Some(Encoding::Gzip))),
        (&[" deflate\t"], Ok(Some(Encoding::Deflate))),
        (&["identity,br"], Ok(Some(Encoding::Brotli))),
        (&["", "zstd"], Ok(Some(Encoding::Zstd))),
        (&["gzip, gzip"], Err(Unsupported)),
        (&["gzip", "br"], Err(Unsupported)),
        (&["gzip;q=1"], Err(Unsupported)),
        (&["compress"], Err(Unsupported)),
        (&["gzip identity"], Err(Unsupported)),
    ] {
        let headers = headers(values);
        assert_eq!(Encoding::from_headers(&headers), expected, "{values:?}");
    }
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_ENCODING,
        HeaderValue::from_bytes(b"gzip\xff").unwrap(),
    );
    assert_eq!(Encoding::from_headers(&headers), Err(Unsupported));
    for encoding in ALL {
        assert_eq!(
            Encoding::from_name(encoding.name().as_bytes()),
            Some(encoding)
        );
        assert!(ACCEPTED_ENCODINGS.contains(encoding.name()));
    }
}
