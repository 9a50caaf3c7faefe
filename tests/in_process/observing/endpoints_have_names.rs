//! What an endpoint is called is said wherever its URI is.

use test_kit::{engines::status, request::head, table::table};
use tower_model_route::{Endpoint, ModelServer, OutlierDetection, RouteTable, Rule, TrafficPolicy};

use super::Lines;
use crate::telemetry::collect::collecting;

const POD: &str = "engine-7d9f-x2";

/// One endpoint, which is called [`POD`].
fn named() -> RouteTable {
    let detection = OutlierDetection::new().consecutive_failures(1);
    let server = ModelServer::new("server")
        .endpoint(Endpoint::new("http://e0").name(POD))
        .traffic_policy(TrafficPolicy::new().outlier_detection(detection));
    table([server], Rule::new("rule").target("server"))
}

fn decided(table: &RouteTable) -> Option<String> {
    let decision = table.decide(&head("/v1/chat/completions", &[]), "asked");
    decision.unwrap().endpoint_name().map(str::to_owned)
}

#[test]
fn it_is_in_decisions_snapshots_and_explanations() {
    let table = named();
    assert_eq!(decided(&table).as_deref(), Some(POD));
    assert_eq!(table.servers()[0].endpoints()[0].name(), Some(POD));
    let explanation = table.explain(&head("/v1/chat/completions", &[]), "asked");
    let text = explanation.to_string();
    let line = format!("    endpoint http://e0 ({POD}): takes requests, healthy");
    assert!(text.contains(&line), "{text}");
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["targets"][0]["endpoints"][0]["name"], POD);
}

#[test]
fn what_has_no_name_has_none() {
    let server = ModelServer::new("server").endpoints([Endpoint::new("http://e0").name("")]);
    let table = table([server], Rule::new("rule").target("server"));
    assert_eq!(decided(&table), None);
    let json = serde_json::to_value(&table.servers()[0]).unwrap();
    assert!(json["endpoints"][0].get("name").is_none(), "{json}");
}

/// Several ModelServers may have one URI: it is one endpoint, and has the first name.
#[test]
fn of_a_shared_endpoint_the_first_name_counts() {
    let names = [None, Some("first"), Some("second")];
    let servers = names
        .iter()
        .zip(0..)
        .map(|(name, n): (&Option<&str>, i32)| {
            let endpoint = Endpoint::new("http://shared");
            let endpoint = name
                .iter()
                .fold(endpoint, |endpoint, name| endpoint.name(*name));
            ModelServer::new(format!("s{n}")).endpoint(endpoint)
        });
    let table = table(servers, Rule::new("rule").target("s0"));
    let servers = table.servers();
    for server in &servers {
        assert_eq!(server.endpoints()[0].name(), Some("first"));
    }
    assert_eq!(decided(&table).as_deref(), Some("first"));
}

#[tokio::test(start_paused = true)]
async fn it_is_in_spans_logs_and_access_logs() {
    let (seen, _guard) = collecting();
    let lines = Lines::default();
    let rig = lines.rig(named());
    rig.engines.always("e0", || status(502));
    rig.ask().await;
    let (text, json) = lines.last();
    let pod = format!("selected_pod={POD} endpoint=http://e0 ");
    assert!(text.contains(&pod), "{text}");
    assert_eq!(
        (json["selected_pod"].as_str(), json["endpoint"].as_str()),
        (Some(POD), Some("http://e0"))
    );
    let spans = seen.spans();
    assert_eq!(spans.len(), 2, "{spans:?}");
    for span in &spans {
        assert_eq!(
            span.fields.get("model_route.endpoint_name"),
            Some(POD),
            "{span:?}"
        );
    }
    let events = seen.events();
    let ejected = events
        .iter()
        .find(|event| event.fields.get("message") == Some("endpoint ejected"));
    assert_eq!(ejected.unwrap().fields.get("endpoint_name"), Some(POD));
}
