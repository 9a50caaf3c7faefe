//! `POST /_drain` and `POST /_undrain`: an endpoint is taken out of service, or put back.

use std::borrow::Cow;

use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::{answer, asked, body::AdminBody};
use crate::{
    config::{Mistake, MistakeKind},
    route::RouteTableHandle,
};

/// Which one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order<'a> {
    #[serde(borrow)]
    endpoint: Cow<'a, str>,
}

/// How it is afterwards.
#[derive(Serialize)]
struct Done<'a> {
    endpoint: &'a str,
    draining: bool,
    in_flight: usize,
}

pub(super) fn answer(
    table: &RouteTableHandle,
    is_draining: bool,
    order: &[u8],
) -> Response<AdminBody> {
    let order: Order<'_> = match asked::fields(order) {
        Ok(order) => order,
        Err(error) => {
            return answer::invalid(&format!("this is not JSON with an `endpoint`: {error}"));
        }
    };
    let error = match table.set_draining(&order.endpoint, is_draining) {
        Ok(endpoint) => {
            return answer::json(&Done {
                endpoint: endpoint.uri(),
                draining: endpoint.health.is_draining(),
                in_flight: endpoint.in_flight(),
            });
        }
        Err(error) => error,
    };
    let mistakes = error.mistakes().iter();
    let message = mistakes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    let is_unknown = |mistake: &Mistake| *mistake.kind() == MistakeKind::UnknownEndpoint;
    match error.mistakes().iter().any(is_unknown) {
        true => answer::refusal(StatusCode::NOT_FOUND, "endpoint_not_found", &message),
        false => answer::invalid(&message),
    }
}
