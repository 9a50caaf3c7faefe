//! The properties that must hold for every input: the entry point of the fuzz target.

use std::collections::HashMap;

use serde::de::IgnoredAny;

use super::{kernel::Machine, scanner::Scanner};
use crate::model::found::{Duplicates, Model, Refusal, Value};

/// The first byte chooses the cuts, the rest is the document.
pub(crate) fn fuzz_json(input: &[u8]) {
    let Some((&seed, document)) = input.split_first() else {
        return;
    };
    let whole = scan(Machine::best(), [document]);
    let length = usize::from(seed) % 130 + 1;
    assert_eq!(scan(Machine::best(), document.chunks(length)), whole);
    for machine in Machine::all() {
        assert_eq!(scan(machine, [document]), whole);
    }
    if serde_json::from_slice::<HashMap<String, IgnoredAny>>(document).is_ok() {
        assert!(
            !matches!(
                whole.0,
                Err(Refusal::NotAnObject | Refusal::Syntax { .. } | Refusal::Truncated)
            ),
            "serde_json accepts it"
        );
    }
    for model in whole.1 {
        let span = model.span.start as usize..model.span.end as usize;
        if let Value::Name(name) = model.value {
            assert_eq!(
                serde_json::from_slice::<String>(&document[span]).ok(),
                Some(name)
            );
        }
    }
}

fn scan<'a>(
    machine: Machine,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Result<(), Refusal>, Vec<Model>) {
    let mut scanner = Scanner::on(machine, None, Duplicates::Keep);
    let fed = chunks.into_iter().try_for_each(|chunk| scanner.feed(chunk));
    let end = fed.and_then(|()| scanner.finish());
    (end, scanner.models().to_vec())
}
