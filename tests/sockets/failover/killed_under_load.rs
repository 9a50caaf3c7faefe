//! One of two engines is killed in the middle of load. `mock_llm` has the same with a process.

use test_kit::{answer::Answer, socket::Stacked};
use tower_model_route::TrafficPolicy;

use super::engine::healthy;

fn policy() -> TrafficPolicy {
    TrafficPolicy::new().max_retries(1)
}

#[tokio::test]
async fn no_client_sees_an_error() {
    let [one, other] = [healthy().await, healthy().await];
    let gateway = Stacked::over([one.url(), other.url()], policy()).await;
    let kill = async {
        assert!(one.requests() > 0);
        one.kill().await;
    };
    let got = gateway.load(r#"{"model":"asked"}"#, kill).await;
    for got in &got {
        assert_eq!(
            (got.status().as_u16(), got.body.as_deref().ok()),
            (200, Some(&b"ok"[..])),
            "{got:?}"
        );
    }
    assert!(
        gateway.table.servers()[0].endpoints()[0].failures() > 0,
        "nobody noticed"
    );
}

#[tokio::test]
async fn only_streams_that_have_begun_break() {
    let [one, other] = [healthy().await, healthy().await];
    let gateway = Stacked::over([one.url(), other.url()], policy()).await;
    let body = r#"{"model":"asked","stream":true}"#;
    let got = gateway.load(body, one.kill()).await;
    assert!(
        got.iter().all(|got| got.status() == 200),
        "a stream that had not begun"
    );
    let is_broken = |got: &&Answer| got.body.is_err();
    let broken = got.iter().filter(is_broken).count();
    // No more than there can have been at once; on a slow machine perhaps none.
    assert!(broken <= Stacked::CLIENTS, "{broken}");
    let mut whole = got.iter().filter_map(|got| got.body.as_deref().ok());
    assert!(whole.all(|body| body == b"toktoktoktoktok"));
}
