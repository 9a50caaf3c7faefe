//! The key in the body, however the body comes.

use std::convert::Infallible;

use async_compression::tokio::bufread::GzipEncoder;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use tokio::io::AsyncReadExt;
use tower_model_route::{Balance, HashKey, ModelRouteLayer};

use super::users::{Gateway, chat, of_user, of_user_text, post, table};

const USERS: usize = 30;

fn by_user() -> Balance {
    Balance::ConsistentHash(HashKey::User.into())
}

/// A body in pieces, for each of which it has to be waited.
fn slowly(body: Bytes, size: usize) -> impl Body<Data = Bytes, Error = Infallible> + Send {
    let pieces: Vec<_> = body.chunks(size).map(Bytes::copy_from_slice).collect();
    StreamBody::new(stream::iter(pieces).then(|piece| async move {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        Ok(Frame::data(piece))
    }))
}

#[tokio::test(start_paused = true)]
async fn in_slow_pieces() {
    let gateway = Gateway::balanced(by_user());
    for user in 0..USERS {
        let endpoint = gateway.ask(of_user(user, 0)).await;
        for size in [1, 7, 50] {
            let text = Bytes::from(of_user_text(user, size));
            let request = post("").map(|_| Box::pin(slowly(text, size)));
            assert_eq!(gateway.ask(request).await, endpoint, "pieces of {size}");
        }
    }
}

#[tokio::test]
async fn compressed() {
    let gateway = Gateway::new(ModelRouteLayer::new(table(by_user())));
    for user in 0..USERS {
        let endpoint = gateway.ask(of_user(user, 0)).await;
        let text = of_user_text(user, 1);
        let mut gzip = Vec::new();
        let mut encoder = GzipEncoder::new(text.as_bytes());
        encoder.read_to_end(&mut gzip).await.unwrap();
        let mut request = post(gzip);
        let headers = request.headers_mut();
        headers.insert("content-encoding", "gzip".parse().unwrap());
        assert_eq!(gateway.ask(request).await, endpoint);
    }
}

/// Of a body that is too large to be held, what stands within the first `replay_bytes` counts.
#[tokio::test(start_paused = true)]
async fn larger_than_what_is_kept() {
    let gateway = Gateway::new(ModelRouteLayer::new(table(by_user())).replay_bytes(1000));
    let padding = "x".repeat(5000);
    for user in 0..USERS {
        let endpoint = gateway.ask(of_user(user, 0)).await;
        let text = format!(r#"{{"model":"asked","user":"user-{user}","a":"{padding}"}}"#);
        assert_eq!(gateway.ask(post(text.clone())).await, endpoint);
        for size in [100, 999, 3000] {
            let request = post("").map(|_| Box::pin(slowly(text.clone().into(), size)));
            assert_eq!(gateway.ask(request).await, endpoint, "pieces of {size}");
        }
    }
    // Beyond that it goes by load.
    let request = chat(&format!(r#""a":"{padding}","user":"u""#));
    gateway
        .ask(request.map(|body| Box::pin(slowly(body.into_inner().unwrap(), 100))))
        .await;
}

/// A body that is streamed on after its key was read is whole, and can be sent again or not as
/// any other.
#[tokio::test(start_paused = true)]
async fn the_model_behind_the_user() {
    let gateway = Gateway::balanced(by_user());
    for user in 0..USERS {
        let endpoint = gateway.ask(of_user(user, 0)).await;
        let text = format!(r#"{{"user":"user-{user}","a":[1,2,3],"model":"asked"}}"#);
        assert_eq!(gateway.ask(post(text.clone())).await, endpoint);
        let request: Request<_> = post("").map(|_| Box::pin(slowly(text.into(), 3)));
        assert_eq!(gateway.ask(request).await, endpoint);
    }
}
