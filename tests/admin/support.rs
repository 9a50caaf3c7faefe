//! A table with hostile names, and a request to its view.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::ServiceExt;
use tower_model_route::{
    Admin, Endpoint, ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch,
    TargetModel, TrafficPolicy,
};

/// A name that a page must not take for markup.
pub(crate) const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\"'&";

pub(crate) fn table() -> RouteTable {
    let premium = ModelMatch::new()
        .header("user-type", StringMatch::exact("premium"))
        .header("authorization", StringMatch::exact("Bearer sk-1"));
    RouteTable::builder()
        .model_server(
            ModelServer::new("small")
                .model("org/small")
                .endpoint("http://s1:8000")
                .endpoint(Endpoint::new("http://s2:8000").weight(3))
                .traffic_policy(TrafficPolicy::new().max_in_flight(8)),
        )
        .model_server(ModelServer::new(HOSTILE).endpoint("http://large"))
        .model_server(ModelServer::new("spare"))
        .model_route(
            ModelRoute::new(HOSTILE)
                .model_name("gpt")
                .lora_adapters(["sql", "sum"])
                .rule(Rule::new("premium").when(premium).target(HOSTILE))
                .rule(
                    Rule::new("default")
                        .target(TargetModel::new("small").weight(70))
                        .target(TargetModel::new(HOSTILE).weight(30))
                        .fallback("spare"),
                ),
        )
        .build()
        .unwrap()
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) async fn send(admin: Admin, request: Request<Full<Bytes>>) -> Answer {
    let response = admin.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    Answer {
        status: head.status,
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

pub(crate) async fn ask(method: Method, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    send(Admin::new(table()), request.body(Full::default()).unwrap()).await
}

pub(crate) async fn get(path: &str) -> Answer {
    ask(Method::GET, path).await
}
