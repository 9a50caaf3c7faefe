//! Tables of accepted and refused bodies. In them `|` is CRLF, and the boundary is `b`.

use super::*;
use crate::model::{
    found::{MAX_MODELS, MAX_NAME},
    multipart::scanner::MAX_HEAD,
};

const MODEL: &str = "--b|Content-Disposition: form-data; name=model||m|";

fn body(text: &str) -> Vec<u8> {
    text.replace('|', "\r\n").into_bytes()
}

/// A field with these lines of headers besides its disposition, and this value.
fn field(disposition: &str, headers: &str, value: &str) -> String {
    format!("--b|Content-Disposition: form-data; {disposition}|{headers}|{value}|")
}

fn end(duplicates: Duplicates, text: &str) -> Result<(), Refusal> {
    outcome("b", duplicates, &body(text)).0
}

#[test]
fn accepts_what_all_parsers_read_alike() {
    let n = |name: &str| field(name, "", "n") + MODEL + "--b--";
    let m = |headers: &str| field("name=model", headers, "m") + "--b--";
    let value = |value: &str| field("name=model", "", value) + "--b--";
    for (text, model) in [
        // Around the parts.
        (format!("|{MODEL}--b--"), "m"),
        (format!("a|b -- c\r|{MODEL}--b--|"), "m"),
        (format!("{MODEL}--b--|the end|-- b"), "m"),
        (format!("{MODEL}--b--the end"), "m"),
        // Headers.
        (
            "--b|CONTENT-DISPOSITION:FORM-DATA;  name=model ||m|--b--".into(),
            "m",
        ),
        (
            "--b|X-A: \t a;b=\"c|Content-disposition: form-data; name=\"model\" |X-A:||m|--b--"
                .into(),
            "m",
        ),
        (m("Content-Type: text/plain|"), "m"),
        (m("Content-Type: text/plain;charset=\"UTF-8\"|"), "m"),
        (
            m("Content-Type: text/plain; charset=ISO-8859-1; x=\"y;\"; |"),
            "m",
        ),
        (m("Content-Transfer-Encoding: 8BIT|"), "m"),
        // Other fields, and parts within parts.
        (n("name=Model"), "m"),
        (n("name=\"model[]\""), "m"),
        (n("name=\"%6dodel\""), "m"),
        (n("name=\"m\u{f6}del\""), "m"),
        (n("name=\"a\\\"b\\\\c\""), "m"),
        (n("name=f; filename=\"; name=model; x\""), "m"),
        (n("name=f; filename*=utf-8''a; filename=\"C:\\a b\""), "m"),
        (
            field(
                "name=n",
                "Content-Type: multipart/mixed; boundary=c|",
                "--c|Content-Disposition: form-data; name=model||n|--c--",
            ) + MODEL
                + "--b--",
            "m",
        ),
        // Data that looks like a delimiter.
        (value("m|--|--a|-b|b"), "m|--|--a|-b|b"),
        (value("x--b--b -----b"), "x--b--b -----b"),
        (value("|"), "|"),
        (value(" m\0\t\n"), " m\0\t\n"),
        (value(""), ""),
    ] {
        let name = model.replace('|', "\r\n");
        let expected = (Value::Name(name.clone()), name.as_bytes());
        assert_eq!(one_model("b", &body(&text)), expected, "{text}");
    }
}

#[test]
fn tells_a_model_that_is_not_a_string() {
    let model = b"--b\r\nContent-Disposition: form-data; name=model\r\n\r\n";
    let headers = |more: &str| {
        body(&format!(
            "--b|Content-Disposition: form-data; name=model{more}||"
        ))
    };
    for (head, value) in [
        (model.to_vec(), b"\xff".as_slice()),
        (model.to_vec(), b"\xef\xbb\xbfm"),
        (headers("; filename=f"), b"m"),
        (headers("; filename=\"\""), &[b'm'; 2 * MAX_NAME]),
        (headers("; filename*=utf-8''f"), b"\r\n--"),
        (headers("|Content-Type: text/plain; charset=utf-16le"), b"m"),
        (
            headers("|Content-Type: text/plain; charset=us-ascii"),
            b"m\xc3\xb6",
        ),
        (headers("|Content-Transfer-Encoding: base64"), b"bQ=="),
        (headers("|content-encoding: gzip"), b"m"),
    ] {
        let body = [&head, value, b"\r\n--b--\r\n"].concat();
        assert_eq!(
            one_model("b", &body),
            (Value::NotAString, value),
            "{}",
            head.escape_ascii()
        );
    }
}

