//! The model is written anew for each attempt, wherever it stands, into what the client sent.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body_util::{BodyExt, Full};
use test_kit::{
    body::{BoxError, script_of},
    engines::{Attempt, says, status},
    gateway::Rig,
    request::{ASKED, chat_of},
    table::{retries, table},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::{
    compression::{CompressionLayer, predicate::SizeAbove},
    decompression::DecompressionLayer,
};
use tower_model_route::{
    DuplicateModels, Encoding, JsonBody, ModelRouteLayer, ModelServer, ModelSources, RouteTable,
    Rule,
};

/// `renamed` calls the model `org/real 1`, `as-it-is` what the client calls it, `other` `x`; the
/// last two read gzip.
fn targets() -> RouteTable {
    let server = |name: &str| {
        ModelServer::new(name)
            .endpoint(format!("http://{name}/p"))
            .traffic_policy(retries(5))
    };
    let servers = [
        server("renamed").model("org/real 1"),
        server("as-it-is").accepts_encoding(Encoding::Gzip),
        server("other").model("x").accepts_encoding(Encoding::Gzip),
    ];
    let rule = Rule::new("rule")
        .target("renamed")
        .fallback("as-it-is")
        .fallback("other");
    table(servers, rule)
}

/// What the three engines get of a request that the first two can't serve.
async fn sent<B>(
    request: Request<B>,
    settings: fn(ModelRouteLayer) -> ModelRouteLayer,
) -> [Attempt; 3]
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let rig = Rig::with(targets(), |table| settings(ModelRouteLayer::new(table)));
    rig.engines.next([status(503), status(503)]);
    let answer = rig.send(request).await;
    assert_eq!(answer.status(), StatusCode::OK);
    drop(answer);
    assert_eq!(rig.in_flight(), 0);
    rig.engines.attempts().try_into().unwrap()
}

#[track_caller]
fn assert_length(attempt: &Attempt) {
    let length = attempt.body.as_ref().unwrap().len().to_string();
    assert_eq!(attempt.header("content-length"), Some(&*length));
}

