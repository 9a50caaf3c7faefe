//! Engines at every address of loopback, so that a Pod may have any of them.

use std::{
    collections::HashSet,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
};

use axum::body::Body;
use http::Response;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// On one port; each answers with its own address.
pub struct Engines {
    pub port: u16,
    dead: watch::Sender<HashSet<IpAddr>>,
    serving: JoinHandle<()>,
}

impl Engines {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let (dead, is_dead) = watch::channel(HashSet::new());
        Self {
            port: listener.local_addr().unwrap().port(),
            dead,
            serving: tokio::spawn(serve(listener, is_dead)),
        }
    }

    /// Resets the connections to this address, and all that come.
    pub fn kill(&self, address: &str) {
        let address = address.parse().unwrap();
        self.dead.send_modify(|dead| _ = dead.insert(address));
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, dead: watch::Receiver<HashSet<IpAddr>>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        connections.spawn(answer(socket, dead.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(socket: TcpStream, mut dead: watch::Receiver<HashSet<IpAddr>>) {
    socket.set_nodelay(true).unwrap();
    socket.set_zero_linger().unwrap();
    let Ok(address) = socket.local_addr() else {
        return;
    };
    let address = address.ip();
    if !address.is_loopback() {
        return;
    }
    let service = service_fn(move |_| async move {
        Ok::<_, Infallible>(Response::new(Body::from(address.to_string())))
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        _ = dead.wait_for(|dead| dead.contains(&address)) => {}
        // What goes wrong with a connection, its client sees.
        _ = connection => {}
    }
}
