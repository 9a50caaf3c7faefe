//! An extractor of one's own reads a compressed body as it is without its coding.

use std::ops::Range;

use http::request::Parts;
use tower_model_route::{ExtractModel, ExtractedModel, Extraction, ModelRouteLayer};

use super::{
    codecs::{Coding, Decodes},
    send::{REAL, accepting, chain, chat, layer, post, send},
};

/// Finds the model of a [`chat`], and says that it stands this far behind where it does.
#[derive(Clone, Copy, Debug)]
struct Alias(usize);

impl ExtractModel for Alias {
    fn begin(&self, _: &Parts) -> Extraction {
        let off = self.0;
        Extraction::whole_body(move |_, body| {
            let span = span_of_alias(body);
            let span = span.start + off..span.end + off;
            Ok(ExtractedModel::new("alias").json_span(span))
        })
    }
}

fn span_of_alias(body: &[u8]) -> Range<usize> {
    let alias = br#""alias""#;
    let found = body.windows(alias.len()).position(|part| part == alias);
    let start = found.expect("it is inflated");
    start..start + alias.len()
}

#[tokio::test]
async fn it_says_where_the_model_is_rewritten() {
    for coding in Coding::ALL {
        let request = || post(coding.name(), coding.encode(chat("alias")));
        let own = |layer: ModelRouteLayer| layer.extract_model(Alias(0));
        let forwarded = send(own(layer()), request()).await.forwarded();
        forwarded.assert_is(&chat(REAL), None);
        let forwarded = send(own(accepting()), request()).await;
        let forwarded = forwarded.forwarded();
        forwarded.assert_decodes_to(&chat(REAL), coding);
    }
}

#[tokio::test]
async fn a_place_outside_of_the_body_is_its_fault() {
    for layer in [layer(), accepting()] {
        let layer = layer.extract_model(Alias(1 << 20));
        let request = post("gzip", Coding::Gzip.encode(chat("alias")));
        send(layer, request).await.refused(500, "extractor_error");
    }
}

/// Also where no engine, or only a later one, would have it rewritten.
#[tokio::test]
async fn whether_it_is_rewritten_or_not() {
    for models in [&[None][..], &[None, Some(REAL)]] {
        for coding in [None, Some(Coding::Gzip)] {
            let body = chat("alias");
            let request = match coding {
                Some(coding) => post(coding.name(), coding.encode(body)),
                None => post("identity", body),
            };
            let layer = ModelRouteLayer::new(chain(models, &[false, true][..models.len()]))
                .extract_model(Alias(1 << 20));
            send(layer, request).await.refused(500, "extractor_error");
        }
    }
}
