//! The HTTP interface.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use crate::{
    Engine,
    answer::{self, Answer},
    fault,
    monitor::{Call, Monitor, Received},
    question::{Endpoint, Question},
    stream,
};

/// More than any client sends, so that limits are those of the program under test.
const BODY_LIMIT: usize = 1 << 30;

const LABEL: HeaderName = HeaderName::from_static("x-mock-engine");

#[derive(Debug)]
struct Shared {
    engine: Engine,
    monitor: Arc<Monitor>,
}

pub(crate) fn router(engine: Engine, monitor: Arc<Monitor>) -> Router {
    let label = engine.label.as_ref().and_then(|text| header_value(text));
    Router::new()
        .route("/v1/completions", inference(Endpoint::Completions))
        .route("/v1/chat/completions", inference(Endpoint::Chat))
        .route("/v1/embeddings", inference(Endpoint::Embeddings))
        .route("/v1/responses", inference(Endpoint::Responses))
        .route("/v1/messages", inference(Endpoint::Messages))
        .route("/v1/models", get(models))
        .route("/metrics", get(metrics))
        .route("/health", get(async || StatusCode::OK))
        .fallback(async || refusal(StatusCode::NOT_FOUND, "Not Found"))
        .method_not_allowed_fallback(async || {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        })
        .layer(middleware::map_response_with_state(label, labelled))
        .with_state(Arc::new(Shared { engine, monitor }))
}

async fn labelled(State(label): State<Option<HeaderValue>>, mut response: Response) -> Response {
    if let Some(label) = label {
        response.headers_mut().insert(LABEL, label);
    }
    response
}

/// The text without what no header may hold.
fn header_value(text: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(text.replace(char::is_control, "")).ok()
}

fn inference(endpoint: Endpoint) -> MethodRouter<Arc<Shared>> {
    post(
        async move |State(shared): State<Arc<Shared>>, request: Request| {
            let call = Call::begin(&shared.monitor);
            let reports = matches!(endpoint, Endpoint::Chat | Endpoint::Completions);
            let report = shared.engine.load.report(request.headers());
            match respond(&shared, endpoint, request).await {
                Ok(Reply::Whole(value)) => {
                    let mut answer = whole(StatusCode::OK, &value, call);
                    answer.headers_mut().extend(report.filter(|_| reports));
                    answer
                }
                Ok(Reply::Stream {
                    answer,
                    include_usage,
                }) => {
                    let body = stream::body(&shared.engine, answer, include_usage, call);
                    ([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response()
                }
                Err(refused) => whole(refused.status, &refused.body, call),
            }
        },
    )
}

enum Reply {
    Whole(Value),
    Stream { answer: Answer, include_usage: bool },
}

struct Refused {
    status: StatusCode,
    body: Value,
}

impl Refused {
    fn new(endpoint: Endpoint, status: StatusCode, message: &str, param: Option<&str>) -> Self {
        Self {
            status,
            body: fault::error(endpoint, status, message, param),
        }
    }
}

async fn respond(
    Shared { engine, monitor }: &Shared,
    endpoint: Endpoint,
    request: Request,
) -> Result<Reply, Refused> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_LIMIT).await.map_err(|error| {
        let message = format!("The body cannot be read: {error}");
        Refused::new(endpoint, StatusCode::BAD_REQUEST, &message, None)
    })?;
    let number = monitor.record(Received {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body: body.clone(),
    });
    tokio::time::sleep(engine.header_delay).await;

    if let Some(status) = engine.failure(number) {
        let message = "This engine fails because it was told to.";
        return Err(Refused::new(endpoint, status, message, None));
    }
    let question = Question::read(endpoint, &body)
        .map_err(|message| Refused::new(endpoint, StatusCode::BAD_REQUEST, &message, None))?;
    if !engine.serves(&question.model) {
        let message = format!("The model `{}` does not exist.", question.model);
        return Err(Refused::new(
            endpoint,
            StatusCode::NOT_FOUND,
            &message,
            Some("model"),
        ));
    }

    if endpoint == Endpoint::Embeddings {
        return Ok(Reply::Whole(answer::embeddings(&question)));
    }
    let (stream, include_usage) = (question.stream, question.include_usage);
    let answer = Answer::new(engine, endpoint, question);
    if stream {
        return Ok(Reply::Stream {
            answer,
            include_usage,
        });
    }
    let tokens = u32::try_from(answer.tokens).unwrap_or(u32::MAX);
    tokio::time::sleep(engine.token_delay.saturating_mul(tokens)).await;
    Ok(Reply::Whole(answer.whole()))
}

/// An answer in one frame. The call ends as that frame is handed to the server, so that a
/// client that has read it never finds the call still in flight.
fn whole(status: StatusCode, value: &Value, call: Call) -> Response {
    let text = value.to_string();
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        // Mapping the frames hides their length from the server.
        (CONTENT_LENGTH, HeaderValue::from(text.len())),
    ];
    let mut call = Some(call);
    let body = Full::from(text).map_frame(move |frame| {
        drop(call.take());
        frame
    });
    (status, headers, Body::new(body)).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> String {
    let Shared { engine, monitor } = &*shared;
    let model = engine.models.first().map_or("", String::as_str);
    engine.load.page(model, monitor.in_flight())
}

async fn models(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(answer::model_list(&shared.engine))
}

fn refusal(status: StatusCode, message: &str) -> (StatusCode, Json<Value>) {
    (status, Json(answer::error(status, message, None)))
}
