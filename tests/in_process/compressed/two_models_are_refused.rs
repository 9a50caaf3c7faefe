//! Two models in one compressed body.

use tower_model_route::{DuplicateModels, JsonBody, ModelRouteLayer};

use super::{
    codecs::{Coding, Decodes},
    send::{accepting, layer, post, send},
};

/// The second key is escaped.
const TWO: &str = r#"{"model":"lora","a":[{"model":"x"}],"mod\u0065l":"alias"}"#;

#[tokio::test]
async fn they_are_refused() {
    for coding in Coding::ALL {
        let outcome = send(layer(), post(coding.name(), coding.encode(TWO))).await;
        outcome.refused(400, "ambiguous_model");
    }
}

#[tokio::test]
async fn the_one_that_counts_takes_the_place_of_the_other() {
    for coding in Coding::ALL {
        for (duplicates, expected) in [
            (
                DuplicateModels::First,
                r#"{"model":"lora","a":[{"model":"x"}],"mod\u0065l":"lora"}"#,
            ),
            (
                DuplicateModels::Last,
                r#"{"model":"org/real \"1\"","a":[{"model":"x"}],"mod\u0065l":"org/real \"1\""}"#,
            ),
        ] {
            let own = |layer: ModelRouteLayer| {
                layer.extract_model(JsonBody::new().duplicates(duplicates))
            };
            let request = || post(coding.name(), coding.encode(TWO));
            let forwarded = send(own(layer()), request()).await.forwarded();
            forwarded.assert_is(expected.as_bytes(), None);
            let forwarded = send(own(accepting()), request()).await;
            let forwarded = forwarded.forwarded();
            forwarded.assert_decodes_to(expected.as_bytes(), coding);
        }
    }
}
