//! What the engine gets of a sound body.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;
use tower_model_route::ModelRouteLayer;

use super::{
    codecs::{Coding, Decodes},
    send::{REAL, accepting, chat, in_pieces, layer, post, send, with_trailers},
};

#[tokio::test]
async fn an_engine_gets_a_body_without_its_coding() {
    for coding in Coding::ALL {
        for (model, expected) in [("alias", REAL), ("lora", "lora"), ("plain", "plain")] {
            let request = post(coding.name(), coding.encode(chat(model)));
            let forwarded = send(layer(), request).await.forwarded();
            forwarded.assert_is(&chat(expected), None);
            assert_eq!(forwarded.header("content-type"), Some("application/json"));
        }
    }
}

#[tokio::test]
async fn an_engine_that_reads_the_coding_gets_the_clients_own_bytes() {
    for coding in Coding::ALL {
        for model in ["lora", "plain"] {
            let sent = coding.encode(chat(model));
            let request = post(coding.name(), sent.clone());
            let outcome = send(accepting(), request).await;
            outcome.forwarded().assert_is(&sent, Some(coding.name()));
        }
    }
}

/// Others than those that it reads are undone.
#[tokio::test]
async fn each_coding_is_accepted_for_itself() {
    use tower_model_route::{Encoding, ModelRoute, ModelServer, RouteTable, Rule};
    let server = ModelServer::new("s").endpoint("http://free.test");
    let route = ModelRoute::new("r").model_name("m");
    let table = RouteTable::builder()
        .model_server(server.accepts_encoding(Encoding::Gzip))
        .model_route(route.rule(Rule::new("all").target("s")))
        .build()
        .unwrap();
    for coding in Coding::ALL {
        let sent = coding.encode(chat("m"));
        let layer = ModelRouteLayer::new(table.clone());
        let forwarded = send(layer, post(coding.name(), sent.clone())).await;
        match coding {
            Coding::Gzip => forwarded.forwarded().assert_is(&sent, Some("gzip")),
            _ => forwarded.forwarded().assert_is(&chat("m"), None),
        }
    }
}

#[tokio::test]
async fn it_is_compressed_again_where_the_model_is_rewritten() {
    for coding in Coding::ALL {
        let sent = coding.encode(chat("alias"));
        let request = post(coding.name(), sent.clone());
        let outcome = send(accepting(), request).await;
        let forwarded = outcome.forwarded();
        forwarded.assert_decodes_to(&chat(REAL), coding);
        assert!(forwarded.bytes() != sent && forwarded.bytes().len() < chat(REAL).len() / 2);
    }
}

/// The path names the model too.
#[tokio::test]
async fn beside_a_path_it_is_the_same() {
    for coding in Coding::ALL {
        for accepts in [false, true] {
            let to = async |path: &str, model: &str| {
                let sent = coding.encode(chat(model));
                let mut request = post(coding.name(), sent.clone());
                *request.uri_mut() = path.parse().unwrap();
                let layer = if accepts { accepting() } else { layer() };
                (sent, send(layer.replay_bytes(8), request).await)
            };
            let (sent, outcome) = to("/v2/models/plain/infer", "plain").await;
            match accepts {
                true => outcome.forwarded().assert_is(&sent, Some(coding.name())),
                false => outcome.forwarded().assert_is(&chat("plain"), None),
            }
            for (path, model) in [
                ("/v2/models/alias/infer", "alias"),
                ("/openai/deployments/alias/chat/completions", "plain"),
            ] {
                let forwarded = to(path, model).await.1.forwarded();
                match accepts {
                    true => forwarded.assert_decodes_to(&chat(REAL), coding),
                    false => forwarded.assert_is(&chat(REAL), None),
                }
            }
            let outcome = to("/v2/models/alias/infer", "plain").await.1;
            outcome.refused(400, "ambiguous_model");
        }
    }
}

#[tokio::test]
async fn a_coding_has_several_spellings() {
    let gzip = Coding::Gzip.encode(chat("alias"));
    for name in ["GZip", "x-gzip", "identity, gzip", "gzip ,"] {
        let outcome = send(layer(), post(name, gzip.clone())).await;
        outcome.forwarded().assert_is(&chat(REAL), None);
        // What says how the body comes is the client's word, wherever it is still true.
        for model in ["plain", "alias"] {
            let request = post(name, Coding::Gzip.encode(chat(model)));
            let forwarded = send(accepting(), request).await;
            let forwarded = forwarded.forwarded();
            assert_eq!(forwarded.header("content-encoding"), Some(name));
        }
    }
}

