//! The scanner against serde_json, on documents good and bad, in any chunks and on any machine.

use proptest::prelude::*;
use serde_json::{Map, Value as Json};

use super::{Scanner, kernel::Machine};
use crate::model::found::{Duplicates, MAX_NAME, Model, Refusal, Value};

type Outcome = (Result<(), Refusal>, Vec<Model>);

fn scan_on<'a>(
    machine: Machine,
    duplicates: Duplicates,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let mut scanner = Scanner::on(machine, None, duplicates);
    let fed = chunks.into_iter().try_for_each(|chunk| scanner.feed(chunk));
    let end = fed.and_then(|()| scanner.finish());
    if fed.is_err() {
        assert_eq!(scanner.finish(), fed, "a refusal stands");
    }
    (end, scanner.models().to_vec())
}

fn scan(document: &[u8]) -> Outcome {
    scan_on(Machine::best(), Duplicates::Keep, [document])
}

/// `document` cut after these lengths, over and over.
fn cut<'a>(document: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = document;
    lengths.iter().cycle().map_while(move |length| {
        let (chunk, after) = rest.split_at((*length).min(rest.len()));
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(r#""model""#.to_owned()),
        1 => Just(r#""mod\u0065l""#.to_owned()),
        1 => Just(r#""\u006d\u006F\u0064el""#.to_owned()),
        1 => Just(r#""mode""#.to_owned()),
        1 => Just(r#""models""#.to_owned()),
        1 => Just(r#""Model\\""#.to_owned()),
        1 => any::<String>().prop_map(|key| Json::from(key).to_string()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| Json::from(text).to_string()),
        r#"[a-z"\\\\{}\[\]:,]{0,80}"#.prop_map(|text| Json::from(text).to_string()),
        Just(r#""\ud83d\ude00 \/ \b""#.to_owned()),
        Just(r#""\ud800""#.to_owned()),
    ]
}

/// A JSON value as text, with odd white space.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        text(),
        prop::sample::select(&["null", "true", "false", "0", "-1.5e-7", "1e400", "0.10"][..])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec((space(), inner.clone()), 0..6)
                .prop_map(|items| format!("[{}]", join(items.into_iter().map(|(s, v)| s + &v)))),
            prop::collection::vec((key(), inner), 0..6).prop_map(|items| {
                format!(
                    "{{{}}}",
                    join(items.into_iter().map(|(k, v)| format!("{k}:{v}")))
                )
            }),
        ]
    })
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \n\r\t]{0,5}"]
}

fn join(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

fn document() -> impl Strategy<Value = Vec<u8>> {
    let entry = (space(), key(), space(), space(), value(), space());
    (space(), prop::collection::vec(entry, 0..6), space()).prop_map(|(before, entries, after)| {
        let entries = entries
            .into_iter()
            .map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"));
        format!("{before}{{{}}}{after}", join(entries)).into_bytes()
    })
}

/// A document with a few bytes changed, put in or taken out.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        prop::sample::select(&b"{}[]\",:\\ 0-.e1tfnu\n\x00\xff"[..]),
        any::<u8>(),
    ];
    let change = (any::<prop::sample::Index>(), 0..3_u8, byte);
    (document(), prop::collection::vec(change, 1..4)).prop_map(|(mut document, changes)| {
        for (at, kind, byte) in changes {
            let at = at.index(document.len() + 1);
            match kind {
                0 => document.insert(at, byte),
                _ if at == document.len() => {}
                1 => document[at] = byte,
                _ => _ = document.remove(at),
            }
        }
        document
    })
}

/// What serde_json reads: each top-level `model` in order, `None` if it is not a valid string.
fn by_serde(document: &[u8]) -> Option<Vec<Option<String>>> {
    struct Entries;
    impl<'de> serde::de::Visitor<'de> for Entries {
        type Value = Vec<(String, Box<serde_json::value::RawValue>)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    let entries = serde::Deserializer::deserialize_map(&mut deserializer, Entries).ok()?;
    deserializer.end().ok()?;
    let models = entries.into_iter().filter(|(key, _)| key == "model");
    Some(
        models
            .map(|(_, value)| serde_json::from_str(value.get()).ok())
            .collect(),
    )
}

/// The document with its nested values, and its strings other than keys, emptied.
/// If only those had errors, the result is valid.
fn hollow(document: &[u8]) -> Vec<u8> {
    let (mut out, mut depth, mut string, mut escaped, mut is_value) =
        (Vec::new(), 0, false, false, false);
    for &byte in document {
        let kept = depth <= 1 && !(string && is_value);
        if string {
            string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            if kept || (depth == 1 && !string) {
                out.push(byte);
            }
            continue;
        }
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b':' if depth == 1 => is_value = true,
            b',' if depth == 1 => is_value = false,
            b'"' => string = true,
            _ => {}
        }
        match (byte, depth) {
            (b'{' | b'[', 2) => out.push(b'['),
            (b'}' | b']', 1) => out.push(b']'),
            (_, 0 | 1) => out.push(byte),
            _ => {}
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(
        if cfg!(debug_assertions) { 128 } else { 20_000 },
    ) })]

    #[test]
    fn chunks_and_machines_make_no_difference(
        document in prop_oneof![document(), broken()],
        lengths in prop::collection::vec(1..100_usize, 1..5),
    ) {
        for duplicates in [Duplicates::Keep, Duplicates::Refuse] {
            let whole = scan_on(Machine::best(), duplicates, [&*document]);
            for machine in Machine::all() {
                prop_assert_eq!(&scan_on(machine, duplicates, [&*document]), &whole);
                prop_assert_eq!(&scan_on(machine, duplicates, cut(&document, &lengths)), &whole);
                prop_assert_eq!(&scan_on(machine, duplicates, cut(&document, &[1])), &whole);
            }
        }
    }

    #[test]
    fn what_serde_json_accepts_is_read_as_serde_json_reads_it(
        document in prop_oneof![document(), broken()],
    ) {
        let Some(expected) = by_serde(&document) else { return Ok(()); };
        let (end, models) = scan(&document);
        if expected.iter().any(|model| model.is_none()) {
            // Not a string, or not a valid one: refused when it is chosen, or at once.
            let not_a_string = models.iter().any(|model| model.value == Value::NotAString);
            prop_assert!(not_a_string || end == Err(Refusal::InvalidName), "{end:?}");
            return Ok(());
        }
        let names: Vec<_> = models.iter().map(|model| match &model.value {
            Value::Name(name) => Some(name.clone()),
            Value::NotAString => None,
        }).collect();
        prop_assert_eq!(&names, &expected);
        prop_assert_eq!(end, if expected.is_empty() { Err(Refusal::Missing) } else { Ok(()) });
        for (model, expected) in models.iter().zip(expected) {
            let span = model.span.start as usize..model.span.end as usize;
            prop_assert_eq!(serde_json::from_slice::<String>(&document[span]).ok(), expected);
        }
    }

    #[test]
    fn what_else_is_accepted_has_errors_only_inside_of_values(document in broken()) {
        if by_serde(&document).is_none() && matches!(scan(&document).0, Ok(()) | Err(Refusal::Missing)) {
            let hollow = hollow(&document);
            let accepted = serde_json::from_slice::<Map<String, Json>>(&hollow).is_ok();
            // A number too large for a `Value` is still valid JSON.
            let huge = String::from_utf8_lossy(&hollow).contains('e');
            prop_assert!(accepted || huge, "{}", String::from_utf8_lossy(&hollow));
        }
    }
}

#[test]
fn every_cut_of_nasty_documents() {
    for document in [
        r#"{"mod\u0065l":"a\ud83d\ude00\n","x":[{"model":"no"},"\\\"]"],"y":"ü€😀"}"#.as_bytes(),
        br#" { "a" : { "b" : [ "}" , "\\" ] } , "model" : "m" } "#,
        br#"{"model":"m","model":1,"model":null,"model":[],"model":{}}"#,
    ] {
        let whole = scan(document);
        assert_eq!(whole.0, Ok(()));
        for first in 0..document.len() {
            for second in first..document.len() {
                let chunks = [
                    &document[..first],
                    &document[first..second],
                    &document[second..],
                ];
                for machine in Machine::all() {
                    assert_eq!(scan_on(machine, Duplicates::Keep, chunks), whole);
                }
            }
        }
    }
}

#[test]
fn a_model_is_known_with_its_last_byte() {
    let mut scanner = Scanner::new(None, Duplicates::Refuse);
    scanner.feed(br#"{"model":"m"#).unwrap();
    assert!(scanner.models().is_empty());
    scanner.feed(br#"""#).unwrap();
    assert_eq!(scanner.models()[0].span, 9..12);
}

#[test]
fn names_have_a_limit_however_they_are_cut() {
    let name = |len: usize| format!(r#"{{"model":"{}"}}"#, "x".repeat(len));
    assert_eq!(scan(name(MAX_NAME).as_bytes()).0, Ok(()));
    let long = name(MAX_NAME + 1);
    for lengths in [&[usize::MAX][..], &[1], &[63, 65]] {
        let outcome = scan_on(
            Machine::best(),
            Duplicates::Keep,
            cut(long.as_bytes(), lengths),
        );
        assert_eq!(outcome.0, Err(Refusal::NameTooLong));
    }
}

#[test]
fn hostile_documents_are_only_read_through() {
    let deep = [br#"{"a":"#.to_vec(), vec![b'['; 1 << 20]].concat();
    assert_eq!(scan(&deep).0, Err(Refusal::Truncated));
    let closed = [deep, vec![b']'; 1 << 20], br#","model":"m"}"#.to_vec()].concat();
    assert_eq!(scan(&closed).0, Ok(()));
    let backslashes = [
        br#"{"a":""#.to_vec(),
        vec![b'\\'; 2 << 20],
        br#"","model":"m"}"#.to_vec(),
    ]
    .concat();
    assert_eq!(scan(&backslashes).0, Ok(()));
    assert_eq!(
        scan_on(Machine::best(), Duplicates::Refuse, cut(&backslashes, &[1])).0,
        Ok(())
    );
}

/// Wherever a block or a word ends within its escapes.
#[test]
fn a_string_that_is_skipped_ends_where_serde_json_ends_it() {
    for before in 0..66 {
        for backslashes in 0..20 {
            let text = format!("{}{}", "x".repeat(before), "\\".repeat(backslashes));
            let document = match backslashes % 2 {
                0 => format!(r#"{{"a":"{text}","b":{{"c":"{text}"}},"model":"m"}}"#),
                _ => format!(r#"{{"a":"{text}"y","b":["{text}"]y"],"model":"m"}}"#),
            };
            assert!(by_serde(document.as_bytes()).is_some(), "{document}");
            for machine in Machine::all() {
                for lengths in [&[usize::MAX][..], &[71, 64], &[7, 8, 9]] {
                    let chunks = cut(document.as_bytes(), lengths);
                    let (end, models) = scan_on(machine, Duplicates::Refuse, chunks);
                    assert_eq!((end, models.len()), (Ok(()), 1), "{document}");
                }
            }
        }
    }
}

/// The fast way to read a key or a name must stop at what the careful one must see.
#[test]
fn each_byte_at_each_place_of_a_name_is_read_as_serde_json_reads_it() {
    for len in 1..20 {
        for at in 0..len {
            for byte in 0..=u8::MAX {
                let mut name = vec![b'x'; len];
                name[at] = byte;
                for end in [&b"}"[..], b",\"b\":[1,2,3]}"] {
                    let document = [b"{\"model\":\"", &name[..], b"\"", end].concat();
                    let (outcome, models) = scan(&document);
                    let expected = by_serde(&document);
                    let names = models.into_iter().map(|model| match model.value {
                        Value::Name(name) => Some(name),
                        Value::NotAString => None,
                    });
                    match expected {
                        Some(expected) if expected != [None] => {
                            assert_eq!((outcome, names.collect::<Vec<_>>()), (Ok(()), expected));
                        }
                        _ => assert!(outcome.is_err(), "{document:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_key_that_differs_in_case_is_a_second_one() {
    let refused = Err(Refusal::Duplicate);
    for (document, expected) in [
        (r#"{"model":"a","Model":"b"}"#, refused),
        (r#"{"MODEL":"a","model":"b"}"#, refused),
        (r#"{"model":"a","mod\u0045l":"b"}"#, refused),
        (r#"{"Model":"a","mODEL":"b"}"#, refused),
        (r#"{"Model":"a"}"#, Err(Refusal::OtherCase)),
        (
            r#"{"model":"a","models":"b","mode":"c","x":{"Model":1}}"#,
            Ok(()),
        ),
    ] {
        for machine in Machine::all() {
            for lengths in [&[usize::MAX][..], &[1], &[3, 7]] {
                let chunks = cut(document.as_bytes(), lengths);
                let outcome = scan_on(machine, Duplicates::Refuse, chunks);
                assert_eq!(outcome.0, expected, "{document}");
            }
        }
    }
    // Where several are accepted, it is one of them.
    let (end, models) = scan(br#"{"Model":"a","model":"b","MODEL":3}"#);
    assert_eq!((end, models.len()), (Ok(()), 3));
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_start_alone() {
    let marked = "\u{feff} {\"model\":\"m\"}";
    for lengths in [&[usize::MAX][..], &[1], &[2]] {
        let chunks = cut(marked.as_bytes(), lengths);
        let (end, models) = scan_on(Machine::best(), Duplicates::Refuse, chunks);
        assert_eq!((end, models[0].span.clone()), (Ok(()), 13..16));
    }
    for bad in [
        "\u{feff}\u{feff}{}",
        " \u{feff}{}",
        "{\u{feff}}",
        "{}\u{feff}",
    ] {
        assert!(
            matches!(scan(bad.as_bytes()).0, Err(Refusal::Syntax { .. })),
            "{bad}"
        );
    }
    assert_eq!(scan(b"\xEF\xBB").0, Err(Refusal::Truncated));
}

#[test]
fn what_python_writes_for_numbers_is_read_at_every_depth() {
    for number in ["NaN", "Infinity", "-Infinity"] {
        let document = format!(r#"{{"x":{number},"y":[{number}],"model":"m","z":{number}}}"#);
        for lengths in [&[usize::MAX][..], &[1]] {
            let chunks = cut(document.as_bytes(), lengths);
            assert_eq!(
                scan_on(Machine::best(), Duplicates::Refuse, chunks).0,
                Ok(())
            );
        }
    }
    for word in [
        "Na",
        "NaNN",
        "nan",
        "Inf",
        "Infinit",
        "Infinityy",
        "-NaN",
        "--Infinity",
        "+1",
    ] {
        let document = format!(r#"{{"x":{word},"model":"m"}}"#);
        assert!(
            matches!(scan(document.as_bytes()).0, Err(Refusal::Syntax { .. })),
            "{word}"
        );
    }
}
