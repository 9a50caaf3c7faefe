mod clients;
mod naive;
mod properties;
mod refusals;

use super::{
    content_type::{Boundary, boundary},
    fuzz::{Outcome, around, check, scan},
};
use crate::model::found::{Duplicates, Model, Refusal, Value};

/// The boundary with these characters.
fn named(name: &str) -> Boundary {
    let content_type = format!("multipart/form-data; boundary=\"{name}\"");
    boundary(content_type.as_bytes()).unwrap().expect(name)
}

/// The scanner's result, which is the same for any cut in two and byte by byte.
fn outcome(name: &str, duplicates: Duplicates, body: &[u8]) -> Outcome {
    let boundary = named(name);
    let whole = check(&boundary, duplicates, body, &[1]);
    for at in 0..=body.len() {
        let (one, two) = body.split_at(at);
        assert_eq!(
            scan(&boundary, duplicates, [one, two]),
            whole,
            "cut at {at}"
        );
    }
    whole
}

/// The one model of a body that is accepted, with the bytes in its span.
fn one_model<'a>(name: &str, body: &'a [u8]) -> (Value, &'a [u8]) {
    match outcome(name, Duplicates::Refuse, body) {
        (Ok(()), models) if models.len() == 1 => {
            let (_, span, _) = around(body, &models[0]);
            (models[0].value.clone(), span)
        }
        other => panic!("{other:?}: {}", body.escape_ascii()),
    }
}