#[test]
fn refuses_what_parsers_read_differently() {
    // `^` marks the offset and is not part of the body.
    let lines = [
        "X: a|^|",
        "^|",
        "^--b--||",
        "^--b--: a||",
        "^Content-Disposition||",
        "^: form-data; name=a||",
        "^Content-Disposition : form-data; name=a||",
        "Content-Disposition: form-data; name=a|^Content-Disposition: form-data; name=a||",
        "Content-Type: a/b|^Content-Type: a/b||",
        "Content-Transfer-Encoding: 8bit|^Content-Transfer-Encoding: 8bit||",
        "Content-Disposition: form-data; name=a|^ ; filename=a||",
        "X: a|^\tb||",
        "^X: a\nX: b||",
        "^X: a\rX: b||",
        "^X: a\r\r||",
        "X: a|^\n||",
        "^X: a\0||",
        "^X: \x7f||",
        "Content-Disposition: form-data; name=model|Content-Type: a/b; charset|^|",
    ];
    let dispositions = [
        "form-data",
        "attachment; name=a",
        "form-data; filename=a",
        "form-data; filename=a; name=b",
        "form-data; Name=a",
        "form-data; name=a; Filename=b",
        "form-data; name=\" a\"",
        "form-data; name=\"a\u{2003}\"",
        "form-data; name=a; name=b",
        "form-data; name=a; NAME=a",
        "form-data; name*=utf-8''model",
        "form-data; name=a; name*=utf-8''model",
        "form-data; name=a; name*0=m",
        "form-data; name=a; filename=b; filename=c",
        "form-data; name=a; filename*=b; filename*=c",
        "form-data; name=a; filename*0=b",
        "form-data; name=a; x=b",
        "form-data, name=a",
        "form-data name=a",
        "form-data;; name=a",
        "form-data; name=a;",
        "form-data; name=a; ",
        "form-data;\tname=a",
        "form-data ; name=a",
        "form-data; name",
        "form-data; name=",
        "form-data; name =a",
        "form-data; name= a",
        "form-data; name=a b",
        "form-data; name=a/b",
        "form-data; name=\"a",
        "form-data; name=\"a\\\"",
        "form-data; name=\"a\"b",
        "form-data; name=\"mod\\el\"",
        "form-data; name=a; filename=\"b\\\\\"",
        "form-data; name=a; filename=\"b\\\"c;d\"",
    ];
    let delimiters = [
        "a^--b|",
        "\n^--b|",
        "|\r^--b|",
        "--b^c|",
        "--b^ |",
        "--b^\t--",
        "--b^\n",
        "--b\r^\r",
        "--b-^|",
        "--b--|^--b|",
        "--b--\n^--b",
        "--b-- x^--b",
        "--b--^--b",
    ];
    // Right after headers, and after data.
    let ends = [
        "^--b--",
        "x\n^--b--",
        "x\r^--b--",
        "\n^--b--",
        "x|--b^c",
        "x|--b^ |",
        "x|--b-^x",
    ];
    let texts = delimiters.map(str::to_owned).into_iter();
    let texts = texts.chain(lines.map(|lines| format!("{MODEL}--b|{lines}")));
    let texts =
        texts.chain(dispositions.map(|value| format!("--b|^Content-Disposition: {value}||")));
    let texts = texts.chain(
        ends.map(|end| field("name=a", "", "").trim_end_matches('|').to_owned() + "||" + end),
    );
    let texts = texts.chain(
        ends.map(|end| field("name=model", "", "").trim_end_matches('|').to_owned() + "||" + end),
    );
    for text in texts {
        let offset = text.replace('|', "\r\n").find('^').expect(&text) as u64;
        let expected = Err(Refusal::Malformed { offset });
        assert_eq!(
            end(Duplicates::Keep, &text.replace('^', "")),
            expected,
            "{text}"
        );
    }
}

