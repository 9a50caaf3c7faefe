//! An engine's `Location` does not lead clients past the gateway.

use test_kit::{engines::says, gateway::Rig, table::table};
use tower_model_route::{ModelServer, Rule};

#[tokio::test(start_paused = true)]
async fn what_points_at_the_endpoint_becomes_relative() {
    let rig = Rig::new(table(
        [ModelServer::new("server").endpoint("http://e0:8000/base")],
        Rule::new("rule").target("server"),
    ));
    for (given, expected) in [
        // As FastAPI answers a slash too many.
        (
            "http://e0:8000/base/v1/chat/completions",
            "/v1/chat/completions",
        ),
        ("/base/v1/files/1", "/v1/files/1"),
        ("https://docs.example/quota", "https://docs.example/quota"),
    ] {
        let moved = says(307, "")
            .header("location", given)
            .header("content-location", given);
        rig.engines.next([moved]);
        let answer = rig.ask().await;
        assert_eq!(answer.header("location"), Some(expected));
        assert_eq!(answer.header("content-location"), Some(expected));
    }
}
