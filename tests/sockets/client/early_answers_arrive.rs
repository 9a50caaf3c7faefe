//! An engine that refuses an upload and hangs up while it is under way.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use bytes::Bytes;
use http::Request;
use tokio::net::TcpSocket;
use tower_model_route::{RouteBody, engine_client};

use super::ask;

const REFUSAL: &[u8] = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo large";
const TIMES: usize = 60;

/// It closes with the rest of the upload unread, so that its kernel resets the connection. It
/// runs beside the client, and not in turn with it: that is what the race is about.
fn refuse(listener: TcpListener) {
    for socket in listener.incoming().take(TIMES) {
        let mut socket = socket.unwrap();
        let mut begin = vec![0; 1 << 20];
        socket.read_exact(&mut begin).unwrap();
        socket.write_all(REFUSAL).unwrap();
    }
}

/// The upload does not fit into the buffers of the kernel.
fn small() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(128 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap().into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    listener
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_answer_arrives_every_time() {
    let listener = small();
    let url = format!("http://{}/v1/completions", listener.local_addr().unwrap());
    let engine = thread::spawn(|| refuse(listener));
    let (client, body) = (engine_client(), Bytes::from(vec![b' '; 8 << 20]));
    for _ in 0..TIMES {
        let request = Request::post(&url).body(RouteBody::from(body.clone()));
        let (status, text) = ask(&client, request.unwrap()).await;
        assert_eq!((status, &*text), (413, &b"too large"[..]));
    }
    engine.join().unwrap();
}
