//! `tower-model-route/accepts-encoding`: which compressed bodies the engines read.

use tower_model_route::{Encoding, manifest::Manifests};

fn manifest(codings: &str) -> Manifests {
    Manifests::from_yaml(&format!(
        "
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: hosted
  annotations:
    tower-model-route/endpoints: https://api.example.com
    tower-model-route/accepts-encoding: {codings}
spec:
  inferenceEngine: vLLM
  workloadSelector: {{matchLabels: {{app: x}}}}
  workloadPort: {{port: 8000}}
"
    ))
}

#[test]
fn one_or_several_are_read_and_written() {
    for (text, expected) in [
        ("gzip", &[Encoding::Gzip][..]),
        ("'[zstd, br]'", &[Encoding::Zstd, Encoding::Brotli]),
        ("'[deflate, deflate]'", &[Encoding::Deflate]),
        ("'[]'", &[]),
    ] {
        let table = manifest(text).build().unwrap();
        let config = table.config();
        let server = &config.get_model_servers()[0];
        assert_eq!(server.get_accepts_encodings(), expected);
        let written = Manifests::from_yaml(&table.to_yaml()).build().unwrap();
        let written = written.config().get_model_servers();
        assert_eq!(written, config.get_model_servers());
    }
}

#[test]
fn another_is_a_mistake_with_its_line() {
    for text in ["gzipped", "'[gzip, compress]'", "'{}'"] {
        let error = manifest(text).build().unwrap_err();
        let report = error.report();
        let lines: Vec<_> = report.errors().map(|error| error.line()).collect();
        assert_eq!(lines, [8], "{text}: {error}");
    }
}
