//! The gateway under test, on a port of its own.

use axum::body::Body;
use test_kit::{
    socket::{HttpClient, Server, http_client},
    table::in_flight,
};
use tower::ServiceBuilder;
use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer, RouteBody, RouteTable};

/// What serves the gateway.
#[derive(Clone, Copy, Debug)]
pub(super) enum Serves {
    Axum,
    Hyper,
}

/// What the client speaks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
    Http1,
    H2c,
}

/// Every way to the gateway.
pub(super) const WAYS: [(Serves, Protocol); 4] = [
    (Serves::Axum, Protocol::Http1),
    (Serves::Axum, Protocol::H2c),
    (Serves::Hyper, Protocol::Http1),
    (Serves::Hyper, Protocol::H2c),
];

/// A gateway that listens until this is dropped, and a client of it.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) table: RouteTable,
    pub(super) url: String,
    pub(super) client: HttpClient<Body>,
    _server: Server,
}

impl Gateway {
    pub(super) async fn spawn((serves, protocol): (Serves, Protocol), table: RouteTable) -> Self {
        let server = match serves {
            Serves::Axum => {
                let service = ServiceBuilder::new()
                    .layer(ModelRouteLayer::new(table.clone()))
                    .layer(AnswerErrorsLayer::new())
                    .service(http_client::<RouteBody>(false));
                Server::axum(axum::Router::new().fallback_service(service)).await
            }
            Serves::Hyper => Server::routing(ModelRouteLayer::new(table.clone())).await,
        };
        Self {
            table,
            url: server.url(),
            client: http_client(matches!(protocol, Protocol::H2c)),
            _server: server,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        in_flight(&self.table)
    }
}
