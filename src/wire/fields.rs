//! The header fields that need special treatment.

use http::{HeaderMap, HeaderValue};

use crate::model::is_plain_json;

/// The fields of a head that something has to be done about, found in one pass over them.
///
/// To look each of them up takes 70 to 130 instructions, and a request has none of most of them: with
/// this it takes 2,000 fewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(u16);

/// What a request's fields say that each request is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestFields<'h> {
    pub(crate) fields: Fields,
    /// The only `x-request-id`.
    pub(crate) request_id: Option<&'h HeaderValue>,
    /// The announced length of the body.
    pub(crate) length: Option<u64>,
}

impl Fields {
    /// `Via`.
    pub(crate) const VIA: Self = Self(1);
    /// `Content-Encoding`.
    pub(crate) const CODING: Self = Self(1 << 1);
    /// The fields of one connection, not of the message (RFC 9110 section 7.6.1).
    pub(crate) const CONNECTION: Self = Self(1 << 2);
    /// `Transfer-Encoding`, which is one of them.
    pub(crate) const TRANSFER_CODING: Self = Self(1 << 3);
    /// `Expect`, which has been answered by the time the body is read.
    pub(crate) const EXPECT: Self = Self(1 << 4);
    /// `Trailer`.
    pub(crate) const TRAILER: Self = Self(1 << 5);
    /// `Location`, `Content-Location`.
    pub(crate) const LOCATION: Self = Self(1 << 6);
    /// One `Host`, which is a plain name; only of requests.
    pub(crate) const PLAIN_HOST: Self = Self(1 << 7);
    /// One `Content-Type`, which is JSON and says nothing else; only of requests.
    pub(crate) const PLAIN_JSON: Self = Self(1 << 8);
    /// `Content-Length`, in another form than one number; only of answers.
    pub(crate) const ODD_LENGTH: Self = Self(1 << 9);
    /// What is true of the bytes of the content, or of what they stand for, and of no others
    /// (RFC 9530 section 2).
    pub(crate) const DIGEST: Self = Self(1 << 10);

    /// Of an answer.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let (mut all, mut has_length) = (0, false);
        for (name, value) in headers {
            all |= match name.as_str() {
                "content-length" => {
                    let is_odd = has_length || !value.as_bytes().iter().all(u8::is_ascii_digit);
                    has_length = true;
                    if is_odd { Self::ODD_LENGTH.0 } else { 0 }
                }
                name => bits(name),
            };
        }
        Self(all)
    }

    /// Of the field with this name.
    pub(super) fn named(name: &str) -> Self {
        Self(bits(name))
    }

    /// Whether some of `these` are there.
    pub(crate) fn has(self, these: Self) -> bool {
        self.0 & these.0 != 0
    }
}

/// The values of a field, of which there should be one.
#[derive(Clone, Copy)]
enum Values<'h> {
    None,
    One(&'h HeaderValue),
    Several,
}

impl<'h> Values<'h> {
    fn and(&mut self, value: &'h HeaderValue) {
        *self = match self {
            Self::None => Self::One(value),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    fn only(self) -> Option<&'h HeaderValue> {
        match self {
            Self::One(value) => Some(value),
            Self::None | Self::Several => None,
        }
    }
}

impl<'h> RequestFields<'h> {
    pub(crate) fn of(headers: &'h HeaderMap) -> Self {
        let [mut host, mut content_type, mut request_id] = [Values::None; 3];
        let (mut all, mut length) = (0, None);
        for (name, value) in headers {
            match name.as_str() {
                "host" => host.and(value),
                "content-type" => content_type.and(value),
                "x-request-id" => request_id.and(value),
                "content-length" => length = length.or(Some(value)),
                name => all |= bits(name),
            }
        }
        let has = |values: Values<'h>, is_plain: fn(&HeaderValue) -> bool, fields: Fields| {
            let is_plain = values.only().is_some_and(is_plain);
            if is_plain { fields.0 } else { 0 }
        };
        let plain = has(host, is_plain_host, Fields::PLAIN_HOST)
            | has(content_type, is_plain_json, Fields::PLAIN_JSON);
        Self {
            fields: Fields(all | plain),
            request_id: request_id.only(),
            length: length.and_then(|length| length.to_str().ok()?.parse().ok()),
        }
    }
}

