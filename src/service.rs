//! The service: a first look at each request's head.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, Request, Response,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
    request::Parts,
};
use http_body::Body;
use tower_service::Service;

use crate::{
    body::{ResponseBody, RouteBody},
    error::{RouteError, RouteErrorKind},
    future::ResponseFuture,
    layer::{Config, WithoutModel},
    trace::RequestSpan,
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
    type Future = ResponseFuture<S, B>;

    /// Always ready; see [`ModelRouteLayer`](crate::ModelRouteLayer).
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        let span = RequestSpan::new(&head);
        match first_look(&self.config, &head, body.size_hint().lower()) {
            FirstLook::Receive => ResponseFuture::receive(
                span,
                Arc::clone(&self.config),
                head,
                body,
                self.inner.clone(),
            ),
            FirstLook::Forward => {
                let request = Request::from_parts(head, RouteBody::streaming(body));
                ResponseFuture::forward(span, self.inner.clone(), request)
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
    Receive,
    Forward,
    Answer(Response<Bytes>),
    Reject(RouteError),
}

fn first_look(config: &Config, head: &Parts, length: u64) -> FirstLook {
    if config.models_endpoint
        && let Some(response) = config.table.models().answer(head)
    {
        return FirstLook::Answer(response);
    }
    if !config.extract.names_model(head) {
        return match config.without_model {
            WithoutModel::Forward => FirstLook::Forward,
            WithoutModel::Reject => FirstLook::Reject(RouteError::new(
                RouteErrorKind::RouteNotFound,
                "there is nothing here: this is a gateway for requests that name a model",
            )),
        };
    }
    if !is_identity(&head.headers) {
        return FirstLook::Reject(RouteError::new(
            RouteErrorKind::UnsupportedEncoding,
            "compressed request bodies are not supported",
        ));
    }
    let announced = announced_length(&head.headers).unwrap_or(0).max(length);
    if announced > config.max_body_bytes as u64 {
        return FirstLook::Reject(RouteError::body_too_large(config.max_body_bytes));
    }
    FirstLook::Receive
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_identity(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
}
