//! Compressed forms.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::{
    codecs::{Coding, Decodes},
    send::{REAL, accepting, in_pieces, layer, post, send},
};

/// With a file in it that has all bytes, and what looks like a boundary.
fn form(model: &str) -> Vec<u8> {
    let head = |rest: &str| format!("--XYZ\r\nContent-Disposition: form-data; {rest}\r\n\r\n");
    let data: Vec<u8> = (0..20_000_u32).map(|n| (n * n / 8) as u8).collect();
    [
        head(r#"name="file"; filename="speech.wav""#).as_bytes(),
        &data,
        b"\r\n--XY\r\n",
        head(r#"name="model""#).as_bytes(),
        model.as_bytes(),
        b"\r\n--XYZ--\r\n",
    ]
    .concat()
}

fn upload(coding: Coding, body: Vec<u8>) -> Request<Full<Bytes>> {
    let mut request = post(coding.name(), body);
    *request.uri_mut() = "/v1/audio/transcriptions".parse().unwrap();
    let content_type = "multipart/form-data; boundary=XYZ".parse().unwrap();
    request.headers_mut().insert("content-type", content_type);
    request
}

#[tokio::test]
async fn the_field_is_rewritten() {
    for coding in Coding::ALL {
        let sent = coding.encode(form("alias"));
        for size in [100, sent.len()] {
            let request = || in_pieces(upload(coding, sent.clone()), size);
            let forwarded = send(layer(), request()).await.forwarded();
            forwarded.assert_is(&form(REAL), None);
            let forwarded = send(accepting(), request()).await;
            let forwarded = forwarded.forwarded();
            forwarded.assert_decodes_to(&form(REAL), coding);
        }
    }
}

#[tokio::test]
async fn or_it_stays() {
    for coding in Coding::ALL {
        let sent = coding.encode(form("lora"));
        let forwarded = send(accepting(), upload(coding, sent.clone())).await;
        let forwarded = forwarded.forwarded();
        forwarded.assert_is(&sent, Some(coding.name()));
    }
}

#[tokio::test]
async fn a_form_that_is_not_whole_is_refused_though_its_coding_is() {
    for coding in Coding::ALL {
        let form = form("alias");
        let cut = coding.encode(&form[..form.len() - 6]);
        let outcome = send(layer(), upload(coding, cut)).await;
        outcome.refused(400, "invalid_multipart");
    }
}
