//! `tower-model-route/engine`: what there is to say of the engines.

use tower_model_route::{Encoding, EngineKind, manifest::Manifests};

fn manifest(annotations: &str) -> Manifests {
    Manifests::from_yaml(&format!(
        "
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: hosted
  annotations:
    tower-model-route/endpoints: https://api.example.com
{annotations}
spec:
  inferenceEngine: vLLM
  workloadSelector: {{matchLabels: {{app: x}}}}
  workloadPort: {{port: 8000}}
"
    ))
}

#[test]
fn all_of_it_is_read_and_written() {
    let table = manifest(
        "    tower-model-route/engine: |
      kind: TensorRT-LLM
      acceptsEncoding: [gzip]
      forceUsage: true
      loadReports: true
      headers: {x-team: blue}
    tower-model-route/traffic-policy: '{maxInFlight: 8}'",
    )
    .build()
    .unwrap();
    let server = &table.config().get_model_servers()[0];
    assert_eq!(server.get_engine(), Some(EngineKind::TensorRtLlm));
    assert_eq!(server.get_accepts_encodings(), [Encoding::Gzip]);
    assert!(server.get_load_reports());
    let policy = server.get_traffic_policy();
    assert!(policy.get_force_usage());
    assert_eq!(policy.get_max_in_flight(), Some(8));
    let headers: Vec<_> = server.get_headers().collect();
    assert_eq!(headers.len(), 1);
    assert_eq!(headers[0].0, "x-team");

    let text = table.to_yaml();
    assert!(text.contains("tower-model-route/engine"), "{text}");
    assert!(text.contains("loadReports: true"), "{text}");
}

#[test]
fn nothing_is_said_where_nothing_was() {
    let table = manifest("").build().unwrap();
    let server = &table.config().get_model_servers()[0];
    assert_eq!(
        (server.get_engine(), server.get_load_reports()),
        (None, false)
    );
    assert!(!table.to_yaml().contains("tower-model-route/engine"));
}

#[test]
fn mistakes_have_their_line() {
    for (text, says) in [
        ("'{kind: Sglang}'", "SGLang"),
        ("'{loadReports: maybe}'", "true"),
        ("'{acceptsEncoding: [lzma]}'", "gzip"),
        ("'{headers: {authorization: Bearer sk-1}}'", "key"),
        ("vLLM", "mapping"),
    ] {
        let text = format!("    tower-model-route/engine: {text}");
        let error = manifest(&text).build().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let odd = manifest("    tower-model-route/engine: '{loadReport: true}'");
    let report = odd.check().to_string();
    assert!(report.contains("loadReports"), "{report}");
}
