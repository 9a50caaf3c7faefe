//! The model as a field of a form, as of audio and images.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use test_kit::{exchange::Outcome, request::post};
use tower_model_route::{DuplicateModels, ModelSources, MultipartBody};

use super::send::{REAL, send, send_by};

const BOUNDARY: &str = "------------------------d74496d66958873e";

/// A field, as curl writes it.
fn field(name: &str, value: &str) -> String {
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

/// A file, as curl writes it; in it, what looks like JSON and like a boundary.
fn file() -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\n\
         Content-Type: audio/wav\r\n\r\nRIFF"
    );
    let data = [
        &[0, 255, 13, 10, 45, 45][..],
        br#"{"model":"no"}"#,
        format!("\r\n--{}", &BOUNDARY[1..]).as_bytes(),
        &[7; 5000],
    ]
    .concat();
    [head.as_bytes(), &data, b"\r\n"].concat()
}

/// A form of these parts, and its end.
fn form(parts: &[&[u8]]) -> Vec<u8> {
    let end = format!("--{BOUNDARY}--\r\n");
    [parts.concat(), end.into_bytes()].concat()
}

fn upload(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = post("/v1/audio/transcriptions", body);
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = request.headers_mut();
    headers.insert("content-type", content_type.parse().unwrap());
    request
}

/// The engine gets `expected`, with its length and under the client's Content-Type.
#[track_caller]
fn assert_forwarded(outcome: Outcome, expected: &[u8]) {
    let forwarded = outcome.forwarded();
    assert!(forwarded.bytes() == expected, "{:?}", forwarded.bytes());
    let length = expected.len().to_string();
    assert_eq!(forwarded.header("content-length"), Some(&*length));
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    assert_eq!(forwarded.header("content-type"), Some(&*content_type));
}

/// Forms that name `name`: the model in front of the file, behind it, and in between.
fn forms(name: &str) -> [Vec<u8>; 3] {
    let (model, language) = (field("model", name), field("language", "de"));
    let file = file();
    let (model, language) = (model.as_bytes(), language.as_bytes());
    [
        form(&[model, language, &file]),
        form(&[&file, language, model]),
        form(&[language, model, &file]),
    ]
}

#[tokio::test]
async fn it_is_rewritten_in_its_place() {
    for (sent, expected) in forms("alias").into_iter().zip(forms(REAL)) {
        assert_forwarded(send(upload(sent)).await, &expected);
    }
}

#[tokio::test]
async fn it_stays_where_the_name_does() {
    for name in ["lora", "plain/model"] {
        for sent in forms(name) {
            assert_forwarded(send(upload(sent.clone())).await, &sent);
        }
    }
}

/// The same, in pieces, none of which holds all of it.
#[tokio::test]
async fn it_is_rewritten_wherever_the_body_is_cut() {
    for (sent, expected) in forms("alias").into_iter().zip(forms(REAL)) {
        for size in [1, 2, 3, 7, 64] {
            let sent = Bytes::from(sent.clone());
            let pieces: Vec<_> = (0..sent.len())
                .step_by(size)
                .map(|at| sent.slice(at..sent.len().min(at + size)))
                .map(|piece| Ok::<_, Infallible>(Frame::data(piece)))
                .collect();
            let (head, _) = upload(sent).into_parts();
            let body = StreamBody::new(stream::iter(pieces));
            let forwarded = send(Request::from_parts(head, body)).await.forwarded();
            assert!(forwarded.bytes() == expected, "pieces of {size}");
        }
    }
}

#[tokio::test]
async fn two_of_them() {
    let two = form(&[
        field("model", "lora").as_bytes(),
        &file(),
        field("model", "alias").as_bytes(),
    ]);
    send(upload(two.clone()))
        .await
        .refused(400, "ambiguous_model");
    for (duplicates, name) in [
        (DuplicateModels::First, "lora"),
        (DuplicateModels::Last, REAL),
    ] {
        let sources = ModelSources::new().or(MultipartBody::new().duplicates(duplicates));
        let expected = form(&[
            field("model", name).as_bytes(),
            &file(),
            field("model", name).as_bytes(),
        ]);
        assert_forwarded(send_by(sources, upload(two.clone())).await, &expected);
        // No name can be written into the other one, which some engine may read.
        let file = field("model\"; filename=\"f", "alias");
        for two in [
            [field("model", "lora"), file.clone()],
            [file, field("model", "lora")],
        ] {
            let two = form(&[two.concat().as_bytes()]);
            let sources = ModelSources::new().or(MultipartBody::new().duplicates(duplicates));
            let outcome = send_by(sources, upload(two)).await;
            outcome.refused(400, "invalid_model");
        }
    }
}

/// In the charset that a field `_charset_` names, others read another model.
#[tokio::test]
async fn another_charset_of_the_form() {
    let model = field("model", "alias");
    for (charset, status) in [("UTF-8", 200), ("utf-16", 400), ("utf-7", 400)] {
        let charset = field("_charset_", charset);
        for parts in [[&charset, &model], [&model, &charset]] {
            let outcome = send(upload(form(&parts.map(String::as_bytes)))).await;
            assert_eq!(outcome.status(), status, "{parts:?}");
            if status == 400 {
                outcome.refused(400, "invalid_multipart");
            }
        }
    }
}

#[tokio::test]
async fn none_of_them() {
    let none = form(&[field("language", "de").as_bytes(), &file()]);
    send(upload(none)).await.refused(400, "missing_model");
}

#[tokio::test]
async fn a_name_that_nobody_has() {
    let unknown = form(&[field("model", "gone").as_bytes()]);
    send(upload(unknown)).await.refused(404, "model_not_found");
    let empty = form(&[field("model", "").as_bytes()]);
    send(upload(empty)).await.refused(400, "invalid_model");
}

#[tokio::test]
async fn a_form_that_is_cut_off() {
    let whole = form(&[field("model", "alias").as_bytes(), &file()]);
    let cut = whole[..whole.len() - 6].to_vec();
    let outcome = send(upload(cut)).await;
    assert_eq!(outcome.status(), 400);
    outcome.refused(400, "invalid_multipart");
}

#[tokio::test]
async fn a_form_without_its_boundary() {
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
    ] {
        let mut request = upload(form(&[field("model", "alias").as_bytes()]));
        let headers = request.headers_mut();
        headers.insert("content-type", content_type.parse().unwrap());
        send(request).await.refused(400, "invalid_multipart");
    }
}
