//! Codings that can't be undone.

use super::{
    codecs::Coding,
    send::{chat, layer, post, send},
};

#[tokio::test]
async fn the_answer_says_what_can_be() {
    let gzip = Coding::Gzip.encode(chat("alias"));
    for coding in [
        "compress",
        "snappy",
        "aws-chunked",
        "*",
        "gzip;q=1",
        "gzip gzip",
        "gzip, br",
        "gzip, gzip",
        "br, identity, gzip",
        "\u{e4}",
    ] {
        let outcome = send(layer(), post(coding, gzip.clone())).await;
        outcome.refused(415, "unsupported_encoding");
        assert_eq!(
            outcome.answer.headers()["accept-encoding"],
            "gzip, deflate, br, zstd"
        );
    }
}

#[tokio::test]
async fn several_in_fields_of_their_own_are_several() {
    let body = Coding::Brotli.encode(Coding::Gzip.encode(chat("alias")));
    let mut request = post("gzip", body);
    let headers = request.headers_mut();
    headers.append("content-encoding", "br".parse().unwrap());
    let outcome = send(layer(), request).await;
    outcome.refused(415, "unsupported_encoding");
}
