//! The gateway on a socket, and its clients.

use std::net::Ipv4Addr;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, task::JoinSet};
use tower_model_route::{ModelServer, RouteBody, RouteTable, Rule, TrafficPolicy, stack};

use crate::kit::table;

pub(super) struct Gateway {
    pub(super) table: RouteTable,
    url: String,
    _server: JoinSet<()>,
}

/// What a client has of it.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// `None` where it broke off.
    pub(super) body: Option<Bytes>,
}

impl Gateway {
    pub(super) async fn to<const N: usize>(urls: [String; N], policy: TrafficPolicy) -> Self {
        let server = ModelServer::new("server")
            .endpoints(urls)
            .traffic_policy(policy);
        let table = table([server], Rule::new("rule").target("server"));
        let client = Client::builder(TokioExecutor::new()).build::<_, RouteBody>(connector());
        let app = axum::Router::new().fallback_service(stack(table.clone()).service(client));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!(
            "http://{}/v1/chat/completions",
            listener.local_addr().unwrap()
        );
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            table,
            url,
            _server: server,
        }
    }

    pub(super) fn client(&self) -> GatewayClient {
        GatewayClient {
            client: Client::builder(TokioExecutor::new()).build(connector()),
            url: self.url.clone(),
        }
    }

    pub(super) async fn ask(&self) -> Got {
        self.client().ask(r#"{"model":"asked"}"#).await
    }

    pub(super) fn in_flight(&self) -> usize {
        self.table.servers()[0].in_flight()
    }

    /// Waits until nothing is in flight any more.
    pub(super) async fn is_idle(&self) {
        while self.in_flight() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

#[derive(Clone)]
pub(super) struct GatewayClient {
    client: Client<HttpConnector, Body>,
    url: String,
}

impl GatewayClient {
    pub(super) async fn ask(&self, body: &'static str) -> Got {
        let request = Request::post(&self.url).body(Body::from(body)).unwrap();
        let answer = self.client.request(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        Got {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.ok().map(|body| body.to_bytes()),
        }
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}

/// `future`, or a panic where it hangs.
pub(super) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(std::time::Duration::from_secs(30), future)
        .await
        .expect("it should not take thirty seconds")
}