#[tokio::test(start_paused = true)]
async fn in_the_path_and_in_json() {
    for (path, prefix) in [
        ("/v1beta/models/asked:embedContent", "models/"),
        ("/v2/models/asked/infer", ""),
        ("/openai/deployments/asked/chat/completions", ""),
    ] {
        let with = |model: &str| format!(r#"{{"a":1,"model":"{prefix}{model}"}}"#);
        let request = Request::post(path).body(Full::from(with("asked"))).unwrap();
        let attempts = sent(request, |layer| layer).await;
        for (attempt, (uri, name)) in attempts.iter().zip([
            ("org%2Freal%201", "org/real 1"),
            ("asked", "asked"),
            ("x", "x"),
        ]) {
            let expected = format!("/p{}", path.replace("asked", uri));
            assert_eq!(attempt.uri().path(), expected);
            assert_eq!(attempt.text(), with(name));
            assert_length(attempt);
        }
    }
}

/// What the body names after the request was sent can't be rewritten, so it must be right for
/// the engine that reads it.
#[tokio::test(start_paused = true)]
async fn what_is_not_written_anew_fits_the_engine_that_gets_it() {
    for (unread, expected) in [(0, 400), (1, 200), (2, 400)] {
        let rig = Rig::with(targets(), |table| {
            ModelRouteLayer::new(table).replay_bytes(4)
        });
        rig.engines.next((0..unread).map(|_| status(503).unread()));
        let body = r#"{"a":1,"b":2,"model":"asked"}"#;
        let (upload, sent) = script_of(Some(body.len() as u64));
        upload.data(&body[..8]).data(&body[8..]).end();
        let request = Request::post("/v2/models/asked/infer");
        let request = request.header("content-type", "application/json");
        let answer = rig.send(request.body(sent).unwrap()).await;
        assert_eq!(answer.status(), expected);
        let attempts = rig.engines.attempts();
        assert_eq!(attempts.len(), unread + 1);
        match attempts.last().unwrap().body.as_ref() {
            Ok(whole) => assert_eq!((expected, &**whole), (200, body.as_bytes())),
            Err(_) => assert_eq!(expected, 400),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_json() {
    let body = "{ \"a\" : [1,{\"model\":\"x\"}],\n\t\"model\" :  \"\\u0061sked\" , \"ä\": null }";
    let attempts = sent(chat_of(body), |layer| layer).await;
    let with = |model: &str| body.replace(r#""\u0061sked""#, model);
    for (attempt, expected) in
        attempts
            .iter()
            .zip([with(r#""org/real 1""#), body.to_owned(), with(r#""x""#)])
    {
        assert_eq!(attempt.text(), expected);
        assert_length(attempt);
    }
}

#[tokio::test(start_paused = true)]
async fn in_json_that_names_it_twice() {
    let body = r#"{"model":"ignored","model":"asked"}"#;
    let attempts = sent(chat_of(body), |layer| {
        layer.extract_model(JsonBody::new().duplicates(DuplicateModels::Last))
    })
    .await;
    for (attempt, model) in attempts.iter().zip(["org/real 1", "asked", "x"]) {
        assert_eq!(
            attempt.text(),
            format!(r#"{{"model":"{model}","model":"{model}"}}"#)
        );
        assert_length(attempt);
    }
}

#[tokio::test(start_paused = true)]
async fn in_multipart() {
    let with = |model: &str| {
        format!(
            "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n\
             \0\u{1}data\r\n--XX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n\
             {model}\r\n--XX--\r\n"
        )
    };
    let request = Request::post("/v1/audio/transcriptions")
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(Body::from(with("asked")))
        .unwrap();
    let attempts = sent(request, |layer| layer).await;
    for (attempt, model) in attempts.iter().zip(["org/real 1", "asked", "x"]) {
        assert_eq!(attempt.text(), with(model));
        assert_length(attempt);
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_path() {
    // `%61` and `:` would be written otherwise by ourselves: the client's own stay.
    let request =
        Request::post("/openai/deployments/%61sked/completions?v=1&x=%3a").body(Body::from("{}"));
    let attempts = sent(request.unwrap(), |layer| layer).await;
    for (attempt, uri) in attempts.iter().zip([
        "http://renamed/p/openai/deployments/org%2Freal%201/completions?v=1&x=%3a",
        "http://as-it-is/p/openai/deployments/%61sked/completions?v=1&x=%3a",
        "http://other/p/openai/deployments/x/completions?v=1&x=%3a",
    ]) {
        assert_eq!(attempt.head.uri, uri);
        assert_eq!(attempt.text(), "{}");
        assert_length(attempt);
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_query() {
    let request = Request::get("/v1/realtime?a=1&model=a%73ked&b=2").body(Body::empty());
    let attempts = sent(request.unwrap(), |layer| layer).await;
    for (attempt, uri) in attempts.iter().zip([
        "http://renamed/p/v1/realtime?a=1&model=org%2Freal%201&b=2",
        "http://as-it-is/p/v1/realtime?a=1&model=a%73ked&b=2",
        "http://other/p/v1/realtime?a=1&model=x&b=2",
    ]) {
        assert_eq!(attempt.head.uri, uri);
        assert_eq!(attempt.header("content-length"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_header_beside_the_body() {
    let mut request = chat_of(ASKED);
    request
        .headers_mut()
        .insert("x-model", "asked".parse().unwrap());
    let attempts = sent(request, |layer| {
        layer.extract_model(ModelSources::standard().and_header(HeaderName::from_static("x-model")))
    })
    .await;
    for (attempt, model) in attempts.iter().zip(["org/real 1", "asked", "x"]) {
        assert_eq!(attempt.header("x-model"), Some(model));
        assert_eq!(attempt.text(), ASKED.replace("asked", model));
        assert_length(attempt);
    }
}

fn compressed(body: Bytes) -> Request<Full<Bytes>> {
    let mut request = chat_of(body.clone());
    request
        .headers_mut()
        .insert("content-encoding", "gzip".parse().unwrap());
    request
        .headers_mut()
        .insert(CONTENT_LENGTH, body.len().into());
    request
}

#[tokio::test(start_paused = true)]
async fn in_a_compressed_body() {
    let body = gzip(ASKED).await;
    let attempts = sent(compressed(body.clone()), |layer| layer).await;
    let [renamed, as_it_is, other] = &attempts;
    assert_eq!(renamed.text(), ASKED.replace("asked", "org/real 1"));
    assert_eq!(renamed.header("content-encoding"), None);
    assert_eq!(as_it_is.body.as_ref(), Ok(&body));
    let plain = gunzip(other.body.clone().unwrap()).await;
    assert_eq!(plain, ASKED.replace("asked", "x"));
    for attempt in [as_it_is, other] {
        assert_eq!(attempt.header("content-encoding"), Some("gzip"));
    }
    attempts.iter().for_each(assert_length);
}

#[tokio::test(start_paused = true)]
async fn an_adapters_name_is_never_rewritten() {
    let attempts = sent(chat_of(ASKED.replace("asked", "lora")), |layer| layer).await;
    for attempt in &attempts {
        assert_eq!(attempt.text(), ASKED.replace("asked", "lora"));
        assert!(attempt.decision().is_lora());
        assert_length(attempt);
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_the_last_is_the_clients() {
    let rig = Rig::new(targets());
    rig.engines
        .next([status(503), status(502), says(200, "from the third")]);
    assert_eq!(rig.ask().await.text(), "from the third");
}

/// What tower-http makes of it.
async fn gzip(plain: &'static str) -> Bytes {
    let compress = CompressionLayer::new().compress_when(SizeAbove::new(0));
    let service = compress.layer(service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(plain)))
    }));
    let request = Request::get("/")
        .header("accept-encoding", "gzip")
        .body(Body::empty());
    let Ok(answer) = service.oneshot(request.unwrap()).await;
    answer.into_body().collect().await.unwrap().to_bytes()
}

async fn gunzip(coded: Bytes) -> Bytes {
    let service = DecompressionLayer::new().layer(service_fn(move |_: Request<Body>| {
        let answer = Response::builder().header("content-encoding", "gzip");
        std::future::ready(answer.body(Full::<Bytes>::from(coded.clone())))
    }));
    let answer = service.oneshot(Request::default()).await.unwrap();
    answer.into_body().collect().await.unwrap().to_bytes()
}
