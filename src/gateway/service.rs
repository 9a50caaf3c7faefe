//! The service: a first look at each request's head.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::CONTENT_LENGTH, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{
    future::ResponseFuture,
    options::{Config, WithoutModel},
};
use crate::{
    attempt::{ResponseBody, RouteBody},
    coding::Decoder,
    error::{BoxError, RouteError, RouteErrorKind},
    model::Scan,
    observe::RequestSpan,
    pieces::{Chunks, Edits},
    route::CompiledTable,
    upload::{Limits, Receive, Upload, receive},
};

/// The service made by [`ModelRouteLayer`](crate::ModelRouteLayer).
#[derive(Clone, Debug)]
pub struct ModelRouteService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> ModelRouteService<S> {
    pub(crate) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

impl<S, B, R> Service<Request<B>> for ModelRouteService<S>
where
    S: Service<Request<RouteBody>, Response = Response<R>> + Clone,
    B: Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Body,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S>;

    /// Always ready; see [`ModelRouteLayer`](crate::ModelRouteLayer).
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        let span = RequestSpan::new(&head);
        let table = self.config.table.load();
        match first_look(&self.config, &table, &head, body.size_hint().lower()) {
            FirstLook::Receive(scan) => {
                let inbound = receive(body, scan, self.config.limits());
                let receive = Receive::new(inbound, self.config.buffering());
                let config = Arc::clone(&self.config);
                ResponseFuture::receive(span, config, table, head, receive, self.inner.clone())
            }
            FirstLook::Forward => {
                let body = forwarded(body, &self.config);
                ResponseFuture::forward(span, head, body, self.inner.clone())
            }
            FirstLook::Answer(response) => ResponseFuture::answer(span, response),
            FirstLook::Reject(error) => {
                span.rejected(&error);
                ResponseFuture::answer(span, error.to_response(head.uri.path()))
            }
        }
    }
}

/// What the head alone decides, before the body is polled: hyper sends its
/// `100 Continue` at the first poll.
enum FirstLook {
    Receive(Scan),
    Forward,
    Answer(Response<Bytes>),
    Reject(RouteError),
}

fn first_look(config: &Config, table: &CompiledTable, head: &Parts, length: u64) -> FirstLook {
    if config.models_endpoint
        && let Some(response) = table.models.answer(head)
    {
        return FirstLook::Answer(response);
    }
    let scan = match Scan::new(config.extract.begin(head).0) {
        Ok(Some(scan)) => scan,
        Ok(None) if config.without_model == WithoutModel::Forward => return FirstLook::Forward,
        Ok(None) => {
            return FirstLook::Reject(RouteError::new(
                RouteErrorKind::RouteNotFound,
                "there is nothing here: this is a gateway for requests that name a model",
            ));
        }
        Err(error) => return FirstLook::Reject(error),
    };
    let scan = if scan.reads_body() {
        match Decoder::new(&head.headers, config.inflated()) {
            Ok(decoder) => scan.decoded_by(decoder),
            Err(error) => return FirstLook::Reject(error),
        }
    } else {
        scan
    };
    let announced = announced_length(&head.headers).unwrap_or(0).max(length);
    if announced > config.max_body_bytes {
        return FirstLook::Reject(RouteError::body_too_large(config.max_body_bytes));
    }
    FirstLook::Receive(scan)
}

/// The body of a request that is none of our business: it only passes through.
fn forwarded<B>(body: B, config: &Config) -> RouteBody
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return RouteBody::default();
    }
    let inbound = receive(body, Scan::none(), Limits::NONE);
    let total = inbound.total();
    let upload = Upload::new(Chunks::default(), inbound, config.replay_bytes);
    RouteBody::upload(upload.reader(), total, Edits::None, config.replay_bytes)
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
