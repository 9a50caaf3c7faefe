//! The service: a first look at each request's head.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{
    deadline,
    forwarded::Forwarded,
    future::ResponseFuture,
    options::Options,
    phase::{Arrival, Course, Phase},
    read::reads_on,
    routing::Routing,
};
use crate::{
    attempt::{ResponseBody, RouteBody},
    coding::Decoder,
    error::{Asker, BoxError, RouteError, X_REQUEST_ID},
    model::Scan,
    observe::Report,
    route::CompiledTable,
    upload::{Limits, Receive, Share, Upload, receive},
    wire::{Fields, RequestFields, admitted},
};

/// The service made by [`ModelRouteLayer`](crate::ModelRouteLayer).
#[derive(Clone, Debug)]
pub struct ModelRouteService<S> {
    inner: S,
    options: Arc<Options>,
}

impl<S> ModelRouteService<S> {
    pub(super) fn new(inner: S, options: Arc<Options>) -> Self {
        Self { inner, options }
    }
}

impl<S, B, R> Service<Request<B>> for ModelRouteService<S>
where
    S: Service<Request<RouteBody>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Body + Send + 'static,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S>;

    /// Always ready; see [`ModelRouteLayer`](crate::ModelRouteLayer).
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let RequestFields {
            fields,
            request_id,
            length,
        } = RequestFields::of(&head.headers);
        let asker = Asker::with_id(&head, request_id);
        let (level, observers) = (self.options.span_level, &self.options.observers);
        let report = Report::new(level, observers, &head, &asker);
        if asker.has_made_id() {
            // Where there is no room for it the request is refused below.
            _ = head.headers.try_insert(X_REQUEST_ID, asker.id().clone());
        }
        let table = self.options.table.load();
        let length = length.unwrap_or(0).max(body.size_hint().lower());
        let look = first_look(&self.options, &table, &mut head, fields, length);
        let mut course = Course::new(self.inner.clone(), report, asker);
        let phase = match look {
            FirstLook::Receive(scan) => {
                let inbound = receive(body, scan, self.options.limits());
                let share = Share::of(&self.options.memory);
                let receive = Receive::new(inbound, self.options.buffering(), share);
                course.arrival = Some(Arrival {
                    deadline: deadline::of(self.options.deadline_header.as_ref(), &head),
                    head,
                    fields,
                    options: Arc::clone(&self.options),
                });
                let table = Some(table);
                Phase::Receiving { receive, table }
            }
            FirstLook::Forward => {
                let (request, forwarded) = Forwarded::new((head, fields), body, &self.options);
                course.forwarded = Some(Box::new(forwarded));
                // By a call of `put_away` all futures are moved twice more: 215 instructions each.
                course.request = Some(Box::new(request));
                Phase::Sending
            }
            FirstLook::Answer(response) => {
                course.report.served(response.status());
                let response = course.asker.asked_for(response);
                Phase::answering(response, unread(body), self.options.drain(&head, fields))
            }
            FirstLook::Reject(error) => {
                course.report.rejected(&error);
                let response = error.answer(&course.asker);
                Phase::answering(response, unread(body), self.options.drain(&head, fields))
            }
        };
        ResponseFuture::new(Routing::new(phase, course))
    }
}

/// The decision made by the head alone, before the body is polled: at the first
/// poll hyper sends its `100 Continue`.
enum FirstLook {
    Receive(Scan),
    Forward,
    Answer(Response<Bytes>),
    Reject(RouteError),
}

fn first_look(
    options: &Options,
    table: &CompiledTable,
    head: &mut Parts,
    fields: Fields,
    length: u64,
) -> FirstLook {
    let (admission, extract) = (&options.admission, &*options.extract);
    if let Err(error) = admission.check(head, fields) {
        return FirstLook::Reject(error);
    }
    let settled = admission.settle(extract, table, head);
    if settled.is_ok()
        && admission.models_endpoint
        && let Some(answer) = table
            .routes
            .models
            .answer(head, options.visible_models.get())
    {
        return match answer {
            Ok(response) => FirstLook::Answer(response),
            Err(error) => FirstLook::Reject(error),
        };
    }
    let what = options.without_model(table, head);
    let scan = match admitted(settled, extract, head, &what) {
        Ok(Some(scan)) => scan,
        Ok(None) => return FirstLook::Forward,
        Err(error) => return FirstLook::Reject(error),
    };
    if !fields.has(Fields::PLAIN_JSON)
        && let Err(error) = scan.check_type(&head.headers)
    {
        return FirstLook::Reject(error);
    }
    let scan = if fields.has(Fields::CODING) && scan.reads_body() {
        match Decoder::new(&head.headers, options.inflated()) {
            Ok(None) => scan,
            Ok(Some(decoder)) => {
                let may_need =
                    !table.passes_on(decoder.encoding) || reads_on(table, head, &scan, options);
                scan.decoded_by(decoder.keeping(may_need))
            }
            Err(error) => return FirstLook::Reject(error),
        }
    } else {
        scan
    };
    if length > options.max_body_bytes {
        return FirstLook::Reject(RouteError::body_too_large(options.max_body_bytes));
    }
    FirstLook::Receive(scan)
}

/// The body of a request that is answered by its head alone.
fn unread<B>(body: B) -> Option<Upload>
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return None;
    }
    Some(Upload::unread(receive(body, Scan::none(), Limits::NONE)))
}
