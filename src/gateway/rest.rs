//! The rest of an upload that is answered before its end.

use http::{
    HeaderMap, HeaderValue, Response,
    header::{CONNECTION, CONTENT_LENGTH},
};
use http_body::Body;

use crate::upload::{Drain, DrainLimits, Upload};

/// What is to be drained before the end of an engine's `response`.
pub(super) fn behind<R: Body>(
    response: &mut Response<R>,
    upload: Option<&Upload>,
    limits: DrainLimits,
) -> Option<Box<Drain>> {
    let rest = drain(upload?.clone(), limits, response.headers_mut())?;
    if response.body().is_end_stream() {
        // With a length of 0 nobody would poll the body, which drains the upload.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    Some(rest)
}

/// What is to be drained of `upload` before the end of an answer with these `headers`.
///
/// A client that waits to be asked for its body may send it all the same, or go on with the next
/// request. The server can't know, and closes the connection; the client is to be told (RFC 9110
/// section 10.1.1).
pub(super) fn drain(
    upload: Upload,
    limits: DrainLimits,
    headers: &mut HeaderMap,
) -> Option<Box<Drain>> {
    if limits.leave(&upload) && !limits.is_http2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Drain::of(upload, limits)
}
