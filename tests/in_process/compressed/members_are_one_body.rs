//! Bodies of several gzip members or zstd frames, which are one body.

use super::{
    codecs::{Block, Coding, Decodes, zstd_frame},
    send::{REAL, accepting, chat, in_pieces, layer, post, send},
};

/// `body` in parts, each compressed by itself; the model's name is in two of them.
fn parts(coding: Coding, body: &[u8]) -> Vec<u8> {
    let name = body.windows(5).position(|part| part == b"alias").unwrap();
    let (one, rest) = body.split_at(name + 2);
    let (two, three) = rest.split_at(rest.len() / 2);
    [one, &[], two, three]
        .map(|part| coding.encode(part))
        .concat()
}

#[tokio::test]
async fn they_are_read_as_one() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let sent = parts(coding, &chat("alias"));
        for size in [1, 10, sent.len()] {
            let request = in_pieces(post(coding.name(), sent.clone()), size);
            let forwarded = send(layer(), request).await.forwarded();
            forwarded.assert_is(&chat(REAL), None);
        }
        let request = post(coding.name(), sent);
        let forwarded = send(accepting(), request).await;
        let forwarded = forwarded.forwarded();
        forwarded.assert_decodes_to(&chat(REAL), coding);
    }
}

/// What would hide the second from an engine that reads only the first.
#[tokio::test]
async fn a_document_in_each_is_not_one() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let document = coding.encode(br#"{"model":"alias"}"#);
        let request = post(coding.name(), document.repeat(2));
        send(layer(), request).await.refused(400, "invalid_json");
    }
}

#[tokio::test]
async fn the_last_must_be_whole() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let sent = parts(coding, &chat("alias"));
        let request = post(coding.name(), sent[..sent.len() - 3].to_vec());
        send(layer(), request).await.refused(400, "invalid_body");
    }
}

#[tokio::test]
async fn there_is_an_end_to_their_number() {
    let frame = zstd_frame(&[Block::Raw(b" ")]);
    let end = zstd_frame(&[Block::Raw(br#"{"model":"plain"}"#)]);
    let many = |count| [frame.repeat(count), end.clone()].concat();
    send(layer(), post("zstd", many(1000))).await.forwarded();
    let outcome = send(layer(), post("zstd", many(2000))).await;
    outcome.refused(400, "invalid_body");
}

/// zstd's skippable frames are no content.
#[tokio::test]
async fn frames_that_are_skipped_say_nothing() {
    let skipped = b"\x50\x2a\x4d\x18\x05\0\0\0hello";
    let body = [skipped, &*Coding::Zstd.encode(chat("alias")), skipped].concat();
    let forwarded = send(layer(), post("zstd", body)).await.forwarded();
    forwarded.assert_is(&chat(REAL), None);
}

#[test]
fn a_frame_made_by_hand_is_one() {
    let frame = zstd_frame(&[Block::Raw(b"{"), Block::Repeated(b' ', 3), Block::Raw(b"}")]);
    assert_eq!(Coding::Zstd.decode(&frame), b"{   }");
}
