//! The requests that ask the endpoints.

use std::{collections::HashSet, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Request, Response, Uri, uri::PathAndQuery};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};
use tower_service::Service;

use super::verdicts::{Verdicts, address};
use crate::{
    attempt::RouteBody,
    server::{Endpoint, Server},
    wire::{ForModelServer, rewrite},
};

/// The checks that are under way, and what they have said so far.
pub(super) struct Round {
    pub(super) verdicts: Verdicts,
    checks: JoinSet<(Arc<Endpoint>, bool)>,
    /// The endpoints whose check has not ended, by their address in memory.
    under_way: HashSet<usize>,
}

/// What is sent.
pub(super) struct Question {
    pub(super) path: PathAndQuery,
    /// Besides those of the endpoint's ModelServer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) timeout: Duration,
}

impl Round {
    pub(super) fn new(verdicts: Verdicts) -> Self {
        Self {
            verdicts,
            checks: JoinSet::new(),
            under_way: HashSet::new(),
        }
    }

    /// Begins to check an endpoint, unless its last check has not ended.
    pub(super) fn check<S, R>(
        &mut self,
        (endpoint, server): &(Arc<Endpoint>, Arc<Server>),
        question: &Question,
        client: S,
    ) where
        S: Service<Request<RouteBody>, Response = Response<R>> + Send + 'static,
        S::Future: Send,
        R: Send + 'static,
    {
        if !self.under_way.insert(address(endpoint)) {
            return;
        }
        let endpoint = Arc::clone(endpoint);
        let (request, timeout) = (question.to(&endpoint, server), question.timeout);
        self.checks.spawn(async move {
            let passed = match request {
                Some(request) => passes(client, request, timeout).await,
                None => false,
            };
            (endpoint, passed)
        });
    }

    /// Takes what the checks say, until this time.
    pub(super) async fn collect_until(&mut self, until: Instant) {
        loop {
            match timeout_at(until, self.checks.join_next()).await {
                Err(_) => return,
                Ok(None) => return sleep_until(until).await,
                // A client that panics says nothing; its endpoint is not checked again.
                Ok(Some(Err(_))) => {}
                Ok(Some(Ok((endpoint, passed)))) => {
                    self.under_way.remove(&address(&endpoint));
                    self.verdicts.count(endpoint, passed);
                }
            }
        }
    }
}

impl Question {
    fn to(&self, endpoint: &Endpoint, server: &Server) -> Option<Request<RouteBody>> {
        let request = Request::new(RouteBody::default());
        let (mut head, body) = request.into_parts();
        head.uri = Uri::from(self.path.clone());
        rewrite::address(&mut head, &endpoint.address).ok()?;
        rewrite::overwrite(&mut head, &server.headers);
        rewrite::overwrite(&mut head, &self.headers);
        let server = ForModelServer::new(Arc::clone(&server.name));
        head.extensions.insert(server);
        Some(Request::from_parts(head, body))
    }
}

async fn passes<S, R>(mut client: S, request: Request<RouteBody>, timeout: Duration) -> bool
where
    S: Service<Request<RouteBody>, Response = Response<R>>,
{
    let answer = async {
        std::future::poll_fn(|cx| client.poll_ready(cx)).await?;
        client.call(request).await
    };
    let answer = tokio::time::timeout(timeout, answer).await;
    matches!(answer, Ok(Ok(response)) if response.status().is_success())
}
