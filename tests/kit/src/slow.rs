//! A proxy that takes its time, or lets nothing through.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Between two that talk over TCP: what either sends arrives later.
pub struct Slow {
    pub address: SocketAddr,
    millis: Arc<AtomicU64>,
    to: watch::Sender<SocketAddr>,
    cut: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Slow {
    pub async fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let millis = Arc::<AtomicU64>::default();
        let delay = Arc::clone(&millis);
        let (cut, is_cut) = watch::channel(false);
        let (to, leads_to) = watch::channel(to);
        let serving = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *is_cut.borrow() {
                    continue;
                }
                let to = *leads_to.borrow();
                let Ok(server) = TcpStream::connect(to).await else {
                    continue;
                };
                let (delay, back) = (Arc::clone(&delay), Arc::clone(&delay));
                let ((from, to_client), (answers, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(until_cut(is_cut.clone(), pass(from, to_server, delay)));
                tokio::spawn(until_cut(is_cut.clone(), pass(answers, to_client, back)));
            }
        });
        Self {
            address,
            millis,
            to,
            cut,
            serving,
        }
    }

    /// Ends all connections, and those that come, from now on; or no longer.
    pub fn cut(&self, is_cut: bool) {
        self.cut.send_replace(is_cut);
    }

    /// Where new connections lead from now on; the others stay.
    pub fn lead_to(&self, to: SocketAddr) {
        self.to.send_replace(to);
    }

    /// How long each way takes from now on.
    pub fn delay(&self, millis: u64) {
        self.millis.store(millis, Ordering::SeqCst);
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn until_cut(mut is_cut: watch::Receiver<bool>, passing: impl Future<Output = ()>) {
    tokio::select! {
        _ = is_cut.wait_for(|is_cut| *is_cut) => {}
        () = passing => {}
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    millis: Arc<AtomicU64>,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let delay = millis.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
