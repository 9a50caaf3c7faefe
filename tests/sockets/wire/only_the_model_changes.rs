//! The body: nothing changes but the model's value.

use test_kit::socket::{Framing, Message, Wire, latin1, post, post_chunked};

/// Bodies as what stands before the model's value, the value, and what stands after it.
const BODIES: &[[&str; 3]] = &[
    [r#"{"model":"#, r#""alias""#, "}"],
    // White space of every kind, in every place.
    [
        "\t{\r\n  \"a\" :\t1 ,\n\n\"model\"\r:\n ",
        r#""alias""#,
        " \t,\"b\":[ ]\r\n}\n\n ",
    ],
    // Neither sorted nor without repetition.
    [
        r#"{"z":1,"a":2,"z":3,"model":"#,
        r#""alias""#,
        r#","m":4,"a":5}"#,
    ],
    // The value, the key, and both with escapes.
    [r#"{"model":"#, r#""\u0061l\u0069as""#, r#","x":"\u0061"}"#],
    [r#"{"mod\u0065l":"#, r#""alias""#, r#","m\u006fdels":"\/"}"#],
    [r#"{"\u006d\u006F\u0064el":"#, r#""a\u006Cias""#, "}"],
    // Outside the basic plane, as it is and as a pair of surrogates.
    [
        r#"{"x":"😀\ud83d\ude00𝕏","model":"#,
        r#""\ud83d\uDE00""#,
        r#","😀":"é\u00e9"}"#,
    ],
    [r#"{"model":"#, r#""😀""#, "}"],
    // Half a pair: no string, but none of the gateway's business either.
    [
        r#"{"x":"\ud800","model":"#,
        r#""alias""#,
        r#","y":["\udc00\ud83d"]}"#,
    ],
    // Numbers that no double holds, or not in these digits.
    [
        r#"{"a":1e400,"b":0.10,"c":-0,"d":1E+2,"model":"#,
        r#""alias""#,
        r#","e":123456789012345678901234567890,"f":1.0e-0000}"#,
    ],
    // What only looks like the model.
    [
        r#"{"Modell":"x","models":"y"," model":"z","a":{"model":"alias"},"model":"#,
        r#""alias""#,
        r#","messages":[{"content":"{\"model\":\"alias\"}","model":"alias"}]}"#,
    ],
    // From a long name to a shorter one.
    [
        r#"{"n":[[],{}],"model":"#,
        r#""an-alias-longer-than-the-real-name""#,
        r#","t":true}"#,
    ],
];

#[tokio::test]
async fn only_the_value_changes() {
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    for [before, value, after] in BODIES {
        client.send(post([*before, value, after].concat())).await;
        assert_eq!(client.answer().await.status(), 200, "{before}{value}");
    }
    let seen = wire.finish().await;
    assert_eq!(seen.len(), BODIES.len());
    for (request, [before, _, after]) in seen.iter().zip(BODIES) {
        assert_body(request, &format!(r#"{before}"org/real"{after}"#));
    }
}

#[tokio::test]
async fn a_body_is_rewritten_wherever_it_is_cut_into_chunks() {
    let [before, value, after] = BODIES[4];
    let body = [before, value, after].concat();
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    for cut in 1..body.len() {
        let (left, right) = body.split_at(cut);
        client.send(post_chunked("", &[left, right], "")).await;
        assert_eq!(client.answer().await.status(), 200, "{left}|{right}");
    }
    let seen = wire.finish().await;
    assert_eq!(seen.len(), body.len() - 1);
    for request in &seen {
        assert_body(request, &format!(r#"{before}"org/real"{after}"#));
    }
}

#[tokio::test]
async fn the_real_name_is_written_as_json() {
    let wire = Wire::new().await;
    wire.ask(post(r#"{"model":"odd","a":1}"#)).await;
    assert_body(&wire.only().await, "{\"model\":\"\\\"q\\\\\\n😀\",\"a\":1}");
}

#[tokio::test]
async fn without_a_real_name_the_body_stays_as_it_is() {
    for name in [r#""plain""#, r#""pl\u0061in""#] {
        assert_identical(name).await;
    }
}

#[tokio::test]
async fn a_model_that_already_has_its_real_name_stays_as_it_is() {
    for name in [r#""org/real""#, r#""org\/real""#, r#""\u006frg/real""#] {
        assert_identical(name).await;
    }
}

#[tokio::test]
async fn the_name_of_an_adapter_stays_as_it_is() {
    for name in [r#""lora-A""#, r#""lora\u002dA""#] {
        assert_identical(name).await;
    }
}

#[tokio::test]
async fn bytes_that_are_not_text_stay_as_they_are() {
    // serde_json does not look into strings that it skips. An engine may refuse them; what may not
    // be is that it gets others.
    let [before, after] = [
        &b"{\"a\":\"\xff\xc0\x80\",\"model\":"[..],
        b",\"b\":\"\xed\xa0\x80\"}",
    ];
    let wire = Wire::new().await;
    let answer = wire.ask(post([before, b"\"alias\"", after].concat())).await;
    assert_eq!(answer.status(), 200);
    let expected = [before, b"\"org/real\"", after].concat();
    assert_eq!(wire.only().await.body, expected);
}

async fn assert_identical(name: &str) {
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    for [before, _, after] in BODIES {
        let body = format!("{before}{name}{after}");
        client.send(post(&body)).await;
        assert_eq!(client.answer().await.status(), 200, "{body}");
        // The same in chunks of its length, which the gateway has to join.
        let (left, right) = body.split_at(before.len());
        client.send(post_chunked("", &[left, right], "")).await;
        assert_eq!(client.answer().await.status(), 200, "{body}");
    }
    let seen = wire.finish().await;
    assert_eq!(seen.len(), 2 * BODIES.len());
    for (pair, [before, _, after]) in seen.chunks(2).zip(BODIES) {
        for request in pair {
            assert_body(request, &format!("{before}{name}{after}"));
        }
    }
}

/// The body, byte for byte, framed by its length.
fn assert_body(request: &Message, expected: &str) {
    assert_eq!(request.text(), latin1(expected.as_bytes()));
    assert_eq!(request.framing, Framing::Length(expected.len()));
}
