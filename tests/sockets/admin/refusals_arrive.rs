//! What the view refuses while the client still sends reaches one that reads last.

use axum::Router;
use test_kit::{
    socket::{Peer, Server, chunk},
    table::simple,
};
use tower_model_route::Admin;

/// Far more than all buffers of a connection.
const SIZE: usize = 20_000_000;

fn head(fields: &str) -> Vec<u8> {
    format!("POST /_explain HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n").into()
}

async fn client() -> (Server, Peer) {
    let app = Router::new().fallback_service(Admin::new(simple()));
    let server = Server::axum(app).await;
    let client = server.connect().await;
    (server, client)
}

#[tokio::test]
async fn too_large_a_question_or_one_of_another_type() {
    let body = vec![b' '; SIZE];
    let with_length = format!("Content-Length: {SIZE}\r\n");
    let json = "Content-Type: application/json\r\n";
    let chunks = body.chunks(1 << 20).flat_map(chunk);
    let chunks = chunks.chain(*b"0\r\n\r\n").collect::<Vec<_>>();
    let in_chunks = "Transfer-Encoding: chunked\r\n";
    for (fields, body, status) in [
        (format!("{json}{with_length}"), &body, 413),
        (format!("{json}{in_chunks}"), &chunks, 413),
        (with_length, &body, 415),
    ] {
        let (_server, mut client) = client().await;
        client.send([head(&fields), body.clone()].concat()).await;
        assert_eq!(client.answer().await.status(), status);
        // The connection is none the worse for it.
        let small = head(&format!("{json}Content-Length: 2\r\n"));
        client.send([small, b"[]".to_vec()].concat()).await;
        assert_eq!(client.answer().await.status(), 400);
    }
}

/// It is told not to send it.
#[tokio::test]
async fn one_who_asks_first_is_answered_at_once() {
    let (_server, mut client) = client().await;
    let fields = "Content-Type: application/json\r\nExpect: 100-continue\r\n";
    client
        .send(head(&format!("{fields}Content-Length: {SIZE}\r\n")))
        .await;
    assert_eq!(client.answer().await.status(), 413);
}
