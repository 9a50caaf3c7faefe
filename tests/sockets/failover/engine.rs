//! Engines that are well.

use std::time::Duration;

use test_kit::socket::{LAST_CHUNK, Message, Reply, Upstream, chunk};

const A_MOMENT: Duration = Duration::from_millis(2);

/// An engine that answers, in pieces if it is asked for a stream, and whose connections end with a
/// reset.
pub(super) async fn healthy() -> Upstream {
    Upstream::abrupt(serves).await
}

fn serves(request: &Message) -> Reply {
    let reply = Reply::pause(A_MOMENT);
    if !request.text().contains("\"stream\":true") {
        return reply.then("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    let begun = reply.then("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    (0..5)
        .fold(begun, |reply, _| {
            reply.then(chunk("tok")).then_pause(A_MOMENT)
        })
        .then(LAST_CHUNK)
}
