//! Models named in the head: in the path, in the query, in a header.

use std::{borrow::Cow, ops::Range};

use http::{HeaderName, request::Parts};
use percent_encoding::percent_decode_str;

use super::{
    extract::ExtractModel,
    extraction::{ExtractedModel, Extraction},
};
use crate::{
    config::{BuildError, MistakeKind, is_version},
    error::{RouteError, RouteErrorKind},
};

/// The model is a part of the path, as in Azure's `/openai/deployments/{model}/...`.
///
/// A pattern contains `{model}` once, and may end in `*`, which matches any remainder. The
/// model may contain slashes, escaped or not: it extends to where the rest of the pattern
/// matches the end of the path. Before a `*`, that is the last possible match if the rest does
/// not begin with a slash (`{model}:*`), and otherwise the first (in `{model}/*` the model is
/// one segment). The matched part is percent-decoded, and rewritten in the path. The first
/// pattern that matches is used. On its own it does not read the body; in
/// [`ModelSources`](crate::ModelSources) a body that also names the model [must
/// agree](crate::ModelSources::or).
///
/// ```
/// use tower_model_route::{ModelSources, PathModel};
///
/// # fn main() -> Result<(), tower_model_route::BuildError> {
/// let sources = ModelSources::new()
///     .or(PathModel::new("/openai/deployments/{model}/*")?)
///     .or(PathModel::new("/v1beta/models/{model}:*")?);
/// # let _ = sources;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PathModel {
    before: Cow<'static, str>,
    after: Cow<'static, str>,
}

impl PathModel {
    /// Matches paths of the form `pattern`.
    ///
    /// # Errors
    ///
    /// If the pattern does not begin with a slash, have exactly one `{model}`,
    /// at the beginning of a segment, and at most one `*`, at its end.
    pub fn new(pattern: impl Into<Cow<'static, str>>) -> Result<Self, BuildError> {
        let pattern = pattern.into();
        let why = match pattern.split_once("{model}") {
            _ if !pattern.starts_with('/') => "it does not begin with a slash",
            None => "it has no {model}",
            Some((_, after)) if after.contains("{model}") => "it has more than one {model}",
            Some((before, _)) if !before.ends_with('/') => "{model} does not begin a segment",
            Some((before, after))
                if format!("{before}{}", after.strip_suffix('*').unwrap_or(after))
                    .contains('*') =>
            {
                "it has a * that is not its end"
            }
            Some((before, after)) => {
                return Ok(Self {
                    before: before.to_owned().into(),
                    after: after.to_owned().into(),
                });
            }
        };
        let mistake = MistakeKind::InvalidPath(why.into());
        Err(BuildError::other("PathModel", mistake))
    }

    /// The model's part of the path.
    fn find(&self, path: &str) -> Option<Range<usize>> {
        let rest = path.strip_prefix(&*self.before)?;
        let len = match self.after.strip_suffix('*') {
            None => rest.strip_suffix(&*self.after)?.len(),
            Some("") => rest.find('/').unwrap_or(rest.len()),
            Some(after) if after.starts_with('/') => rest.find(after)?,
            Some(after) => rest.rfind(after)?,
        };
        let start = self.before.len();
        (len > 0).then_some(start..start + len)
    }
}

impl ExtractModel for PathModel {
    fn begin(&self, head: &Parts) -> Extraction {
        match self.find(head.uri.path()) {
            Some(span) => in_path(head, span),
            None => Extraction::none(),
        }
    }

    fn reads_path(&self, path: &str) -> bool {
        self.find(path).is_some()
    }
}

/// The model is a query parameter, as in `/v1/realtime?model=`; it is rewritten there.
///
/// A query with two parameters of this name is refused. In
/// [`ModelSources`](crate::ModelSources) a body that also names the model
/// [must agree](crate::ModelSources::or).
#[derive(Clone, Debug)]
#[must_use]
pub struct QueryModel {
    path: Cow<'static, str>,
    parameter: Cow<'static, str>,
}

impl QueryModel {
    /// The query parameter `parameter` of requests for exactly `path`.
    ///
    /// # Errors
    ///
    /// If the path does not begin with a slash, or the parameter has no name.
    pub fn new(
        path: impl Into<Cow<'static, str>>,
        parameter: impl Into<Cow<'static, str>>,
    ) -> Result<Self, BuildError> {
        let (path, parameter) = (path.into(), parameter.into());
        let mistake = if !path.starts_with('/') {
            MistakeKind::InvalidPath("it does not begin with a slash".into())
        } else if parameter.is_empty() {
            MistakeKind::EmptyName
        } else {
            return Ok(Self { path, parameter });
        };
        Err(BuildError::other("QueryModel", mistake))
    }
}

/// The query of the known APIs that name the model there: `model` of OpenAI's realtime sessions,
/// and `deployment` of Azure's. They may be mounted under any prefix.
#[derive(Clone, Copy, Debug)]
pub(super) struct StandardQuery;

