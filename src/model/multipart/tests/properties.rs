//! Generated bodies, well-formed and broken, against the naive parser and against multer.

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::model::multipart::{
    delimiter::{Before, Search},
    fuzz::fuzz_multipart,
};

/// Made of `-` and `a`, so that a boundary can begin within itself or within a near match.
const BOUNDARIES: [&str; 6] = [
    "b",
    "-",
    "a-a-a",
    "----ab--",
    "a b:c",
    "----WebKitFormBoundary7MA4YWxk",
];

#[derive(Clone, Debug)]
struct Part {
    head: Vec<u8>,
    data: Vec<u8>,
}

/// Pieces of bodies, in an order that may make a delimiter or nearly one.
fn debris(boundary: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let dashed = format!("\r\n--{boundary}");
    let cut = (0..dashed.len()).prop_map(move |at| dashed.as_bytes()[..at].to_vec());
    const KNOWN: [&str; 15] = [
        "\r\n", "\r", "\n", "--", "-", "a", " ", "\0", "\u{feff}", "model", "\"", "\\", ";", "=",
        ":",
    ];
    prop_oneof![
        3 => vec(any::<u8>(), 0..12),
        3 => select(&KNOWN[..]).prop_map(|text| text.as_bytes().to_vec()),
        3 => cut,
        1 => Just(boundary.as_bytes().to_vec()),
        1 => Just([b"--", boundary.as_bytes()].concat()),
    ]
}

fn data(boundary: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let name = "[a-z/.-]{1,12}".prop_map(String::into_bytes);
    let charset = select(&["utf-8", "US-ASCII", "utf-16"][..]).prop_map(|text| text.into());
    prop_oneof![2 => name, 2 => charset, 3 => vec(debris(boundary), 0..6).prop_map(|pieces| pieces.concat())]
}

fn part(boundary: &'static str) -> impl Strategy<Value = Part> {
    let name = select(
        &[
            "model",
            "\"model\"",
            "file",
            "\"a\\\"b\"",
            "\"model[]\"",
            "Model",
            "_Charset_",
        ][..],
    );
    let filename = select(
        &[
            "",
            "",
            "",
            "; filename=\"a;b.wav\"",
            "; filename=\"a\\\"b\"; filename*=utf-8''a%22b",
        ][..],
    );
    let header = select(
        &[
            "",
            "",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Content-Type: a/b; charset=utf-16\r\n",
            "Content-Type: a/b; charset=\"us-ascii\"\r\n",
            "content-transfer-encoding: base64\r\n",
            "content-encoding: gzip\r\n",
            "X-A: \"b\r\n",
        ][..],
    );
    (name, filename, header, any::<bool>(), data(boundary)).prop_map(
        |(name, filename, header, first, data)| {
            let disposition = format!("Content-Disposition: form-data; name={name}{filename}\r\n");
            let head = if first {
                header.to_owned() + &disposition
            } else {
                disposition + header
            };
            Part {
                head: head.into_bytes(),
                data,
            }
        },
    )
}

/// A boundary, and a body with it, which is well-formed unless its data breaks it.
fn well_formed() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    select(&BOUNDARIES[..]).prop_flat_map(|boundary| {
        let preamble = select(&["", "", "\r\n", "text -\r\n"][..]);
        let epilogue = select(&["\r\n", "", "\r\nthe end --"][..]);
        (preamble, vec(part(boundary), 0..5), epilogue).prop_map(
            move |(preamble, parts, epilogue)| {
                let mut body = preamble.as_bytes().to_vec();
                for Part { head, data } in parts {
                    body.extend(
                        [
                            b"--",
                            boundary.as_bytes(),
                            b"\r\n",
                            &head,
                            b"\r\n",
                            &data,
                            b"\r\n",
                        ]
                        .concat(),
                    );
                }
                body.extend([b"--", boundary.as_bytes(), b"--", epilogue.as_bytes()].concat());
                (boundary, body)
            },
        )
    })
}

/// The same with some bytes replaced, cut out or put in.
fn broken() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    well_formed().prop_flat_map(|(boundary, body)| {
        let edit = (any::<prop::sample::Index>(), 0..4_usize, debris(boundary));
        vec(edit, 1..4).prop_map(move |edits| {
            let mut body = body.clone();
            for (at, cut, new) in edits {
                let at = at.index(body.len() + 1);
                let end = body.len().min(at + cut);
                body.splice(at..end, new);
            }
            (boundary, body)
        })
    })
}

