//! The manifests in `examples/gateway/manifests`.

use tower_model_route::manifest::Manifests;

use super::written::{ask, decide};

const SERVERS: [&str; 4] = [
    "deepseek-r1-1-5b",
    "deepseek-r1-1-5b-v1",
    "deepseek-r1-1-5b-v2",
    "deepseek-r1-7b",
];

#[test]
fn they_route_the_four_scenarios_without_a_warning() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gateway/manifests");
    let manifests = SERVERS
        .iter()
        .fold(Manifests::from_path(path), |manifests, name| {
            manifests.endpoints(
                *name,
                [format!("http://{name}-a"), format!("http://{name}-b")],
            )
        });
    assert!(manifests.check().diagnostics().is_empty());
    let table = manifests.build().unwrap();

    let simple = decide(&table, "deepseek-simple");
    assert!(
        simple.starts_with("default/deepseek-simple default -> default/deepseek-r1-1-5b http"),
        "{simple}"
    );
    assert!(decide(&table, "lora-B").starts_with("default/deepseek-lora default"));
    let first = (0..100)
        .filter(|_| decide(&table, "deepseek-subset").contains("-v1 "))
        .count();
    assert_eq!(first, 70);
    let of = |user| ask(&table, "deepseek-multi-models", "/", &[("user-type", user)]);
    assert!(of("premium").contains(" premium -> default/deepseek-r1-7b "));
    assert!(of("free").contains(" default -> default/deepseek-r1-1-5b "));
}
