//! `POST /_explain`: where the request described in JSON would go, and why.

use std::{borrow::Cow, collections::BTreeMap};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header::ACCEPT,
    request::Parts,
};
use serde::Deserialize;
use serde_json::Value;

use super::{answer, asked, body::AdminBody, reading::Reading};
use crate::{model::body_naming, observe::explain::Shown, route::RouteTable};

/// A request that is asked about.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'a> {
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    path: Option<Cow<'a, str>>,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    model: Option<String>,
    body: Option<Value>,
}

/// Those of a header.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a header's value must be a string or a list of strings"
)]
enum Values {
    One(String),
    Several(Vec<String>),
}

pub(super) fn answer(
    table: &RouteTable,
    reading: &Reading,
    shown: Shown<'_>,
    headers: &HeaderMap,
    question: &[u8],
) -> Response<AdminBody> {
    let invalid = answer::invalid;
    let question: Question<'_> = match asked::fields(question) {
        Ok(question) => question,
        Err(error) => return invalid(&format!("this is not a question in JSON: {error}")),
    };
    let head = match question.head() {
        Ok(head) => head,
        Err(message) => return invalid(&message),
    };
    let extract = &*reading.extract;
    let body = match (&question.model, &question.body) {
        (Some(_), Some(_)) => return invalid("give either a `model` or a `body`, not both"),
        (Some(model), None) if model.is_empty() => return invalid("the `model` is empty"),
        (Some(model), None) => body_naming(extract, &head, model),
        (None, None) => Some(String::new()),
        (None, Some(Value::String(text))) => Some(text.clone()),
        (None, Some(json)) => Some(json.to_string()),
    };
    let layer = reading.as_layer();
    let explanation = match (body, &question.model) {
        // No body of such a request could name it: it is taken for what is found.
        (None, Some(model)) => table.explain_admitted_showing(layer, &head, model, shown),
        (body, _) => {
            let body = body.unwrap_or_default();
            table.explain_request_showing(layer, &head, body.as_bytes(), shown)
        }
    };
    let explanation = match explanation {
        Ok(explanation) => explanation,
        Err(error) => return answer::unroutable(&error),
    };
    if wants_text(headers) {
        let text = format!("{explanation}\n");
        answer::of(answer::TEXT, AdminBody::new(text))
    } else {
        answer::json(&explanation)
    }
}

impl Question<'_> {
    fn head(&self) -> Result<Parts, String> {
        let method = self.method.as_deref().unwrap_or("POST");
        let path = self.path.as_deref().unwrap_or("/v1/chat/completions");
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = Method::from_bytes(method.as_bytes())
            .map_err(|_| format!("the `method` {method:?} is not one"))?;
        head.uri = path
            .parse::<Uri>()
            .map_err(|error| format!("the `path` {path:?} is not one: {error}"))?;
        if !head.uri.path().starts_with('/') {
            return Err(format!("the `path` {path:?} does not begin with a slash"));
        }
        for (name, values) in &self.headers {
            let parsed = HeaderName::try_from(name.as_str())
                .map_err(|_| format!("in `headers`, {name:?} is not a valid name"))?;
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Several(values) => values,
            };
            for value in values {
                // It may be a secret, and is not repeated.
                let value = HeaderValue::from_str(value)
                    .map_err(|_| format!("in `headers`, the value of {name:?} is not valid"))?;
                head.headers
                    .try_append(&parsed, value)
                    .map_err(|_| "there are too many `headers`".to_owned())?;
            }
        }
        Ok(head)
    }
}

/// Whether `Accept` asks for text: it names `text/plain`, and not JSON.
fn wants_text(headers: &HeaderMap) -> bool {
    let accepted: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next().map(str::trim))
        .collect();
    let names = |kind| {
        accepted
            .iter()
            .any(|range: &&str| range.eq_ignore_ascii_case(kind))
    };
    names("text/plain") && !names("application/json")
}
