//! Requests as bytes.

use std::fmt::Write;

/// A chat request with its length and nothing else.
pub fn post(body: impl AsRef<[u8]>) -> Vec<u8> {
    post_with("", body)
}

/// A chat request with its length and further fields, each with its line end.
pub fn post_with(fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    post_to("/v1/chat/completions", fields, body)
}

pub fn post_to(target: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let fields = format!("{fields}Content-Length: {}\r\n", body.len());
    [head_to(target, &fields).as_bytes(), body].concat()
}

/// A chat request in chunks, with further fields and with trailers, each with its line end.
pub fn post_chunked(fields: &str, chunks: &[&str], trailers: &str) -> Vec<u8> {
    let fields = format!("{fields}Transfer-Encoding: chunked\r\n");
    let mut request = head_to("/v1/chat/completions", &fields);
    for chunk in chunks {
        write!(request, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
    }
    write!(request, "0\r\n{trailers}\r\n").unwrap();
    request.into_bytes()
}

/// The head of a chat request of `length` bytes.
pub fn head_with_length(length: usize) -> Vec<u8> {
    head(&format!("Content-Length: {length}\r\n"))
}

/// The head of a chat request in chunks.
pub fn chunked_head() -> Vec<u8> {
    head("Transfer-Encoding: chunked\r\n")
}

/// The head of a chat request with these fields, each with its line end.
pub fn head(fields: &str) -> Vec<u8> {
    head_to("/v1/chat/completions", fields).into_bytes()
}

fn head_to(target: &str, fields: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: gateway.test\r\n{fields}\r\n")
}

/// `data` as one chunk.
pub fn chunk(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// The end of chunks without trailers.
pub const LAST_CHUNK: &str = "0\r\n\r\n";
