//! An engine that refuses an upload and hangs up while it is under way.

use bytes::Bytes;
use http::Request;
use test_kit::time::within;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower_model_route::{RouteBody, engine_client};

use super::ask;

const REFUSAL: &[u8] = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo large";
const TIMES: usize = 60;

/// It closes with the rest of the upload unread, so that its kernel resets the connection.
async fn refuse(listener: TcpListener) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        _ = socket.read(&mut head).await;
        _ = socket.write_all(REFUSAL).await;
    }
}

#[tokio::test]
async fn its_answer_arrives_every_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/completions", listener.local_addr().unwrap());
    let engine = tokio::spawn(refuse(listener));
    let (client, body) = (engine_client(), Bytes::from(vec![b' '; 8 << 20]));
    for _ in 0..TIMES {
        let request = Request::post(&url).body(RouteBody::from(body.clone()));
        let (status, text) = within(ask(&client, request.unwrap())).await;
        assert_eq!((status, &*text), (413, &b"too large"[..]));
    }
    engine.abort();
}
