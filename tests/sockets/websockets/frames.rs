//! One end of a session: heads, then frames (RFC 6455 section 5.2).

use std::net::SocketAddr;

use test_kit::{time::within, tls::TlsStream};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// With TLS or without.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

pub(super) struct Side {
    socket: Box<dyn Socket>,
    /// What a client masks with; none is an engine.
    mask: Option<[u8; 4]>,
}

impl Side {
    pub(super) fn new(socket: impl Socket + 'static) -> Self {
        socket.tcp().set_nodelay(true).unwrap();
        let socket = Box::new(socket);
        Self { socket, mask: None }
    }

    pub(super) async fn connect(address: SocketAddr) -> Self {
        let socket = within(TcpStream::connect(address)).await.unwrap();
        Self {
            mask: Some([1, 2, 3, 4]),
            ..Self::new(socket)
        }
    }

    pub(super) async fn asks(&mut self, protocol: &str) {
        self.write(&format!(
            "GET /v1/realtime?model=asked HTTP/1.1\r\nHost: g\r\nConnection: keep-alive, Upgrade\r\n\
             Upgrade: {protocol}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ))
        .await;
    }

    /// Accepts, and says something in the same packet.
    pub(super) async fn accepts(&mut self, protocol: &str) {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
        let first = self.frame(TEXT, b"created");
        self.write([head.as_bytes(), &first].concat()).await;
    }

    pub(super) async fn refuses(&mut self) {
        self.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            .await;
    }

    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.socket.write_all(bytes.as_ref())).await.unwrap();
    }

    /// A head, byte by byte, so that nothing is read of what follows.
    pub(super) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(self.socket.read_u8()).await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    fn frame(&self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let mut frame = vec![0x80 | kind];
        match payload.len() {
            short @ 0..126 => frame.push(masked | short as u8),
            middle @ 126..0x1_0000 => {
                frame.push(masked | 126);
                frame.extend((middle as u16).to_be_bytes());
            }
            long => {
                frame.push(masked | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        let mask = self.mask.unwrap_or_default();
        frame.extend(self.mask.iter().flatten());
        let payload = payload.iter().zip(mask.iter().cycle());
        frame.extend(payload.map(|(byte, mask)| byte ^ mask));
        frame
    }

    pub(super) async fn says(&mut self, kind: u8, payload: &[u8]) {
        let frame = self.frame(kind, payload);
        self.write(frame).await;
    }

    /// The next frame, which the other side sends.
    pub(super) async fn hears(&mut self) -> (u8, Vec<u8>) {
        within(self.read_frame()).await.unwrap()
    }

    async fn read_frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let socket = &mut self.socket;
        let kind = socket.read_u8().await? & 0x0f;
        let length = socket.read_u8().await?;
        assert_eq!(length >= 0x80, self.mask.is_none(), "only clients mask");
        let length = match length & 0x7f {
            126 => u64::from(socket.read_u16().await?),
            127 => socket.read_u64().await?,
            length => u64::from(length),
        };
        let mut mask = [0; 4];
        if self.mask.is_none() {
            socket.read_exact(&mut mask).await?;
        }
        let mut payload = vec![0; length as usize];
        socket.read_exact(&mut payload).await?;
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        Ok((kind, payload))
    }

    /// Whether the other side has ended, without another byte.
    pub(super) async fn is_at_end(&mut self) -> bool {
        !matches!(within(self.socket.read(&mut [0])).await, Ok(1..))
    }

    /// Says that nothing more comes.
    pub(super) async fn shut_down(&mut self) {
        within(self.socket.shutdown()).await.unwrap();
    }

    /// Ends the connection with a reset.
    pub(super) fn reset(self) {
        self.socket.tcp().set_zero_linger().unwrap();
    }
}