/// The text fields named model, as multer sees them.
pub(super) fn by_multer(boundary: &str, body: &[u8]) -> Result<Vec<String>, multer::Error> {
    let whole = Ok::<_, multer::Error>(Bytes::copy_from_slice(body));
    let mut multipart = multer::Multipart::new(stream::iter([whole]), boundary);
    let mut models = Vec::new();
    while let Some(field) = multipart
        .next_field()
        .now_or_never()
        .expect("all is there")?
    {
        if field.name() == Some("model") && field.file_name().is_none() {
            models.push(field.text().now_or_never().expect("all is there")?);
        }
    }
    Ok(models)
}

fn names(models: &[Model]) -> Vec<String> {
    let names = models.iter().map(|model| match &model.value {
        Value::Name(name) => name.clone(),
        Value::NotAString => unreachable!("{model:?}"),
    });
    names.collect()
}

/// What is accepted is what the naive parser finds; its replacement reads as it should.
fn agrees(boundary: &str, body: &[u8], sizes: &[usize]) -> Result<(), TestCaseError> {
    for duplicates in [Duplicates::Refuse, Duplicates::Keep] {
        let (end, models) = check(&named(boundary), duplicates, body, sizes);
        let found = end.is_ok().then_some(models);
        prop_assert_eq!(
            &found,
            &naive::models(boundary, duplicates, body),
            "{}",
            body.escape_ascii()
        );
        let Some(models) = found else { continue };
        if models.iter().any(|model| model.value == Value::NotAString) {
            continue;
        }
        prop_assert_eq!(
            by_multer(boundary, body).unwrap(),
            names(&models),
            "{}",
            body.escape_ascii()
        );
        for (at, model) in models.iter().enumerate() {
            let (before, _, after) = around(body, model);
            let mut expected = names(&models);
            expected[at] = "org/other-7B".to_owned();
            let replaced = [before, expected[at].as_bytes(), after].concat();
            prop_assert_eq!(by_multer(boundary, &replaced).unwrap(), &*expected);
            let again = naive::models(boundary, duplicates, &replaced).unwrap();
            prop_assert_eq!(names(&again), expected);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn agrees_on_bodies((boundary, body) in well_formed(), sizes in vec(1..40_usize, 1..6)) {
        agrees(boundary, &body, &sizes)?;
    }

    #[test]
    fn agrees_on_broken_bodies((boundary, body) in broken(), sizes in vec(1..40_usize, 1..6)) {
        agrees(boundary, &body, &sizes)?;
    }

    #[test]
    fn keeps_its_promises_on_any_bytes(bytes in vec(any::<u8>(), 0..80), body in broken()) {
        fuzz_multipart(&bytes);
        let line = format!("multipart/form-data; boundary=\"{}\"\n", body.0);
        fuzz_multipart(&[&[body.1.len() as u8], line.as_bytes(), &body.1].concat());
    }

    #[test]
    fn finds_every_boundary_however_the_bytes_are_cut(
        boundary in "[-a]{1,6}", bytes in "[-a\r\n]{0,60}", sizes in vec(1..9_usize, 1..6),
    ) {
        let wanted = format!("--{boundary}");
        let expected: Vec<_> = bytes.match_indices(&wanted).map(|(at, _)| {
            let before = match bytes.as_bytes()[..at] {
                [] => Before::Start,
                [.., b'\r', b'\n'] => Before::Crlf,
                [.., b'\r'] => Before::Cr,
                [.., b'\n'] => Before::Lf,
                _ => Before::Text,
            };
            (at + wanted.len(), before)
        }).collect();

        let mut search = Search::new(&named(&boundary));
        let mut found = Vec::new();
        let mut at = 0;
        for size in sizes.iter().cycle() {
            let end = bytes.len().min(at + size);
            while let Some(hit) = search.find(&bytes.as_bytes()[at..end]) {
                at += hit.end;
                found.push((at, hit.before));
            }
            at = end;
            if at == bytes.len() {
                break;
            }
        }
        prop_assert_eq!(found, expected);
    }
}
