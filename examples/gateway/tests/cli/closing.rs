//! Connections that end while their client still sends.

use test_kit::{
    socket::{Reply, Upstream},
    time::within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    files::{route, server},
    program::Gateway,
};

/// More than all buffers on the way have room for.
const MUCH: usize = 32 << 20;

/// Sends everything, and only then reads, to the end of the connection.
async fn told(gateway: &Gateway, head: &str) -> String {
    let address = gateway.url().strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    within(client.write_all(&vec![b'x'; MUCH])).await.unwrap();
    let mut answer = String::new();
    within(client.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// Its connection is not reset, with which many clients lose the answer.
#[tokio::test]
async fn a_client_that_reads_last_gets_its_answer() {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    let manifests = server("small", "m") + &route("chat", "small");
    let (_directory, gateway) = Gateway::serving(&engine, &manifests, &[]).await;
    for (line, fields, status) in [
        // It waits to be asked for its body, and then loses patience.
        ("POST /nowhere", "Host: g\r\nExpect: 100-continue\r\n", 404),
        // What the gateway itself refuses.
        ("POST /v1/chat/completions", "Connection: close\r\n", 400),
        // What is no request at all.
        ("POST /v1/chat/completions", "No field\r\n", 400),
    ] {
        let head = format!("{line} HTTP/1.1\r\n{fields}Content-Length: {MUCH}\r\n\r\n");
        let answer = told(&gateway, &head).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}
