//! The engines at all hosts, and their scripts.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::{sync::Semaphore, time::Instant};
use tower_model_route::RouteBody;

use super::{Act, Attempt, EngineService, says, status};
use crate::body::{BoxError, Scripted};

/// Hosts are named as in Host, or as an endpoint's URI.
#[derive(Clone, Default)]
pub struct Engines(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What the next attempts meet, wherever they go.
    next: VecDeque<Act>,
    /// What the next attempts at a host meet.
    at: HashMap<String, VecDeque<Act>>,
    /// What all others at a host meet; else they get a 200.
    always: HashMap<String, fn() -> Act>,
    everywhere: Option<fn() -> Act>,
    /// What lets answers through.
    gate: Option<Arc<Semaphore>>,
    attempts: Vec<Attempt>,
    /// How many calls there were at a host.
    counts: HashMap<String, usize>,
    under_way: usize,
}

impl Engines {
    /// What the next attempts meet, wherever they go.
    pub fn next(&self, acts: impl IntoIterator<Item = Act>) {
        self.lock().next.extend(acts);
    }

    /// What the next attempts would have met is forgotten.
    pub fn forget_next(&self) {
        self.lock().next.clear();
    }

    /// What the next attempts at `host` meet.
    pub fn at(&self, host: &str, acts: impl IntoIterator<Item = Act>) {
        self.lock().at.entry(named(host)).or_default().extend(acts);
    }

    /// What every attempt at `host` meets.
    pub fn always(&self, host: &str, act: fn() -> Act) {
        self.lock().always.insert(named(host), act);
    }

    pub fn everywhere(&self, act: fn() -> Act) {
        self.lock().everywhere = Some(act);
    }

    /// `host` answers 429 from now on.
    pub fn fill(&self, host: &str) {
        self.always(host, || status(429));
    }

    /// From now on no request is answered before the semaphore lets it through.
    pub fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.lock().gate = Some(Arc::clone(&gate));
        gate
    }

    /// The attempts since this was asked last.
    pub fn attempts(&self) -> Vec<Attempt> {
        std::mem::take(&mut self.lock().attempts)
    }

    /// The hosts of these attempts.
    pub fn hosts(&self) -> Vec<String> {
        self.attempts()
            .iter()
            .map(|attempt| attempt.host().to_owned())
            .collect()
    }

    /// How many calls there have been at `host`.
    pub fn count(&self, host: &str) -> usize {
        self.lock().counts.get(&named(host)).copied().unwrap_or(0)
    }

    /// How many calls have begun that have neither ended nor been dropped.
    pub fn under_way(&self) -> usize {
        self.lock().under_way
    }

    pub fn service(&self) -> EngineService {
        EngineService::new(self.clone())
    }

    pub(super) async fn serve(
        self,
        request: Request<RouteBody>,
    ) -> Result<Response<Scripted>, BoxError> {
        let _under_way = UnderWay::new(&self);
        let at = Instant::now();
        let (head, body) = request.into_parts();
        let decision = body.decision();
        let (mut act, gate) = self.act(head.headers["host"].to_str().unwrap());
        let announced = body.size_hint().exact();
        let mut trailers = None;
        let body = match act {
            Act::Unread(then) => {
                act = *then;
                Ok(Bytes::new())
            }
            Act::Glance(then) => {
                act = *then;
                Ok(glance(body))
            }
            _ => match body.collect().await {
                Ok(body) => {
                    trailers = body.trailers().cloned();
                    Ok(body.to_bytes())
                }
                Err(error) => Err(error.to_string()),
            },
        };
        let failure = body.as_ref().err().cloned();
        self.lock().attempts.push(Attempt {
            head,
            body,
            announced,
            trailers,
            at,
            decision,
        });
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        loop {
            act = match act {
                Act::Answer(answer) => return Ok(answer),
                Act::Fail(error) => return Err(error),
                Act::Hang => std::future::pending().await,
                Act::Unread(then) | Act::Glance(then) => *then,
                Act::Late(by, then) => {
                    tokio::time::sleep(by).await;
                    *then
                }
            }
        }
    }

    /// What a call at `host` meets, and what it must pass to be answered.
    fn act(&self, host: &str) -> (Act, Option<Arc<Semaphore>>) {
        let mut state = self.lock();
        *state.counts.entry(host.to_owned()).or_default() += 1;
        let act = if let Some(act) = state.at.get_mut(host).and_then(VecDeque::pop_front) {
            act
        } else if let Some(act) = state.next.pop_front() {
            act
        } else {
            match state.always.get(host).or(state.everywhere.as_ref()) {
                Some(act) => act(),
                None => says(200, "ok"),
            }
        };
        (act, state.gate.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn named(host: &str) -> String {
    host.trim_start_matches("http://").to_owned()
}

/// What of a body is there.
fn glance(mut body: RouteBody) -> Bytes {
    let mut read = BytesMut::new();
    while let Some(Some(Ok(frame))) = body.frame().now_or_never() {
        read.extend(frame.into_data());
    }
    read.freeze()
}

struct UnderWay(Engines);

impl UnderWay {
    fn new(engines: &Engines) -> Self {
        engines.lock().under_way += 1;
        Self(engines.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
    }
}