impl ExtractModel for StandardQuery {
    fn begin(&self, head: &Parts) -> Extraction {
        let path = head.uri.path();
        let path = path.strip_suffix('/').unwrap_or(path);
        let before = path.strip_suffix("/realtime");
        match before.and_then(|before| Some(before.rsplit_once('/')?.1)) {
            Some("openai") => in_query(head, "deployment"),
            Some(version) if is_version(version) => in_query(head, "model"),
            _ => Extraction::none(),
        }
    }
}

impl ExtractModel for QueryModel {
    fn begin(&self, head: &Parts) -> Extraction {
        if head.uri.path() != self.path {
            return Extraction::none();
        }
        in_query(head, &self.parameter)
    }

    fn reads_path(&self, path: &str) -> bool {
        path == self.path
    }
}

/// The model is this parameter of the query.
fn in_query(head: &Parts, parameter: &str) -> Extraction {
    let query = head.uri.query().unwrap_or_default();
    let mut start = 0;
    let mut values = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let at = start + pair.len() - value.len();
        start += pair.len() + 1;
        (form_decoded(name)? == parameter).then_some((at, value))
    });
    match (values.next(), values.next()) {
        (Some((at, value)), None) => {
            let span = at..at + value.len();
            found(&value.replace('+', " "), |name| {
                ExtractedModel::new(name).query_span(span)
            })
        }
        (Some(_), Some(_)) => Extraction::refused(RouteError::new(
            RouteErrorKind::AmbiguousModel,
            "the query names more than one model",
        )),
        (None, _) => Extraction::refused(RouteError::new(
            RouteErrorKind::MissingModel,
            "the query names no model",
        )),
    }
}

/// The model is in a header that a gateway in front has set, such as `x-model`.
///
/// In [`ModelSources`](crate::ModelSources) the header does not replace the other
/// sources. A request whose body or path names another model is refused, and the
/// header alone decides only if the rest of the request names no model. When the
/// model is rewritten, the header is rewritten as well.
#[derive(Clone, Debug)]
#[must_use]
pub struct HeaderModel {
    header: HeaderName,
}

impl HeaderModel {
    /// The value of `header`.
    pub fn new(header: HeaderName) -> Self {
        Self { header }
    }
}

impl ExtractModel for HeaderModel {
    fn begin(&self, head: &Parts) -> Extraction {
        let mut values = head.headers.get_all(&self.header).iter();
        let Some(first) = values.next() else {
            return Extraction::none();
        };
        if values.any(|other| other != first) {
            return Extraction::refused(RouteError::new(
                RouteErrorKind::AmbiguousModel,
                "the model header is repeated with different values",
            ));
        }
        match std::str::from_utf8(first.as_bytes()) {
            Ok(name) if !name.is_empty() => {
                Extraction::found(ExtractedModel::new(name).in_header(self.header.clone()))
            }
            _ => Extraction::refused(invalid()),
        }
    }
}

/// The model is this part of the path.
pub(super) fn in_path(head: &Parts, span: Range<usize>) -> Extraction {
    let encoded = head.uri.path().get(span.clone()).unwrap_or_default();
    found(encoded, |name| ExtractedModel::new(name).path_span(span))
}

/// A name that is percent-encoded in the URI.
fn found(encoded: &str, model: impl FnOnce(String) -> ExtractedModel) -> Extraction {
    match percent_decode_str(encoded).decode_utf8() {
        Ok(name) if !name.is_empty() => Extraction::found(model(name.into_owned())),
        _ => Extraction::refused(invalid()),
    }
}

fn form_decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

fn invalid() -> RouteError {
    RouteError::new(
        RouteErrorKind::InvalidModel,
        "the model in the request's head is empty or not text",
    )
}

#[cfg(test)]
mod tests {
    use http::{Request, header::HeaderValue};

    use super::*;
    use crate::model::extraction::{Location, Plan};

    fn begin(
        source: &impl ExtractModel,
        uri: &str,
    ) -> Option<Result<ExtractedModel, RouteErrorKind>> {
        let (head, ()) = Request::get(uri).body(()).unwrap().into_parts();
        outcome(source.begin(&head))
    }

    fn outcome(extraction: Extraction) -> Option<Result<ExtractedModel, RouteErrorKind>> {
        match extraction.0 {
            Plan::Found(model) => Some(Ok(model)),
            Plan::Refused(error) => Some(Err(error.kind())),
            _ => None,
        }
    }

