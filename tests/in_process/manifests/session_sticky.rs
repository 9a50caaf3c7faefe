//! Kthena's sessionSticky is read as it is, and written back.

use std::time::Duration;

use tower_model_route::{
    HashKey, ModelServer, RouteTable, SessionSticky, TrafficPolicy, manifest::Manifests,
};

use super::written::{errors, server, warnings};

fn sticky(text: &str) -> String {
    let own = "endpoints: [{name: a, address: h, port: 1}]";
    let policy = format!("trafficPolicy: {{sessionSticky: {{{text}}}}}");
    server("s", &[own, &policy])
}

fn read(text: &str) -> SessionSticky {
    let table = Manifests::from_yaml(&sticky(text)).build().unwrap();
    let server = &table.config().get_model_servers()[0];
    let sticky = server.get_traffic_policy().get_session_sticky();
    sticky.unwrap().clone()
}

#[test]
fn every_source_is_read_in_order() {
    let read = read(
        "sessionAffinitySeconds: 60, sources: [{type: Header, name: X-Session-ID}, \
         {type: Query, name: session_id}, {type: Cookie, name: sid}]",
    );
    let sources = [
        HashKey::Header("X-Session-ID".into()),
        HashKey::Query("session_id".into()),
        HashKey::Cookie("sid".into()),
    ];
    let expected = SessionSticky::new(sources).idle_for(Duration::from_secs(60));
    assert_eq!(read, expected);
}

#[test]
fn five_minutes_are_the_default() {
    let read = read("sources: [{type: Cookie, name: sid}]");
    assert_eq!(read.get_idle(), Duration::from_secs(300));
}

#[test]
fn a_claim_comes_from_an_extension_which_is_said() {
    let yaml = sticky("sources: [{type: JWTClaim, name: sub}]");
    let said = warnings(&yaml);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("sessionSticky.sources[0].type"),
        "{said:?}"
    );
    assert!(said[0].ends_with("[jwt-claim-from-extension]"), "{said:?}");
    let read = read("sources: [{type: JWTClaim, name: sub}]");
    assert_eq!(read.get_sources(), [HashKey::Extension("sub".into())]);
}

#[test]
fn what_says_no_session_is_an_error() {
    for (text, code) in [
        ("", "no-session-sources"),
        ("sources: []", "no-session-sources"),
        (
            "sessionAffinitySeconds: 0, sources: [{type: Cookie, name: c}]",
            "invalid-value",
        ),
        (
            "sessionAffinitySeconds: 1.5, sources: [{type: Cookie, name: c}]",
            "invalid-value",
        ),
        ("sources: [{type: Body, name: c}]", "invalid-value"),
        ("sources: [{name: c}]", "invalid-value"),
        ("sources: [{type: Header}]", "invalid-value"),
        ("sources: [{type: Header, name: 'a b'}]", "invalid-value"),
    ] {
        let said = errors(&sticky(text));
        assert_eq!(said.len(), 1, "{text}: {said:?}");
        assert!(
            said[0].contains("spec.trafficPolicy.sessionSticky"),
            "{said:?}"
        );
        assert!(said[0].ends_with(&format!("[{code}]")), "{text}: {said:?}");
    }
}

#[test]
fn a_wrong_header_is_named_at_its_source() {
    let found = errors(&sticky(
        "sources: [{type: Header, name: x-ok}, {type: Header, name: not ok}]",
    ));
    assert_eq!(
        found,
        [
            "9:94 spec.trafficPolicy.sessionSticky.sources[1].name: \"not ok\" is not a valid header \
             name [invalid-value]"
        ]
    );
}

#[test]
fn pairs_are_not_pinned_which_is_said() {
    let selector = "workloadSelector: {matchLabels: {a: b}, pdGroup: {groupKey: g, prefillLabels: {r: p}, decodeLabels: {r: d}}}";
    let policy = "trafficPolicy: {sessionSticky: {sources: [{type: Cookie, name: c}]}}";
    let yaml = server("s", &[selector, "workloadPort: {port: 1}", policy]);
    let said = warnings(&yaml);
    assert!(
        said.iter().any(|line| line.contains("pins no pairs")),
        "{said:?}"
    );
}

#[test]
fn it_is_written_as_it_was_read() {
    let sources = [
        HashKey::Header("x-session".into()),
        HashKey::Query("s".into()),
        HashKey::Cookie("c".into()),
        HashKey::Extension("sub".into()),
    ];
    for sticky in [
        SessionSticky::new(sources.clone()),
        SessionSticky::new(sources).idle_for(Duration::from_secs(7)),
    ] {
        let policy = TrafficPolicy::new().session_sticky(sticky.clone());
        let server = ModelServer::new("default/s").endpoint("http://10.0.0.1:1");
        let table = RouteTable::builder().model_server(server.traffic_policy(policy));
        let yaml = table.build().unwrap().to_yaml();
        let again = Manifests::from_yaml(&yaml).build().unwrap();
        let server = &again.config().get_model_servers()[0];
        assert_eq!(
            server.get_traffic_policy().get_session_sticky(),
            Some(&sticky)
        );
    }
}
