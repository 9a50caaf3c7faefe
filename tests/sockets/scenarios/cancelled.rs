//! A client that goes away takes its call to the engine with it, whatever stage it is at.

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::BodyExt;
use test_kit::time::{eventually, within};
use tokio::sync::mpsc;

use super::{
    ask::Ask,
    engines::Engines,
    gateway::{Gateway, WAYS},
};

const ASK: Ask<'static> = Ask {
    model: "deepseek-simple",
    chat: true,
    stream: true,
    headers: &[],
};

/// Longer than any test: what ends before was cancelled.
const FOREVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn while_the_answer_streams() {
    let engines = Engines::like(|engine| engine.token_delay(FOREVER)).await;
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        let mut body = ASK.send(&gateway).await.into_body();
        assert!(within(body.frame()).await.is_some());
        assert_eq!(
            (engines.in_flight(), gateway.in_flight()),
            (1, 1),
            "{way:?}"
        );
        drop(body);
        eventually(|| engines.in_flight() == 0).await;
        eventually(|| gateway.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn while_the_engine_thinks() {
    let engines = Engines::like(|engine| engine.header_delay(FOREVER)).await;
    for (round, way) in (1..).zip(WAYS) {
        let gateway = Gateway::spawn(way, engines.table()).await;
        let client = async {
            ASK.send(&gateway).await;
        };
        tokio::select! {
            () = client => panic!("the engine has answered"),
            () = eventually(|| engines.requests() == round) => {}
        }
        // The client's future is dropped, and its connection or stream with it.
        eventually(|| engines.in_flight() == 0).await;
        eventually(|| gateway.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn while_its_request_is_still_coming() {
    let engines = Engines::spawn().await;
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        let (upload, parts) = mpsc::unbounded_channel::<Bytes>();
        let body = Body::from_stream(stream::unfold(parts, async |mut parts| {
            let part = parts.recv().await?;
            Some((Ok::<_, Infallible>(part), parts))
        }));
        let request = Request::post(format!("{}{}", gateway.url, ASK.path()));
        let call = gateway.client.request(request.body(body).unwrap());
        upload
            .send(Bytes::from(r#"{"model":"deepseek-simple","#))
            .unwrap();
        // Long enough for the first part to arrive; the assertions hold wherever it is.
        let uploading = tokio::time::timeout(Duration::from_millis(50), call).await;
        assert!(
            uploading.is_err(),
            "the answer came before the request was complete"
        );
        drop(uploading);
        // The client's half ends first; the gateway hears of it from the connection.
        eventually(|| upload.is_closed() && gateway.in_flight() == 0).await;
        assert_eq!(engines.requests(), 0, "{way:?}");
    }
}

/// One that goes away does not disturb the others of its connection.
#[tokio::test]
async fn the_others_go_on() {
    let engines = Engines::like(|engine| engine.token_delay(Duration::from_millis(5))).await;
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        let leaving = ASK.send(&gateway).await;
        let staying = ASK.send(&gateway).await;
        drop(leaving);
        let body = within(staying.into_body().collect())
            .await
            .unwrap()
            .to_bytes();
        assert!(body.ends_with(b"data: [DONE]\n\n"), "{way:?}");
        eventually(|| engines.in_flight() == 0 && gateway.in_flight() == 0).await;
    }
}