/// For some parsers it is the charset of the form's other fields (RFC 7578 section 4.6).
#[test]
fn refuses_a_form_in_another_charset() {
    let charset = |headers: &str, value: &str| field("name=_charset_", headers, value);
    for value in ["utf-8", "UTF-8", "us-ascii"] {
        let form = charset("Content-Type: text/plain|", value);
        for text in [form.clone() + MODEL, MODEL.to_owned() + &form] {
            let outcome = end(Duplicates::Refuse, &(text + "--b--"));
            assert_eq!(outcome, Ok(()), "{value}");
        }
    }
    let long = "utf-8".repeat(MAX_NAME);
    for form in [
        charset("", "^utf-16"),
        charset("", "^"),
        charset("", "^utf-8 "),
        charset("", &format!("^{long}")),
        charset("Content-Transfer-Encoding: base64|^", "dXRmLTg="),
        charset("Content-Encoding: gzip|^", "utf-8"),
        field("name=\"_Charset_\"", "", "^iso-2022-jp"),
        field("name=_charset_; filename=a", "^", "utf-8"),
    ] {
        for text in [form.clone() + MODEL, MODEL.to_owned() + &form] {
            let offset = text.replace('|', "\r\n").find('^').expect(&text) as u64;
            let text = text.replace('^', "") + "--b--";
            let refused = Err(Refusal::Malformed { offset });
            assert_eq!(end(Duplicates::Refuse, &text), refused, "{text}");
        }
    }
}

#[test]
fn refuses_a_body_that_is_not_complete() {
    let text = format!("{MODEL}--b--");
    for at in 0..text.len() {
        assert_eq!(
            end(Duplicates::Refuse, &text[..at]),
            Err(Refusal::Unclosed),
            "{at}"
        );
    }
    assert_eq!(end(Duplicates::Refuse, &text), Ok(()));
}

#[test]
fn counts_the_models() {
    let other = field("name=n", "", "n");
    for (count, refuse, keep) in [
        (0, Err(Refusal::Missing), Err(Refusal::Missing)),
        (1, Ok(()), Ok(())),
        (2, Err(Refusal::Duplicate), Ok(())),
        (MAX_MODELS, Err(Refusal::Duplicate), Ok(())),
        (
            MAX_MODELS + 1,
            Err(Refusal::Duplicate),
            Err(Refusal::TooManyModels),
        ),
    ] {
        let text = other.clone() + &MODEL.repeat(count) + &other + "--b--";
        assert_eq!(end(Duplicates::Refuse, &text), refuse, "{count}");
        assert_eq!(end(Duplicates::Keep, &text), keep, "{count}");
    }
    let file = field("name=model; filename=f", "", "m");
    let text = format!("{file}{MODEL}--b--");
    assert_eq!(end(Duplicates::Refuse, &text), Err(Refusal::Duplicate));
    let (_, models) = outcome("b", Duplicates::Keep, &body(&text));
    let values: Vec<_> = models.into_iter().map(|model| model.value).collect();
    assert_eq!(values, [Value::NotAString, Value::Name("m".into())]);
}

#[test]
fn bounds_what_it_keeps() {
    let value = |len: usize| field("name=model", "", &"m".repeat(len)) + "--b--";
    let head = |len: usize| {
        let rest = "Content-Disposition: form-data; name=model|X: |".len() + 2 * 2;
        field(
            "name=model",
            &format!("X: {}|", "x".repeat(len - rest)),
            "m",
        ) + "--b--"
    };
    let endless = |len: usize, end: &str| "x".repeat(len) + end;
    let name_too_long = Err(Refusal::NameTooLong);
    let headers_too_long = Err(Refusal::HeadersTooLong);
    for (text, expected) in [
        (value(MAX_NAME), Ok(())),
        (value(MAX_NAME + 1), name_too_long),
        (value(MAX_NAME + 9), name_too_long),
        (value(MAX_NAME + 1) + "x", name_too_long),
        (
            field("name=model", "", &endless(MAX_NAME, "|--x")),
            name_too_long,
        ),
        (head(MAX_HEAD), Ok(())),
        (head(MAX_HEAD + 1), headers_too_long),
        (head(2 * MAX_HEAD), headers_too_long),
        (
            format!("--b|{}", endless(MAX_HEAD + 1, "")),
            headers_too_long,
        ),
        (
            format!("--b|{}", endless(MAX_HEAD, "")),
            Err(Refusal::Unclosed),
        ),
    ] {
        let body = body(&text);
        let found = check(&named("b"), Duplicates::Refuse, &body, &[1]).0;
        assert_eq!(found, expected, "{}", body.len());
        for sizes in [[2, 3], [13, 5], [1000, 7], [4096, 1]] {
            assert_eq!(
                check(&named("b"), Duplicates::Refuse, &body, &sizes).0,
                expected
            );
        }
    }
}
