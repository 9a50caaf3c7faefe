//! A stream arrives event by event, each before the engine sends the next.

use std::convert::Infallible;

use axum::{Router, body::Body, extract::State, routing::post};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use test_kit::{
    socket::Server,
    time::{eventually, within},
};
use tokio::sync::mpsc;
use tower_model_route::{ModelRoute, ModelServer, RouteTable, Rule};

use super::{
    ask::Ask,
    gateway::{Gateway, WAYS},
};

/// An engine whose streams end with `end`, and whose events wait for the test.
struct GatedEngine {
    server: Server,
    /// For each request that comes, what feeds its stream.
    streams: mpsc::UnboundedReceiver<Events>,
}

type Events = mpsc::UnboundedSender<Bytes>;

impl GatedEngine {
    async fn spawn() -> Self {
        let (requests, streams) = mpsc::unbounded_channel();
        let app = Router::new()
            .route("/v1/chat/completions", post(answer))
            .with_state(requests);
        Self {
            server: Server::axum(app).await,
            streams,
        }
    }

    fn table(&self) -> RouteTable {
        RouteTable::builder()
            .model_server(ModelServer::new("gated").endpoint(self.server.url()))
            .model_route(
                ModelRoute::new("gated")
                    .model_name("gated")
                    .rule(Rule::new("all").target("gated")),
            )
            .build()
            .unwrap()
    }
}

async fn answer(State(requests): State<mpsc::UnboundedSender<Events>>, question: Bytes) -> Body {
    assert!(!question.is_empty());
    let (events, received) = mpsc::unbounded_channel();
    requests.send(events).unwrap();
    Body::from_stream(stream::unfold(received, async |mut received| {
        let event = received.recv().await?;
        Some((Ok::<_, Infallible>(event), received))
    }))
}

const ASK: Ask<'static> = Ask {
    model: "gated",
    chat: true,
    stream: true,
    headers: &[],
};

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    for way in WAYS {
        let mut engine = GatedEngine::spawn().await;
        let gateway = Gateway::spawn(way, engine.table()).await;
        // The head is there before any event.
        let response = ASK.send(&gateway).await;
        let events = within(engine.streams.recv()).await.unwrap();
        let mut body = response.into_body();
        for number in 0..20 {
            assert_eq!(gateway.in_flight(), 1);
            let event = Bytes::from(format!("data: {{\"token\":{number}}}\n\n"));
            events.send(event.clone()).unwrap();
            let frame = within(body.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), event, "{way:?}");
        }
        drop(events);
        // HTTP/2 may end with an empty frame.
        let rest = within(body.collect()).await.unwrap().to_bytes();
        assert!(rest.is_empty(), "{way:?}: {rest:?}");
        assert_eq!(gateway.in_flight(), 0);
    }
}

/// Many streams at once, fed in turns: none waits for another.
#[tokio::test]
async fn streams_do_not_wait_for_each_other() {
    for way in WAYS {
        let mut engine = GatedEngine::spawn().await;
        let gateway = Gateway::spawn(way, engine.table()).await;
        let mut open = Vec::new();
        for _ in 0..8 {
            let response = ASK.send(&gateway).await;
            let events = within(engine.streams.recv()).await.unwrap();
            open.push((events, response.into_body()));
        }
        assert_eq!(gateway.in_flight(), 8);
        for turn in 0..3 {
            for (number, (events, body)) in open.iter_mut().enumerate().rev() {
                let event = Bytes::from(format!("data: {turn} {number}\n\n"));
                events.send(event.clone()).unwrap();
                let frame = within(body.frame()).await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), event);
            }
        }
        drop(open);
        eventually(|| gateway.in_flight() == 0).await;
    }
}
