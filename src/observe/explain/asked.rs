//! The request that is explained, and the model that it is routed by.

use std::sync::Arc;

use http::{header::CONTENT_ENCODING, request::Parts};

use crate::{
    config::WithoutModel,
    error::RouteError,
    limit::Estimate,
    model::{BodyKeys, ExtractModel, ExtractedModel, ModelSources, NeededKeys, Plan},
    route::{CompiledTable, Found, Naming},
    server::{Ask, Caller, Server, Wanted},
};

pub(super) struct Asked<'a> {
    pub(super) head: &'a Parts,
    pub(super) model: ExtractedModel,
    /// What is said about requests that name no model, if this is one.
    pub(super) without_model: Option<WithoutModel>,
    /// About how many tokens its prompt has, if that is known.
    pub(super) tokens: Option<u64>,
    estimate: Estimate,
    naming: Option<Arc<Naming>>,
    /// What its body says about whom it belongs to, as far as that is known.
    keys: BodyKeys,
}

impl<'a> Asked<'a> {
    /// A request for this model.
    pub(super) fn new(head: &'a Parts, model: ExtractedModel) -> Self {
        Self {
            naming: Naming::of(&model),
            head,
            model,
            without_model: None,
            tokens: None,
            keys: BodyKeys::default(),
            estimate: Estimate::default(),
        }
    }

    /// The same request with this body; a compressed one is not read.
    pub(super) fn with_body(self, body: &[u8], table: &CompiledTable) -> Self {
        if self.head.headers.contains_key(CONTENT_ENCODING) {
            return self;
        }
        let needed = NeededKeys {
            tokens: true,
            ..table.needed_keys
        };
        let keys = BodyKeys::read(body, needed);
        let (len, tokens) = (body.len() as u64, keys.tokens);
        Self {
            tokens: tokens.map(|tokens| tokens.of_prompt(len, 0)),
            estimate: tokens.map_or_else(Estimate::default, |tokens| Estimate {
                text_bytes: len.saturating_sub(tokens.data),
                has_media: tokens.data > 0,
                max_output: tokens.max_output(),
            }),
            keys,
            ..self
        }
    }

    fn caller(&self, is_lora: bool) -> Caller<'_> {
        Caller {
            uri: &self.head.uri,
            headers: &self.head.headers,
            extensions: &self.head.extensions,
            body: &self.keys,
            estimate: self.estimate,
            model: Wanted::of(&self.model, is_lora),
        }
    }

    /// What it asks of a ModelServer.
    pub(super) fn of_server(&self, server: &Server, is_lora: bool) -> Ask {
        server.ask(&self.caller(is_lora))
    }

    /// The URI of the endpoint of `server` that its session is bound to.
    pub(super) fn session_at(&self, server: &Server, is_lora: bool) -> Option<String> {
        let position = server.bound_endpoint(self.caller(is_lora))?;
        Some(server.endpoints.get(position)?.uri().to_string())
    }

    /// A request that names this model in a standard place of its head, or else in its body.
    pub(super) fn named(head: &'a Parts, name: &str) -> Self {
        let model = match ModelSources::standard().begin(head).0 {
            Plan::Found(found) | Plan::Beside(found, ..) if found.name == name => found,
            _ => ExtractedModel::new(name).json_span(0..0),
        };
        Self::new(head, model)
    }

    /// A request that names no model.
    ///
    /// `has_object` says whether its body has a JSON object in which a model can be written.
    pub(super) fn unnamed(
        head: &'a Parts,
        what: &WithoutModel,
        table: &CompiledTable,
        has_object: bool,
    ) -> Self {
        let name = match what {
            WithoutModel::Model(name) | WithoutModel::Insert(name) => name,
            WithoutModel::Route(name) => match table.select_route(head, name, None) {
                Ok(selection) => table.requested(selection),
                Err(_) => "",
            },
            WithoutModel::Reject | WithoutModel::Forward => "",
        };
        let model = match what {
            WithoutModel::Insert(_) if has_object => ExtractedModel::inserted(name, 0, true),
            _ => ExtractedModel::of_unnamed(name),
        };
        Self {
            without_model: Some(what.clone()),
            ..Self::new(head, model)
        }
    }

    /// The route that was chosen by its own name.
    fn route(&self) -> Option<&str> {
        match &self.without_model {
            Some(WithoutModel::Route(name)) => Some(name),
            _ => None,
        }
    }

    /// The model that conditions see.
    pub(super) fn condition_model(&self) -> &str {
        match self.route() {
            Some(_) => "",
            None => &self.model.name,
        }
    }

    /// The routes that are tried.
    pub(super) fn routes<'t>(&self, table: &'t CompiledTable) -> Vec<Found<'t>> {
        match self.route() {
            Some(route) => table.find_route(route),
            None => table.find(&self.model.name),
        }
    }

    /// The answer if no rule of these routes matches.
    pub(super) fn no_match(&self, table: &CompiledTable, routes: &[Found<'_>]) -> RouteError {
        let model = self.model.shown();
        match self.route() {
            Some(route) => match table.select_route(self.head, route, self.tokens) {
                Err(error) => error,
                Ok(_) => RouteError::route_not_found(model),
            },
            None if routes.is_empty() => RouteError::model_not_found(model),
            None => RouteError::route_not_found(model),
        }
    }

    /// The name that the engines of `server` get.
    pub(super) fn model_at<'s>(&'s self, server: &'s Server, is_lora: bool) -> &'s str {
        let real = match &self.naming {
            None => server.rewrite(&self.model.name, is_lora),
            Some(naming) => naming.rewrite(server.real_model(is_lora)),
        };
        real.map_or(self.model.asked(), |real| &real.name)
    }
}
