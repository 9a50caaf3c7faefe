//! Who waits for a body that is still arriving, and who does not.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{Full, StreamBody};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::yield_now,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_model_route::{
    Balance, HashKey, ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteTable, Rule,
};

use super::users::{Gateway, of_user, post, table};

/// A request of which no more comes than `begun`.
fn stalled(begun: String) -> Request<impl Body<Data = Bytes, Error = Infallible> + Send> {
    let begun = stream::iter([Ok(Frame::data(Bytes::from(begun)))]);
    post("").map(|_| StreamBody::new(begun.chain(stream::pending())))
}

/// Sends it to an engine that says when it is called; the client's future is in a task of its own.
fn send<B>(layer: ModelRouteLayer, request: Request<B>) -> Sent
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let (sender, called) = unbounded_channel();
    let service = layer.layer(service_fn(move |request: Request<RouteBody>| {
        sender.send(request).unwrap();
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    }));
    let answer = tokio::spawn(async move {
        let Ok(answer) = service.oneshot(request).await;
        answer.status()
    });
    Sent { called, answer }
}

struct Sent {
    called: UnboundedReceiver<Request<RouteBody>>,
    answer: tokio::task::JoinHandle<StatusCode>,
}

impl Sent {
    /// The endpoint that was called, with all that could be done done, and no time gone by.
    async fn called(&mut self) -> Option<String> {
        for _ in 0..20 {
            yield_now().await;
        }
        let request = self.called.try_recv().ok()?;
        let decision = request.body().decision().unwrap();
        Some(decision.endpoint().to_owned())
    }
}

const BEGUN: &str = r#"{"model":"asked","messages":["#;

#[tokio::test(start_paused = true)]
async fn nobody_waits_whose_key_is_not_in_the_body() {
    for balance in [
        Balance::LeastRequest,
        Balance::RoundRobin,
        Balance::PeakEwma,
        Balance::ConsistentHash(HashKey::ClientAddr.into()),
        Balance::ConsistentHash(HashKey::Header("x-session".into()).into()),
    ] {
        let layer = ModelRouteLayer::new(table(balance.clone()));
        let mut sent = send(layer, stalled(BEGUN.to_owned()));
        assert!(sent.called().await.is_some(), "{balance:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_whose_model_goes_elsewhere() {
    let server = |name| ModelServer::new(name).endpoints(["http://a", "http://b"]);
    let route = |name: &str, server: &str| {
        let rule = Rule::new("all").target("plain").fallback(server);
        ModelRoute::new(name).model_name(name).rule(rule)
    };
    let table = RouteTable::builder()
        .model_server(server("plain"))
        .model_server(server("other"))
        .model_server(server("by conversation").balance(Balance::PrefixHash(1024.into())))
        .model_route(route("asked", "other"))
        .model_route(route("another", "by conversation"))
        .build()
        .unwrap();
    let mut sent = send(
        ModelRouteLayer::new(table.clone()),
        stalled(BEGUN.to_owned()),
    );
    assert!(sent.called().await.is_some());
    let mut sent = send(
        ModelRouteLayer::new(table),
        stalled(BEGUN.replace("asked", "another")),
    );
    assert!(sent.called().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_key_in_the_body_is_waited_for_as_long_as_any_body() {
    for balance in [
        Balance::ConsistentHash(HashKey::User.into()),
        Balance::PrefixHash(1024.into()),
    ] {
        let layer = ModelRouteLayer::new(table(balance)).body_timeout(Duration::from_secs(5));
        let mut sent = send(layer, stalled(BEGUN.to_owned()));
        assert_eq!(sent.called().await, None);
        assert_eq!(sent.answer.await.unwrap(), StatusCode::REQUEST_TIMEOUT);
        assert!(sent.called.try_recv().is_err());
    }
}

/// Not for more than may be kept: the rest is streamed, whatever its size.
#[tokio::test(start_paused = true)]
async fn it_is_waited_for_within_what_is_kept() {
    let by_user = || table(Balance::ConsistentHash(HashKey::User.into()));
    let gateway = Gateway::new(by_user());
    for user in 0..10 {
        let endpoint = gateway.ask(of_user(user, 0)).await;
        let padding = "x".repeat(1000);
        let begun = format!(r#"{{"model":"asked","user":"user-{user}","a":"{padding}"#);
        let layer = || ModelRouteLayer::new(by_user());
        let mut sent = send(layer(), stalled(begun.clone()));
        assert_eq!(sent.called().await, None);
        let mut sent = send(layer().replay_bytes(1000), stalled(begun));
        assert_eq!(sent.called().await, Some(endpoint));
    }
}
