//! The `Via` header: who passed a message on, and how a loop is detected.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderValue, Version, header::VIA};

use crate::{
    config::{BuildError, MistakeKind},
    pieces::{interned, members},
};

/// The name of this gateway in the `Via` header (RFC 9110 section 7.6.3).
///
/// It is added to requests on their way to an engine and to the engine's
/// answers. A request that already has it has gone in a circle, and is answered
/// with 508 `loop_detected` at once.
///
/// By default the name is random for each process, so if one layer in a process
/// is the engine of another, they need names of their own.
///
/// ```
/// use tower_model_route::{ModelRouteLayer, RouteTable, Via};
///
/// # fn main() -> Result<(), tower_model_route::BuildError> {
/// # let table = RouteTable::builder().build()?;
/// let layer = ModelRouteLayer::new(table).via(Via::named("gateway-1")?);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Via(Option<Arc<Named>>);

#[derive(Debug)]
struct Named {
    name: String,
    /// The value for each version of the message, made once.
    values: [(Version, HeaderValue); 4],
}

impl Via {
    /// The gateway's name is `name`, which should be unique.
    ///
    /// # Errors
    ///
    /// If the name is neither a token nor a host with a port.
    pub fn named(name: impl Into<String>) -> Result<Self, BuildError> {
        let name = name.into();
        named(name).map(|named| Self(Some(Arc::new(named))))
    }

    /// The header is passed on unchanged, and loops are not detected.
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether a message with these headers has been here before.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let Some(named) = &self.0 else {
            return false;
        };
        members(headers, &VIA)
            .filter_map(|received| {
                let mut words = received.split(|byte| matches!(byte, b' ' | b'\t'));
                words.by_ref().find(|word| !word.is_empty())?;
                words.find(|word| !word.is_empty())
            })
            .any(|by| by.eq_ignore_ascii_case(named.name.as_bytes()))
    }

    /// Adds the field to a message that came with this version.
    pub(crate) fn add(&self, version: Version, headers: &mut HeaderMap) {
        let Some(named) = &self.0 else {
            return;
        };
        let value = named.values.iter().find(|(of, _)| *of == version);
        if let Some((_, value)) = value {
            // A message that has no room for another field goes without.
            _ = headers.try_append(VIA, value.clone());
        }
    }
}

impl Default for Via {
    /// A random name, the same for the whole process.
    fn default() -> Self {
        static OWN: OnceLock<Via> = OnceLock::new();
        OWN.get_or_init(|| {
            let name = format!("tmr-{:016x}", fastrand::u64(..));
            Self(named(name).ok().map(Arc::new))
        })
        .clone()
    }
}

fn named(name: String) -> Result<Named, BuildError> {
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]".contains(&byte);
    let value =
        |protocol: &str| HeaderValue::from_maybe_shared(interned(&format!("{protocol} {name}")));
    let values = match (value("1.0"), value("1.1"), value("2"), value("3")) {
        (Ok(one), Ok(one_one), Ok(two), Ok(three))
            if !name.is_empty() && name.bytes().all(is_allowed) =>
        {
            [
                (Version::HTTP_10, one),
                (Version::HTTP_11, one_one),
                (Version::HTTP_2, two),
                (Version::HTTP_3, three),
            ]
        }
        _ => return Err(BuildError::other("Via", MistakeKind::InvalidPseudonym)),
    };
    Ok(Named { name, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let pairs = values.iter().map(|value| (VIA, value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn its_own_name_is_found_among_others() {
        let via = Via::named("gw").unwrap();
        for values in [
            &["1.1 gw"][..],
            &["HTTP/1.1  gw (a comment)"],
            &["1.0 fred, 1.1\tGW"],
            &["1.1 a", ",, 2 gw ,1.1 b"],
        ] {
            assert!(via.is_in(&headers(values)), "{values:?}");
            assert!(!Via::off().is_in(&headers(values)));
        }
        for values in [&[][..], &["1.1 gw2", "gw"], &["1.1 a (gw)"], &["", ","]] {
            assert!(!via.is_in(&headers(values)), "{values:?}");
        }
    }

    #[test]
    fn it_is_added_with_the_version_of_the_message() {
        let via = Via::named("gw:80").unwrap();
        let mut headers = headers(&["1.0 fred"]);
        via.add(Version::HTTP_2, &mut headers);
        via.add(Version::HTTP_11, &mut headers);
        Via::off().add(Version::HTTP_11, &mut headers);
        let values: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(values, ["1.0 fred", "2 gw:80", "1.1 gw:80"]);
    }

    #[test]
    fn by_default_the_name_is_one_of_the_process() {
        let mut headers = HeaderMap::new();
        Via::default().add(Version::HTTP_11, &mut headers);
        assert!(Via::default().is_in(&headers));
        assert!(headers[VIA].to_str().unwrap().starts_with("1.1 tmr-"));
    }

    #[test]
    fn what_is_no_name_is_a_mistake() {
        for name in ["", "two words", "a,b", "a(b)", "ä", "a\nb"] {
            let error = Via::named(name).unwrap_err().to_string();
            assert!(error.contains("Via: "), "{error}");
        }
    }
}
