//! Whose time it is: the client's is limited, the engine's is not the client's.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use test_kit::{
    body::{Script, read_on, script_of},
    document::Document,
    request::chat_with_length,
};
use tokio::time::{Instant, sleep};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
use tower_model_route::{AnswerErrorsLayer, RouteBody};

use super::forward::{forwarded, layer};

/// How long the client may be waited for.
const LIMIT: Duration = Duration::from_secs(10);

const HOUR: Duration = Duration::from_secs(3600);

/// Sends a document in pieces, each after a pause, and then its end.
async fn send(client: Script, document: Document, pauses: &[Duration]) {
    let body = document.sent();
    let (first, rest) = body.split_at(document.named_at());
    client.send(first);
    for (pause, piece) in pauses
        .iter()
        .zip(rest.chunks(rest.len() / pauses.len() + 1))
    {
        sleep(*pause).await;
        client.send(piece);
    }
    client.end();
}

/// The status for an upload that comes with these pauses.
async fn status<F>(
    pauses: &[Duration],
    has_length: bool,
    engine: impl Fn(Request<RouteBody>) -> F + Clone + Send + 'static,
) -> StatusCode
where
    F: Future<Output = Result<Response<String>, BoxError>> + Send + 'static,
{
    let document = Document::model_first(5_000);
    let length = document.sent().len() as u64;
    let (client, body) = script_of(has_length.then_some(length));
    let service = ServiceBuilder::new()
        .layer(layer().total_body_timeout(LIMIT))
        .layer(AnswerErrorsLayer::new())
        .service(service_fn(engine));
    let (answer, ()) = tokio::join!(
        service.oneshot(chat_with_length(body.in_another_task())),
        send(client, document, pauses)
    );
    let Ok::<_, Infallible>(answer) = answer;
    answer.status()
}

async fn read(request: Request<RouteBody>) -> Result<Response<String>, BoxError> {
    request.into_body().collect().await?;
    Ok(Response::new(String::new()))
}

#[tokio::test(start_paused = true)]
async fn a_client_has_its_time() {
    let begun = Instant::now();
    let pauses = [LIMIT / 5; 4];
    assert_eq!(status(&pauses, true, read).await, StatusCode::OK);
    assert_eq!(begun.elapsed(), LIMIT / 5 * 4);
    let pauses = [LIMIT * 9 / 10];
    assert_eq!(status(&pauses, false, read).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_client_does_not_get_it_again_by_sending_a_little() {
    for has_length in [false, true] {
        let pauses = [LIMIT / 5; 20];
        let slow = status(&pauses, has_length, read).await;
        assert_eq!(slow, StatusCode::REQUEST_TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_reads_late() {
    for has_length in [false, true] {
        let engine = |request| async {
            sleep(HOUR).await;
            read(request).await
        };
        let pauses = [Duration::from_secs(1); 5];
        assert_eq!(status(&pauses, has_length, engine).await, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_pauses_while_it_reads() {
    for has_length in [false, true] {
        let engine = |request: Request<RouteBody>| async {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
                sleep(HOUR).await;
            }
            Ok(Response::new(String::new()))
        };
        let pauses = [Duration::from_secs(1); 5];
        assert_eq!(status(&pauses, has_length, engine).await, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_takes_its_time_to_answer() {
    for has_length in [false, true] {
        let engine = |request| async {
            let answer = read(request).await;
            sleep(HOUR).await;
            answer
        };
        let pauses = [Duration::from_secs(1); 5];
        assert_eq!(status(&pauses, has_length, engine).await, StatusCode::OK);
    }
}

/// A client that has sent all that it can is not to blame for the queue in front of the engine.
#[tokio::test(start_paused = true)]
async fn a_queue_in_front_of_the_engine() {
    for has_length in [false, true] {
        let document = Document::model_first(5_000);
        let length = document.sent().len() as u64;
        let service = ServiceBuilder::new()
            .layer(layer().total_body_timeout(LIMIT))
            .layer(AnswerErrorsLayer::new())
            .concurrency_limit(1)
            .service(service_fn(|request: Request<RouteBody>| async {
                let answer = read(request).await;
                sleep(HOUR).await;
                answer
            }));
        let (one, two) = (
            script_of(Some(length)),
            script_of(has_length.then_some(length)),
        );
        let pause = [Duration::from_secs(1)];
        let (first, second, ..) = tokio::join!(
            service
                .clone()
                .oneshot(chat_with_length(one.1.in_another_task())),
            service.oneshot(chat_with_length(two.1.in_another_task())),
            send(one.0, document.clone(), &pause),
            send(two.0, document, &pause),
        );
        assert_eq!(first.unwrap().status(), StatusCode::OK);
        assert_eq!(second.unwrap().status(), StatusCode::OK);
    }
}

/// Where there is no limit, there need be no timers either.
#[test]
fn a_client_that_has_all_the_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let body = Document::model_first(5_000).sent();
        let (client, arriving) = script_of(None);
        client.send(&body[..100]);
        let layer = layer().body_timeout(Duration::MAX);
        let mut forwarded = forwarded(layer, arriving).await.into_body();
        for piece in body[100..].chunks(500) {
            read_on(&mut forwarded);
            client.send(piece);
        }
        client.end();
        assert!(matches!(read_on(&mut forwarded).1, Some(Ok(()))));
    });
}