fn bits(name: &str) -> u16 {
    match name {
        "via" => Fields::VIA.0,
        "content-encoding" => Fields::CODING.0,
        "connection" | "keep-alive" | "te" | "upgrade" | "http2-settings" => Fields::CONNECTION.0,
        "transfer-encoding" => Fields::CONNECTION.0 | Fields::TRANSFER_CODING.0,
        "expect" => Fields::EXPECT.0,
        "trailer" => Fields::TRAILER.0,
        "location" | "content-location" => Fields::LOCATION.0,
        "content-digest" | "repr-digest" | "digest" | "content-md5" => Fields::DIGEST.0,
        // It tells the client what happened on the way (RFC 9209 section 2).
        "proxy-status" => 0,
        other if other.starts_with("proxy-") => Fields::CONNECTION.0,
        _ => 0,
    }
}

/// The bytes of names of hosts. (Each request's is read, and to compare a byte with four ranges takes
/// ten instructions.)
const IN_NAMES: [bool; 256] = {
    let mut in_names = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        in_names[byte] =
            matches!(byte as u8, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'-');
        byte += 1;
    }
    in_names
};

/// Whether this is a name or an IPv4 address, perhaps with a port, as almost all are: to parse
/// an authority is to allocate one.
pub(super) fn is_plain_host(host: &HeaderValue) -> bool {
    let host = host.as_bytes();
    let end = host.iter().position(|byte| !IN_NAMES[usize::from(*byte)]);
    match end.map(|end| host.split_at(end)) {
        None => !host.is_empty(),
        Some(([], _)) => false,
        Some((_, [b':', port @ ..])) => {
            let digits = port.iter().map(|digit| u32::from(digit.wrapping_sub(b'0')));
            let is_number = (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
            is_number && digits.fold(0, |port, digit| port * 10 + digit) <= u32::from(u16::MAX)
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use http::uri::Authority;
    use proptest::prelude::*;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn of_what_there_should_be_one_several_are_none() {
        let twice = headers(&[
            ("host", "a"),
            ("content-type", "application/json"),
            ("x-request-id", "1"),
            ("content-length", "7"),
            ("via", "1.1 a"),
        ]);
        let once = RequestFields::of(&twice);
        assert!(once.fields.has(Fields::PLAIN_HOST));
        assert!(once.fields.has(Fields::PLAIN_JSON));
        assert!(once.fields.has(Fields::VIA));
        assert!(!once.fields.has(Fields::CONNECTION));
        assert_eq!(
            (once.request_id.unwrap(), once.length),
            (&"1".parse().unwrap(), Some(7))
        );
        for name in ["host", "content-type", "x-request-id"] {
            let mut twice = twice.clone();
            let same = twice[name].clone();
            twice.append(name, same);
            let of = RequestFields::of(&twice);
            assert_eq!(of.fields.has(Fields::PLAIN_HOST), name != "host");
            assert_eq!(of.fields.has(Fields::PLAIN_JSON), name != "content-type");
            assert_eq!(of.request_id.is_some(), name != "x-request-id");
        }
    }

    #[test]
    fn the_length_of_an_answer_is_one_number() {
        let length = "content-length";
        for (fields, is_odd) in [
            (&[][..], false),
            (&[("via", "a, b"), (length, "7")], false),
            (&[(length, "7, 7")], true),
            (&[(length, "7"), ("via", "a"), (length, "7")], true),
            (&[(length, "many")], true),
        ] {
            let of = Fields::of(&headers(fields));
            assert_eq!(of.has(Fields::ODD_LENGTH), is_odd, "{fields:?}");
        }
    }

    #[test]
    fn what_is_not_plain_is_looked_at_elsewhere() {
        for (name, value) in [
            ("host", ""),
            ("host", "a@b"),
            ("host", "[::1]"),
            ("host", "a:65536"),
            ("host", "a:100000"),
            ("host", ":80"),
            ("host", "a:"),
            ("content-type", "application/json; charset=utf-7"),
            ("content-length", "many"),
        ] {
            let headers = headers(&[(name, value)]);
            let of = RequestFields::of(&headers);
            assert_eq!((of.fields, of.length), (Fields::default(), None), "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_host_is_a_host(host in "[a-z0-9.-]{0,4}(:[0-9]{0,6})?[:@a]?") {
            let headers = headers(&[("host", &host)]);
            if RequestFields::of(&headers).fields.has(Fields::PLAIN_HOST) {
                prop_assert!(host.parse::<Authority>().is_ok_and(|host| !host.as_str().contains('@')));
            }
        }
    }
}
