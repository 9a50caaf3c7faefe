//! Bodies of answers that are read by the gateway itself.

use std::pin::pin;

use bytes::Buf;
use http_body::Body;

/// A body of at most `max` bytes; `None` if it is longer, or breaks off.
pub(super) async fn read_up_to<R: Body>(body: R, max: usize) -> Option<Vec<u8>> {
    let mut body = pin!(body);
    let mut read = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(mut data) = frame.ok()?.into_data() else {
            continue;
        };
        if data.remaining() > max.saturating_sub(read.len()) {
            return None;
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            read.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    Some(read)
}
