//! Compressed bodies however they are cut.

use super::{
    codecs::{Coding, Decodes},
    send::{REAL, accepting, chat, in_pieces, layer, post, send},
};

#[tokio::test]
async fn byte_by_byte() {
    for coding in Coding::ALL {
        let sent = coding.encode(chat("alias"));
        for size in [1, 7, 4096] {
            let request = || in_pieces(post(coding.name(), sent.clone()), size);
            let forwarded = send(layer(), request()).await.forwarded();
            forwarded.assert_is(&chat(REAL), None);
            let forwarded = send(accepting(), request()).await;
            let forwarded = forwarded.forwarded();
            forwarded.assert_decodes_to(&chat(REAL), coding);
        }
    }
}

#[tokio::test]
async fn byte_by_byte_and_as_they_are() {
    for coding in Coding::ALL {
        let sent = coding.encode(chat("plain"));
        let request = in_pieces(post(coding.name(), sent.clone()), 1);
        let forwarded = send(accepting(), request).await.forwarded();
        forwarded.assert_is(&sent, Some(coding.name()));
    }
}
