//! Bodies that are not what they are said to be: no engine gets any of them.

use super::{
    codecs::Coding,
    send::{chat, in_pieces, layer, post, send},
};

/// Small enough that every cut can be tried.
const BODY: &[u8] = br#"{"model":"alias","prompt":"again and again and again"}"#;

#[tokio::test]
async fn cut_off() {
    for coding in Coding::ALL {
        let whole = coding.encode(BODY);
        for end in 0..whole.len() {
            let outcome = send(layer(), post(coding.name(), whole[..end].to_vec())).await;
            outcome.refused(400, "invalid_body");
        }
    }
}

#[tokio::test]
async fn followed_by_something() {
    for coding in Coding::ALL {
        for garbage in [&b"\0"[..], b"\r\n", BODY, b"\0\0\0\0\0\0\0\0"] {
            let whole = [&coding.encode(BODY), garbage].concat();
            for size in [1, whole.len() - garbage.len(), whole.len()] {
                let request = in_pieces(post(coding.name(), whole.clone()), size);
                let outcome = send(layer(), request).await;
                outcome.refused(400, "invalid_body");
            }
        }
    }
}

#[tokio::test]
async fn of_another_coding_or_of_none() {
    for coding in Coding::ALL {
        let others = Coding::ALL.into_iter().filter(|&other| other != coding);
        let wrong = others.map(|other| other.encode(chat("alias")));
        for body in wrong.chain([chat("alias")]) {
            let outcome = send(layer(), post(coding.name(), body)).await;
            assert_eq!(outcome.status(), 400, "{coding:?}");
            assert!(outcome.forwarded.is_empty());
        }
        let mut silent = post(coding.name(), coding.encode(chat("alias")));
        silent.headers_mut().remove("content-encoding");
        send(layer(), silent).await.refused(400, "invalid_json");
    }
}

/// A wrong checksum is noticed although all of the document was there.
#[tokio::test]
async fn with_a_checksum_that_is_wrong() {
    for coding in [Coding::Gzip, Coding::Deflate] {
        let mut body = coding.encode(BODY);
        let at = body.len() - if coding == Coding::Gzip { 8 } else { 1 };
        body[at] ^= 1;
        let outcome = send(layer(), post(coding.name(), body)).await;
        outcome.refused(400, "invalid_body");
    }
}

/// Whatever the byte: it is refused, or it was one that does not matter.
#[tokio::test]
async fn with_any_byte_changed() {
    for coding in [Coding::Gzip, Coding::Deflate] {
        let whole = coding.encode(BODY);
        for at in 0..whole.len() {
            let mut body = whole.clone();
            body[at] ^= 0x55;
            let mut outcome = send(layer(), post(coding.name(), body)).await;
            if outcome.status() == 200 {
                let forwarded = outcome.forwarded.remove(0);
                let same = String::from_utf8(BODY.to_vec()).unwrap();
                let same = same.replace("\"alias\"", r#""org/real \"1\"""#);
                forwarded.assert_is(same.as_bytes(), None);
            } else {
                assert_eq!(outcome.status(), 400, "{coding:?} at {at}");
                assert!(outcome.forwarded.is_empty());
            }
        }
    }
}

/// The document, not the coding, is what is wrong.
#[tokio::test]
async fn sound_around_a_document_that_is_not() {
    for coding in Coding::ALL {
        for (body, code) in [
            (&b""[..], "missing_model"),
            (b"[]", "invalid_json"),
            (br#"{"model":"alias""#, "invalid_json"),
            (br#"{"model":"alias"}}"#, "invalid_json"),
            (br#"{"a":1}"#, "missing_model"),
            (br#"{"model":7}"#, "invalid_model"),
        ] {
            let outcome = send(layer(), post(coding.name(), coding.encode(body))).await;
            outcome.refused(400, code);
        }
    }
}
