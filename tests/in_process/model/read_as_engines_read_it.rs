//! What engines would read otherwise is refused, what they accept is not.

use axum::body::Body;
use http::{Request, header::CONTENT_TYPE};
use test_kit::{answer::Answer, gateway::Rig};
use tower_model_route::TrafficPolicy;

fn post(types: &[&str], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post("/v1/chat/completions")
        .body(body.into())
        .unwrap();
    for value in types {
        request
            .headers_mut()
            .append(CONTENT_TYPE, value.parse().unwrap());
    }
    request
}

async fn ask(types: &[&str], body: &'static str) -> (u16, String, usize) {
    let rig = Rig::one(1, TrafficPolicy::new());
    let answer = Answer::of(rig.send(post(types, body)).await).await;
    let code = if answer.status() == 200 {
        String::new()
    } else {
        answer.code().to_owned()
    };
    (answer.status().as_u16(), code, rig.engines.attempts().len())
}

#[tokio::test]
async fn a_charset_decides_what_an_engine_reads() {
    let json = r#"{"model":"asked"}"#;
    for good in [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain",
    ] {
        assert_eq!(ask(&[good], json).await, (200, String::new(), 1), "{good}");
    }
    for bad in [
        "application/json; charset=utf-7",
        "application/json; charset=utf-16",
        "application/x-www-form-urlencoded",
    ] {
        let (status, code, asked) = ask(&[bad], json).await;
        assert_eq!(
            (status, &*code, asked),
            (415, "unsupported_media_type", 0),
            "{bad}"
        );
    }
    let form = "multipart/form-data; boundary=b";
    for types in [
        &["application/json", "text/plain"][..],
        &["application/json", form],
        &[form, "application/json"],
        &["application/json, text/plain"],
    ] {
        let (status, code, asked) = ask(types, json).await;
        assert_eq!(
            (status, &*code, asked),
            (400, "invalid_body", 0),
            "{types:?}"
        );
    }
    let (status, code, asked) = ask(&["multipart/mixed; boundary=b"], json).await;
    assert_eq!((status, &*code, asked), (415, "unsupported_media_type", 0));
}

#[tokio::test]
async fn an_engine_in_go_takes_any_case_of_model() {
    for body in [
        r#"{"model":"asked","Model":"other"}"#,
        r#"{"MODEL":"other","model":"asked"}"#,
    ] {
        let (status, code, asked) = ask(&[], body).await;
        assert_eq!(
            (status, &*code, asked),
            (400, "ambiguous_model", 0),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_byte_order_mark_and_pythons_numbers_pass_unchanged() {
    let rig = Rig::one(1, TrafficPolicy::new());
    let body = "\u{feff}{\"x\":NaN,\"y\":[-Infinity],\"model\":\"asked\"}";
    assert_eq!(rig.send(post(&[], body)).await.status(), 200);
    let sent = rig.engines.attempts().remove(0);
    assert_eq!(sent.text(), body.replace("asked", "real"));
}
