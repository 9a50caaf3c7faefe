//! Requests that go on to the inner service without being routed.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body::Body;
use hyper::upgrade::OnUpgrade;

use super::{options::Options, rest, upgrade::refused};
use crate::{
    attempt::{Held, ResponseBody, RouteBody},
    error::{BoxError, RouteError},
    model::Scan,
    observe::Report,
    pieces::{Chunks, Edits},
    upload::{DrainLimits, Limits, Share, Upload, receive},
    wire::{Fields, rewrite},
};

/// What is kept of such a request until its answer is there.
pub(super) struct Forwarded {
    options: Arc<Options>,
    /// `None` if there is no body.
    upload: Option<Upload>,
    drain: DrainLimits,
    /// The client's connection, if it asks for a WebSocket.
    client: Option<OnUpgrade>,
}

impl Forwarded {
    /// Makes the inner service's request of the client's, which came with these `fields`: one without
    /// those of its connection.
    pub(super) fn new<B>(
        (mut head, fields): (Parts, Fields),
        body: B,
        options: &Arc<Options>,
    ) -> (Request<RouteBody>, Self)
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let drain = options.drain(&head, fields);
        options.admission.via.add(head.version, &mut head.headers);
        options.forwarded.set(&mut head);
        rewrite::end_hop(&mut head, fields);
        // The inner service finds it as well: it may be the one that switches.
        let client = match rewrite::asks_for_websocket(&head.method, &head.headers) {
            true => head.extensions.get().cloned(),
            false => None,
        };
        let (body, upload, length) = stream(body, options);
        match length {
            Some(_) => rewrite::end_trailers(&mut head.headers, fields),
            None => rewrite::pass_announcement(&mut head.headers, fields),
        }
        rewrite::frame(&mut head, length);
        let forwarded = Self {
            options: Arc::clone(options),
            upload,
            drain,
            client,
        };
        (Request::from_parts(head, body), forwarded)
    }

    /// The client's answer, without the fields of the inner service's connection.
    pub(super) fn answered<R: Body>(
        &mut self,
        mut response: Response<R>,
        report: &mut Report,
    ) -> Result<Response<ResponseBody<R>>, RouteError> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switched(response, report);
        }
        let (version, fields) = (response.version(), Fields::of(response.headers()));
        rewrite::check_transfer(&response)?;
        rewrite::response_head(&mut response, fields);
        let rest = rest::behind(&mut response, self.upload.as_ref(), self.drain);
        let via = &self.options.admission.via;
        via.add(version, response.headers_mut());
        let held = told(&response, report);
        Ok(response.map(|body| ResponseBody::upstream(body, held, None, rest)))
    }

    /// An engine has switched protocols; or the inner service has, and carries the session on itself.
    fn switched<R: Body>(
        &mut self,
        mut response: Response<R>,
        report: &mut Report,
    ) -> Result<Response<ResponseBody<R>>, RouteError> {
        let Some(engine) = response.extensions_mut().remove() else {
            let held = told(&response, report);
            return Ok(response.map(|body| ResponseBody::upstream(body, held, None, None)));
        };
        let client = self.client.take();
        let client = client.filter(|_| rewrite::names_websocket(response.headers()));
        let client = client.ok_or_else(|| refused("the request did not ask for"))?;
        let held = told(&response, report);
        let tunnels = &self.options.tunnels;
        tunnels
            .begin(client, engine, held)
            .ok_or_else(|| refused("needs a tokio runtime"))?;
        Ok(response.map(|_| ResponseBody::own(Bytes::new())))
    }

    /// What the client may still send, and how that is drained.
    pub(super) fn into_rest(self) -> (Option<Upload>, DrainLimits) {
        (self.upload, self.drain)
    }
}

/// Reports the answer; its body holds the report to its end.
fn told<R>(response: &Response<R>, report: &mut Report) -> Held {
    report.forwarded(response.status());
    Held::new(None, None, None, std::mem::take(report))
}

/// The body as it comes, without limits, since nothing of it is buffered; and its length, if that is
/// known.
fn stream<B>(body: B, options: &Options) -> (RouteBody, Option<Upload>, Option<u64>)
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return (RouteBody::default(), None, Some(0));
    }
    let inbound = receive(body, Scan::none(), Limits::NONE);
    let total = inbound.total();
    let share = Share::of(&options.memory);
    let upload = Upload::new(Chunks::default(), inbound, options.replay_bytes, share);
    let body = RouteBody::upload(upload.reader(), total, Edits::None, options.replay_bytes);
    (body, Some(upload), total)
}
