//! The client by which one list is followed.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use ::kube::{Client, Error, client::Body};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tower_service::Service;

use crate::pieces::{jittered, lock};

/// The longest that the head of an answer may take, or a page of a list. The API server itself gives up
/// a request after a minute; nothing else ends one whose answer is lost.
const PATIENCE: Duration = Duration::from_secs(70);
/// A watch that ends sooner is one that failed, even if it ended in order.
const SHORT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How long to wait after so many failures in a row, and one more.
pub(super) fn pause(failures: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(10));
    jittered(pause.min(LONGEST_PAUSE), 0.5..1.0)
}

/// What is known of the watches of a list.
#[derive(Debug, Default)]
pub(super) struct Watches {
    pace: Mutex<Pace>,
    begun: Notify,
}

#[derive(Debug, Default)]
struct Pace {
    /// When the last one began.
    begun: Option<Instant>,
    /// How many in a row were short.
    short: u32,
}

impl Watches {
    /// Waits until a watch has begun; of each it is told once.
    pub(super) async fn begun(&self) {
        self.begun.notified().await;
    }

    fn begin(&self) {
        lock(&self.pace).begun = Some(Instant::now());
        self.begun.notify_one();
    }

    /// Waits while it would be too soon for the next one. A watcher begins it at once when the last one
    /// has ended, which may be as soon as it had begun.
    async fn turn(&self) {
        let pause = {
            let mut pace = lock(&self.pace);
            let begun = pace.begun.take();
            if begun.is_some_and(|begun| begun.elapsed() < SHORT) {
                pace.short = pace.short.saturating_add(1);
                pause(pace.short - 1)
            } else {
                pace.short = 0;
                Duration::ZERO
            }
        };
        sleep(pause).await;
    }
}

/// A client that waits for no answer without an end, and begins no watch right after another.
#[derive(Clone)]
pub(super) struct Asking {
    client: Client,
    watches: Arc<Watches>,
}

impl Asking {
    /// By way of this client, and what is known of its watches.
    pub(super) fn through(client: Client) -> (Client, Arc<Watches>) {
        let watches = Arc::<Watches>::default();
        let namespace = client.default_namespace().to_owned();
        let asking = Self {
            client,
            watches: Arc::clone(&watches),
        };
        (Client::new(asking, namespace), watches)
    }

    async fn ask(self, request: Request<Body>) -> Result<Response<Body>, Error> {
        if is_watch(request.uri()) {
            self.watches.turn().await;
            let answer = in_time(self.client.send(request)).await?;
            if answer.status().is_success() {
                self.watches.begin();
            }
            return Ok(answer);
        }
        in_time(async {
            let (head, body) = self.client.send(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Response::from_parts(head, Body::from(body)))
        })
        .await
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| {
        let seconds = PATIENCE.as_secs();
        Error::Service(format!("there is no answer after {seconds} s").into())
    };
    timeout(PATIENCE, answer).await.map_err(late).flatten()
}

fn is_watch(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query.split('&').any(|pair| pair == "watch=true")
}

impl Service<Request<Body>> for Asking {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}
