//! Requests that ask for a WebSocket.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, request::Parts};
use hyper::upgrade::OnUpgrade;

use crate::{
    attempt::{Exchange, Finished, Held, ResponseBody, Tunnels, outcome_of_answer},
    error::{RouteError, RouteErrorKind},
    observe::Report,
    wire::rewrite,
};

/// What a 101 needs.
pub(super) struct Upgrade {
    /// The client's connection; `None` if the server above is not hyper.
    client: Option<OnUpgrade>,
    tunnels: Tunnels,
}

impl Upgrade {
    /// Takes the client's connection out of `head`; `None` if the engine is not asked to upgrade.
    pub(super) fn asked(head: &mut Parts, tunnels: &Tunnels) -> Option<Self> {
        let client = head.extensions.remove();
        // (`end_hop` has left these two to no other request.)
        rewrite::asks_for_websocket(&head.method, &head.headers).then(|| Self {
            client,
            tunnels: tunnels.clone(),
        })
    }
}

/// The engine has switched protocols. The session holds the lease to its end, in a task of its
/// own; or a layer above carries it on, and the answer's body holds the lease.
pub(super) fn switched<R>(
    mut response: Response<R>,
    upgrade: Option<Upgrade>,
    exchange: &Arc<Exchange>,
    report: &mut Report,
) -> Result<Response<ResponseBody<R>>, RouteError> {
    let upgrade = upgrade
        .filter(|_| rewrite::names_websocket(response.headers()))
        .ok_or_else(|| refused("the request did not ask for"))?;
    let engine = match &upgrade.client {
        Some(_) => Some(
            response
                .extensions_mut()
                .remove()
                .ok_or_else(|| refused("its client can not do"))?,
        ),
        None => None,
    };
    let Finished {
        decision,
        lease,
        upload,
        ..
    } = exchange.finish(|| outcome_of_answer(&response))?;
    report.answered(response.status(), &decision, None);
    let idle_timeout = decision.policy().get_stream_idle_timeout();
    let report = std::mem::take(report);
    let mut held = Held::new(lease, upload, idle_timeout, report);
    held.watch(None, None);
    response.extensions_mut().insert(decision.clone());
    let (Some(client), Some(engine)) = (upgrade.client, engine) else {
        return Ok(response.map(|body| ResponseBody::upgraded(body, held, decision)));
    };
    upgrade
        .tunnels
        .begin(client, engine, held)
        .ok_or_else(|| refused("needs a tokio runtime"))?;
    Ok(response.map(|_| ResponseBody::own(Bytes::new())))
}

/// An engine has switched protocols, which something stands against.
pub(super) fn refused(why: &str) -> RouteError {
    RouteError::new(
        RouteErrorKind::UpstreamUnreachable,
        format!("the engine switched protocols, which {why}"),
    )
}