    #[test]
    fn a_path_fits_its_pattern_or_names_no_model() {
        for (pattern, path, expected) in [
            (
                "/openai/deployments/{model}/*",
                "/openai/deployments/gpt-4/chat/completions?x=1",
                Some("gpt-4"),
            ),
            (
                "/openai/deployments/{model}/*",
                "/openai/deployments/a%2Fb%20c/x",
                Some("a/b c"),
            ),
            (
                "/openai/deployments/{model}/*",
                "/openai/deployments//x",
                None,
            ),
            (
                "/openai/deployments/{model}/*",
                "/openai/deployments/gpt-4",
                None,
            ),
            (
                "/openai/deployments/{model}/*",
                "/v1/openai/deployments/gpt-4/x",
                None,
            ),
            (
                "/v1beta/models/{model}:*",
                "/v1beta/models/gemini:generateContent",
                Some("gemini"),
            ),
            (
                "/v1beta/models/{model}:*",
                "/v1beta/models/a:b:generateContent",
                Some("a:b"),
            ),
            ("/v1beta/models/{model}:*", "/v1beta/models/gemini", None),
            (
                "/v1beta/models/{model}:*",
                "/v1beta/models/org/a:b:generateContent",
                Some("org/a:b"),
            ),
            ("/m/{model}/say", "/m/org/name/say", Some("org/name")),
            ("/m/{model}/say", "/m/org%2Fname/say", Some("org/name")),
            ("/m/{model}/say", "/m//say", None),
            (
                "/m/{model}/say/*",
                "/m/org/name/say/x/say/y",
                Some("org/name"),
            ),
            ("/m/{model}", "/m/org/name", Some("org/name")),
            ("/m/{model}*", "/m/org/name", Some("org")),
            ("/v2/models/{model}/infer", "/v2/models/m/infer", Some("m")),
            ("/v2/models/{model}/infer", "/v2/models/m/infer/x", None),
        ] {
            let found = begin(&PathModel::new(pattern).unwrap(), path);
            let name = found.map(|model| model.unwrap().name);
            assert_eq!(name.as_deref(), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_a_mistake() {
        for (pattern, why) in [
            ("", "does not begin with a slash"),
            ("v1/{model}", "does not begin with a slash"),
            ("/no/model", "has no {model}"),
            ("/{model}/{model}", "more than one {model}"),
            ("/a-{model}", "does not begin a segment"),
            ("/*/{model}", "not its end"),
            ("/{model}/*/x", "not its end"),
            ("/{model}/**", "not its end"),
        ] {
            let error = PathModel::new(pattern).unwrap_err().to_string();
            assert!(error.contains(why), "{pattern}: {error}");
        }
        for (path, parameter) in [("v1/realtime", "model"), ("/v1/realtime", "")] {
            assert!(
                QueryModel::new(path, parameter).is_err(),
                "{path} {parameter}"
            );
        }
        assert_eq!(
            PathModel::new("/x").unwrap_err().to_string(),
            "1 mistake in the options\n- PathModel: the path is invalid: it has no {model}"
        );
    }

    #[test]
    fn the_place_in_the_path_is_that_of_the_encoded_name() {
        let path = "/openai/deployments/a%2Fb/x";
        let model = begin(
            &PathModel::new("/openai/deployments/{model}/*").unwrap(),
            path,
        );
        let Some(Ok(ExtractedModel {
            location: Location::Path(span),
            ..
        })) = model
        else {
            panic!("{model:?}");
        };
        assert_eq!(&path[span], "a%2Fb");
    }

    #[test]
    fn a_query_parameter() {
        use RouteErrorKind::{AmbiguousModel, InvalidModel, MissingModel};
        let source = QueryModel::new("/v1/realtime", "model").unwrap();
        for (uri, expected) in [
            ("/v1/realtime?model=gpt", Ok("gpt")),
            ("/v1/realtime?a=1&model=a%2Fb+c&b", Ok("a/b c")),
            ("/v1/realtime?mod%65l=m", Ok("m")),
            ("/v1/realtime?model=a&model=a", Err(AmbiguousModel)),
            ("/v1/realtime?model=", Err(InvalidModel)),
            ("/v1/realtime?model=%ff", Err(InvalidModel)),
            ("/v1/realtime?models=a", Err(MissingModel)),
            ("/v1/realtime", Err(MissingModel)),
        ] {
            let found = begin(&source, uri).unwrap().map(|model| model.name);
            assert_eq!(found, expected.map(str::to_owned), "{uri}");
        }
        assert!(begin(&source, "/v1/other?model=m").is_none());
    }

    #[test]
    fn a_header() {
        let source = HeaderModel::new(HeaderName::from_static("x-model"));
        for (values, expected) in [
            (&["m"][..], Some(Ok("m"))),
            (&["m", "m"], Some(Ok("m"))),
            (&["m", "n"], Some(Err(RouteErrorKind::AmbiguousModel))),
            (&[""], Some(Err(RouteErrorKind::InvalidModel))),
            (&[], None),
        ] {
            let (mut head, ()) = Request::new(()).into_parts();
            for value in values {
                head.headers
                    .append("x-model", HeaderValue::from_static(value));
            }
            let found = outcome(source.begin(&head)).map(|found| found.map(|model| model.name));
            assert_eq!(
                found,
                expected.map(|found| found.map(str::to_owned)),
                "{values:?}"
            );
        }
    }
}
