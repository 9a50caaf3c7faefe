//! `tower-model-route/headers`: keys that the program allows, by reference.

use tower_model_route::manifest::Manifests;

fn manifest(headers: &str) -> String {
    format!(
        "
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: hosted
  annotations:
    tower-model-route/endpoints: https://api.example.com
    tower-model-route/max-model-len: '8192'
    tower-model-route/headers: |
      {headers}
spec:
  inferenceEngine: vLLM
  workloadSelector: {{matchLabels: {{app: x}}}}
  workloadPort: {{port: 8000}}
"
    )
}

fn codes(manifests: &Manifests) -> Vec<(u32, String)> {
    let error = manifests.build().unwrap_err();
    let errors = error.report().errors();
    errors
        .map(|error| (error.line(), error.code().to_owned()))
        .collect()
}

#[test]
fn a_reference_is_resolved_and_written_as_it_was() {
    let text = manifest("{authorization: 'Bearer ${ENGINE_KEY}', x-tenant: blue}");
    let read = |text: &str| Manifests::from_yaml(text).key("ENGINE_KEY", "sk-7f3a");
    let table = read(&text).build().unwrap();
    let yaml = table.to_yaml();
    assert!(
        yaml.contains("authorization: Bearer ${ENGINE_KEY}"),
        "{yaml}"
    );
    assert!(
        yaml.contains("x-tenant: blue") && !yaml.contains("sk-7f3a"),
        "{yaml}"
    );
    assert_eq!(
        read(&yaml).build().unwrap().config().get_model_servers(),
        table.config().get_model_servers()
    );

    let other = Manifests::from_yaml(&text)
        .key("ENGINE_KEY", "another")
        .build()
        .unwrap();
    assert_ne!(
        other.config().get_model_servers(),
        table.config().get_model_servers()
    );
}

#[test]
fn only_what_the_program_allows_can_be_referred_to() {
    let text = manifest("authorization: Bearer ${HOME}");
    let error = [(10, "unknown-key".to_owned())];
    assert_eq!(
        codes(&Manifests::from_yaml(&text).key("ENGINE_KEY", "sk")),
        error
    );
}

#[test]
fn a_key_does_not_stand_in_a_manifest() {
    let text = manifest("{X-API-Key: sk-7f3a, x-tenant: blue}");
    let error = [(10, "literal-key".to_owned())];
    assert_eq!(codes(&Manifests::from_yaml(&text)), error);
}

/// Its value is not in the message.
#[test]
fn a_mistake_has_its_line() {
    let text = manifest("x-key: ${K}");
    let manifests = Manifests::from_yaml(&text).key("K", "sk\n7f3a");
    assert_eq!(
        codes(&manifests),
        [(10, "invalid-configuration".to_owned())]
    );
    assert!(!manifests.build().unwrap_err().to_string().contains("7f3a"));
}
