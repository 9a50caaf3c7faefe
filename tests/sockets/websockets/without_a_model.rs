//! WebSockets of requests that are forwarded without being routed.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use test_kit::{
    socket::{Server, http_client},
    table::simple,
    time::{eventually, within},
};
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tower::{ServiceBuilder, ServiceExt};
use tower_model_route::{ModelRouteLayer, RouteBody, WithoutModel};

use super::frames::{CLOSE, Side, TEXT};

fn layer() -> ModelRouteLayer {
    ModelRouteLayer::new(simple()).without_model(WithoutModel::Forward)
}

/// The paths of sessions that name no model.
async fn asks(gateway: &Server, protocol: &str) -> Side {
    let mut client = Side::connect(gateway.address).await;
    client
        .write(format!(
            "GET /live HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        ))
        .await;
    client
}

#[tokio::test]
async fn a_forwarded_session_is_tunnelled() {
    let engine = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("http://{}/live", engine.local_addr().unwrap());
    let layer = layer();
    let tunnels = layer.tunnels();
    let client = http_client(false).map_request(move |mut request: Request<RouteBody>| {
        *request.uri_mut() = to.parse().unwrap();
        request
    });
    let gateway = Server::hyper(ServiceBuilder::new().layer(layer).service(client)).await;

    let mut client = asks(&gateway, "websocket").await;
    let mut engine = Side::new(within(engine.accept()).await.unwrap().0);
    let head = engine.head().await;
    assert!(head.contains("connection: upgrade\r\nupgrade: websocket\r\n"));
    engine.accepts("websocket").await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(client.hears().await, (TEXT, b"created".to_vec()));
    assert_eq!(tunnels.count(), 1);
    client.says(TEXT, b"question").await;
    assert_eq!(engine.hears().await, (TEXT, b"question".to_vec()));
    engine.says(CLOSE, &[3, 232]).await;
    drop(engine);
    assert_eq!(client.hears().await, (CLOSE, vec![3, 232]));
    assert!(client.is_at_end().await);
    eventually(|| tunnels.count() == 0).await;
}

#[tokio::test]
async fn what_the_client_has_not_asked_for_is_not_tunnelled() {
    let engine = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("http://{}/live", engine.local_addr().unwrap());
    let client = http_client(false).map_request(move |mut request: Request<RouteBody>| {
        *request.uri_mut() = to.parse().unwrap();
        request
    });
    let gateway = Server::hyper(ServiceBuilder::new().layer(layer()).service(client)).await;
    let mut client = asks(&gateway, "h2c").await;
    let mut engine = Side::new(within(engine.accept()).await.unwrap().0);
    let head = engine.head().await;
    assert!(!head.contains("upgrade"), "{head}");
    engine.accepts("h2c").await;
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
}

/// Such as axum's `WebSocketUpgrade` below the layer, which finds the client's connection.
#[tokio::test]
async fn the_inner_service_may_switch_itself() {
    let switches = |mut request: Request<RouteBody>| async move {
        let client = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut client = TokioIo::new(client.await.unwrap());
            client.write_all(&[0x81, 2, b'h', b'i']).await.unwrap();
            client.shutdown().await.unwrap();
        });
        let answer = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", "websocket");
        Ok::<_, Infallible>(answer.body(Empty::<Bytes>::new()).unwrap())
    };
    let service = ServiceBuilder::new().layer(layer()).service_fn(switches);
    let gateway = Server::hyper(service).await;
    let mut client = asks(&gateway, "websocket").await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(client.hears().await, (TEXT, b"hi".to_vec()));
    assert!(client.is_at_end().await);
}
