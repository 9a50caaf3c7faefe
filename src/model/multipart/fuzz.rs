//! The properties that must hold for every input: used by the fuzz target and the tests.

use super::{
    content_type::{Boundary, boundary},
    scanner::Multipart,
};
use crate::model::found::{Duplicates, Model, Refusal, Value};

/// The answer, and the models found until then.
pub(super) type Outcome = (Result<(), Refusal>, Vec<Model>);

pub(super) fn scan<'a>(
    boundary: &Boundary,
    duplicates: Duplicates,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let mut multipart = Multipart::new(boundary, duplicates);
    let fed = chunks
        .into_iter()
        .try_for_each(|chunk| multipart.feed(chunk));
    let end = multipart.finish();
    assert!(fed.is_ok() || fed == end, "a refusal stands");
    assert_eq!(end, multipart.finish(), "a second look changes nothing");
    (end, multipart.models().to_vec())
}

/// Scans the body whole and in chunks of these sizes, over and over, and checks what it finds.
pub(super) fn check(
    boundary: &Boundary,
    duplicates: Duplicates,
    body: &[u8],
    sizes: &[usize],
) -> Outcome {
    let whole = scan(boundary, duplicates, [body]);
    let mut rest = body;
    let chunks = sizes.iter().cycle().map_while(|size| {
        let (chunk, tail) = rest.split_at(rest.len().min(*size));
        rest = tail;
        (!chunk.is_empty()).then_some(chunk)
    });
    assert_eq!(
        scan(boundary, duplicates, chunks),
        whole,
        "chunks change nothing"
    );
    for at in 0..whole.1.len() {
        check_replacement(boundary, duplicates, body, &whole, at);
    }
    whole
}

/// The span holds the value, and replacing it changes nothing else.
fn check_replacement(
    boundary: &Boundary,
    duplicates: Duplicates,
    body: &[u8],
    (end, models): &Outcome,
    at: usize,
) {
    const NAME: &str = "another/model";
    let (before, value, after) = around(body, &models[at]);
    let moved = |position: u64| position + NAME.len() as u64 - value.len() as u64;

    let (new_end, replaced) = scan(boundary, duplicates, [before, NAME.as_bytes(), after]);
    assert_eq!(replaced.len(), models.len());
    for (index, (new, old)) in replaced.iter().zip(models).enumerate() {
        let start = if index > at {
            moved(old.span.start)
        } else {
            old.span.start
        };
        let end = if index >= at {
            moved(old.span.end)
        } else {
            old.span.end
        };
        assert_eq!(new.span, start..end);
        match &old.value {
            Value::Name(name) if index == at => {
                assert_eq!(name.as_bytes(), value);
                assert_eq!(new.value, Value::Name(NAME.to_owned()));
            }
            // Its bytes were not UTF-8, and now they are.
            Value::NotAString if index == at => {}
            unchanged => assert_eq!(new.value, *unchanged),
        }
    }
    let end = end.map_err(|refusal| match refusal {
        Refusal::Malformed { offset } => Refusal::Malformed {
            offset: moved(offset),
        },
        other => other,
    });
    assert_eq!(new_end, end);
}

/// The text before the model's value, the value, and the text after it.
pub(super) fn around<'a>(body: &'a [u8], model: &Model) -> (&'a [u8], &'a [u8], &'a [u8]) {
    let start = usize::try_from(model.span.start).expect("it is within the body");
    let end = usize::try_from(model.span.end).expect("it is within the body");
    (&body[..start], &body[start..end], &body[end..])
}

/// Checks every promise of the scanner on one input: a byte that chooses how the
/// body is cut into chunks, a line with a Content-Type, and the body.
///
/// # Panics
///
/// If a promise is broken.
pub(crate) fn fuzz_multipart(input: &[u8]) {
    let Some((seed, input)) = input.split_first() else {
        return;
    };
    let line = input
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let body = input.get(line.len() + 1..).unwrap_or_default();
    if let Ok(Some(boundary)) = boundary(line) {
        let seed = usize::from(*seed);
        for duplicates in [Duplicates::Refuse, Duplicates::Keep] {
            let _ = check(
                &boundary,
                duplicates,
                body,
                &[1 + seed % 16, 1 + seed / 16, 1 + seed],
            );
        }
    }
}