/// RFC 1951 without RFC 1950, as some clients understand the name.
#[tokio::test]
async fn a_bare_deflate_stream_is_understood() {
    let zlib = Coding::Deflate.encode(chat("alias"));
    let bare = zlib[2..zlib.len() - 4].to_vec();
    let forwarded = send(layer(), post("deflate", bare.clone())).await;
    forwarded.forwarded().assert_is(&chat(REAL), None);
    // Sent again it is what the name says.
    let forwarded = send(accepting(), post("deflate", bare)).await;
    let forwarded = forwarded.forwarded();
    forwarded.assert_decodes_to(&chat(REAL), Coding::Deflate);
}

#[tokio::test]
async fn no_coding_at_all_may_be_said() {
    for name in ["identity", "Identity", ""] {
        let forwarded = send(layer(), post(name, chat("alias"))).await.forwarded();
        forwarded.assert_is(&chat(REAL), Some(name));
    }
}

/// A model that stands in the head is routed by, and rewritten, without a look at a body that
/// is neither JSON nor a form.
#[tokio::test]
async fn a_body_that_need_not_be_read_may_be_in_any_coding() {
    for coding in ["gzip", "gzip, br", "compress"] {
        let mut request = post(coding, "not what it says");
        let headers = request.headers_mut();
        headers.insert("content-type", "application/octet-stream".parse().unwrap());
        *request.uri_mut() = "/openai/deployments/alias/chat/completions"
            .parse()
            .unwrap();
        let forwarded = send(layer(), request).await.forwarded();
        forwarded.assert_is(b"not what it says", Some(coding));
        assert!(!forwarded.head.uri.path().contains("alias"));
    }
}

/// It has no length then: only chunks can carry trailers.
#[tokio::test]
async fn trailers_stay() {
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
    for (model, accepts) in [("alias", false), ("alias", true), ("plain", true)] {
        let sent = Coding::Gzip.encode(chat(model));
        let request = with_trailers(post("gzip", sent.clone()), 1000, Some(trailers.clone()));
        let layer = if accepts { accepting() } else { layer() };
        let forwarded = send(layer, request).await;
        let forwarded = forwarded.forwarded();
        assert_eq!(forwarded.trailers.as_ref(), Some(&trailers));
        assert_eq!(forwarded.header("content-length"), None);
        let got = match forwarded.header("content-encoding") {
            Some("gzip") => Coding::Gzip.decode(&forwarded.bytes()),
            None => forwarded.bytes().to_vec(),
            other => panic!("{other:?}"),
        };
        let expected = chat(if model == "alias" { REAL } else { model });
        assert!(got == expected);
        assert_eq!(forwarded.bytes() == sent, model == "plain");
    }
}

/// Whatever may be kept to send it again: a compressed body is read as a whole.
#[tokio::test]
async fn a_body_larger_than_the_replay_buffer_has_its_length_all_the_same() {
    let small = |layer: ModelRouteLayer| layer.replay_bytes(10);
    for coding in Coding::ALL {
        let sent = coding.encode(chat("alias"));
        let request = || in_pieces(post(coding.name(), sent.clone()), 100);
        let forwarded = send(small(layer()), request()).await.forwarded();
        forwarded.assert_is(&chat(REAL), None);
        let forwarded = send(small(accepting()), request()).await;
        let forwarded = forwarded.forwarded();
        forwarded.assert_decodes_to(&chat(REAL), coding);
    }
}

#[tokio::test]
async fn a_header_may_name_the_model_of_a_compressed_body() {
    use tower_model_route::ModelSources;
    let sources = || ModelSources::standard().and_header("x-model".parse().unwrap());
    let ask = |body: Vec<u8>| {
        let mut request = post("gzip", Coding::Gzip.encode(body));
        let headers = request.headers_mut();
        headers.insert("x-model", "alias".parse().unwrap());
        request
    };
    let send =
        |request: http::Request<Full<Bytes>>| send(layer().extract_model(sources()), request);
    let forwarded = send(ask(chat("alias"))).await.forwarded();
    forwarded.assert_is(&chat(REAL), None);
    // The body does not say it: there is nothing to rewrite in it.
    let silent = br#"{"prompt":"x"}"#;
    let forwarded = send(ask(silent.to_vec())).await.forwarded();
    forwarded.assert_is(silent, None);
    send(ask(chat("plain")))
        .await
        .refused(400, "ambiguous_model");
}
