//! The requests that ask the endpoints.

use std::{collections::HashSet, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Request, Response, uri::PathAndQuery};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};
use tower_service::Service;

use super::listener::Listener;
use crate::{
    attempt::RouteBody,
    policy::to_engine::to_engine,
    server::{Endpoint, Server},
};

/// The requests that are under way.
pub(super) struct Round<T> {
    requests: JoinSet<(Arc<Endpoint>, Option<T>)>,
    /// The endpoints whose request has not ended, by their address in memory.
    under_way: HashSet<usize>,
}

/// What is sent.
pub(crate) struct Question {
    pub(super) path: PathAndQuery,
    /// Besides those of the endpoint's ModelServer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) timeout: Duration,
}

impl<T: Send + 'static> Round<T> {
    pub(super) fn new() -> Self {
        Self {
            requests: JoinSet::new(),
            under_way: HashSet::new(),
        }
    }

    /// Asks an endpoint, unless it has not answered the last question.
    pub(super) fn ask<S, R, L>(
        &mut self,
        (endpoint, server): &(Arc<Endpoint>, Arc<Server>),
        question: &Question,
        client: S,
    ) where
        S: Service<Request<RouteBody>, Response = Response<R>> + Send + 'static,
        S::Future: Send,
        R: Send + 'static,
        L: Listener<R, Reading = T>,
    {
        if !self.under_way.insert(address(endpoint)) {
            return;
        }
        let endpoint = Arc::clone(endpoint);
        let (request, timeout) = (question.to(&endpoint, server), question.timeout);
        self.requests.spawn(async move {
            let reading = match request {
                Some(request) => answer::<S, R, L>(client, request, timeout).await,
                None => None,
            };
            (endpoint, reading)
        });
    }

    /// Tells the listener what the endpoints say, until this time.
    pub(super) async fn collect_until<R, L>(&mut self, until: Instant, listener: &mut L)
    where
        L: Listener<R, Reading = T>,
    {
        loop {
            match timeout_at(until, self.requests.join_next()).await {
                Err(_) => return,
                Ok(None) => return sleep_until(until).await,
                // A client that panics says nothing; its endpoint is not asked again.
                Ok(Some(Err(_))) => {}
                Ok(Some(Ok((endpoint, reading)))) => {
                    self.under_way.remove(&address(&endpoint));
                    listener.heard(endpoint, reading);
                }
            }
        }
    }
}

impl Question {
    fn to(&self, endpoint: &Endpoint, server: &Server) -> Option<Request<RouteBody>> {
        let request = Request::new(RouteBody::default());
        let (mut head, body) = request.into_parts();
        to_engine(&mut head, &self.path, (endpoint, server), &self.headers)?;
        Some(Request::from_parts(head, body))
    }
}

async fn answer<S, R, L>(
    mut client: S,
    request: Request<RouteBody>,
    timeout: Duration,
) -> Option<L::Reading>
where
    S: Service<Request<RouteBody>, Response = Response<R>>,
    L: Listener<R>,
{
    let answer = async {
        std::future::poll_fn(|cx| client.poll_ready(cx))
            .await
            .ok()?;
        L::read(client.call(request).await.ok()?).await
    };
    tokio::time::timeout(timeout, answer).await.ok()?
}

/// What tells one endpoint from another as long as it exists.
pub(crate) fn address(endpoint: &Arc<Endpoint>) -> usize {
    Arc::as_ptr(endpoint).addr()
}
