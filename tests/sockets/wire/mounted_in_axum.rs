//! The same in axum, as the example mounts it: what axum adds must not get in the way.

use std::sync::Arc;

use axum::Router;
use test_kit::{
    socket::{
        Framing, H2Client, Peer, Reply, Server, Upstream, h2_post, http_client, post, post_chunked,
        whole,
    },
    table::{in_flight, of_each_kind},
};
use tokio::sync::Notify;
use tower::ServiceBuilder;
use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer, RouteBody};

const REAL: &str = r#"{"model":"org/real"}"#;

#[tokio::test]
async fn in_axum_it_is_the_same() {
    let cut = Arc::<Notify>::default();
    let waits = Arc::clone(&cut);
    let upstream = Upstream::start(move |request| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n";
        let answer = Reply::new(head).then("2\r\nok\r\n");
        match &*request.text() {
            REAL => answer.then("0\r\nX-Sum: a\r\n\r\n"),
            _ => answer.then_wait(&waits).then_close(),
        }
    })
    .await;
    let table = of_each_kind(&upstream.url());
    let app = Router::new().fallback_service(
        ServiceBuilder::new()
            .layer(ModelRouteLayer::new(table.clone()))
            .layer(AnswerErrorsLayer::new())
            .service(http_client::<RouteBody>(false)),
    );
    let gateway = Server::axum(app).await;
    let body = r#"{"model":"alias"}"#;

    let mut client = Peer::connect(gateway.address).await;
    for request in [
        post(body),
        post_chunked("TE: trailers\r\n", &[body], "X-A: 1\r\n"),
    ] {
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.framing), (200, Framing::Chunked));
        assert_eq!(answer.text(), "ok");
    }
    for (request, status) in [("{}", 400), (r#"{"model":"gone"}"#, 404)] {
        client.send(post(request)).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status(), answer.json()["error"]["param"].as_str()),
            (status, Some("model"))
        );
    }
    let mut h2 = H2Client::connect(gateway.address).await;
    let answer = h2.ask(h2_post().body(whole(body)).unwrap()).await;
    assert_eq!(answer.body().0, "ok");
    assert_eq!(answer.body().1["x-sum"], "a");
    assert_eq!(in_flight(&table), 0);

    client.send(post(r#"{"model":"plain"}"#)).await;
    client.raw_until("\r\n\r\n2\r\nok\r\n").await;
    assert_eq!(in_flight(&table), 1);
    cut.notify_one();
    // The last chunk, of no length, does not come.
    assert!(client.answer_or_end().await.is_none());
    assert_eq!(in_flight(&table), 0);

    drop((client, h2));
    gateway.stop().await;
    let (_, requests) = upstream.finish().await;
    assert_eq!(requests.len(), 4);
    assert!(requests[..3].iter().all(|request| request.text() == REAL));
    assert_eq!(requests[1].trailers, [("x-a".to_owned(), "1".to_owned())]);
}
