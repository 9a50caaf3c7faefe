//! The model that a request asks for, as the choice of its endpoint sees it.

use crate::model::ExtractedModel;

/// The model that engines are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    name: &'a str,
    is_adapter: bool,
    /// Whether it is sent as it is: it does not become the ModelServer's own name of its model.
    is_fixed: bool,
}

/// The same, as one ModelServer's engines are asked for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought<'a> {
    pub(super) name: &'a str,
    pub(super) is_adapter: bool,
}

/// The same, for longer than the request's head is there.
#[derive(Debug)]
pub(super) struct Kept {
    name: Box<str>,
    is_adapter: bool,
    is_fixed: bool,
}

impl<'a> Wanted<'a> {
    /// This name, which is that of an adapter or of a model.
    pub(crate) fn named(name: &'a str, is_adapter: bool) -> Self {
        Self {
            name,
            is_adapter,
            is_fixed: is_adapter,
        }
    }

    /// This name, whatever the ModelServer says.
    pub(crate) fn fixed(name: &'a str, is_adapter: bool) -> Self {
        Self {
            is_fixed: true,
            ..Self::named(name, is_adapter)
        }
    }

    /// What a request asks for; `is_adapter` if it was found by an adapter's name.
    pub(crate) fn of(model: &'a ExtractedModel, is_adapter: bool) -> Self {
        let aliases = model.aliases.as_deref();
        match aliases.and_then(|aliases| aliases.engine.as_deref()) {
            _ if !model.has_place() => Self::fixed(model.asked(), is_adapter),
            Some(engine) => Self::fixed(engine, is_adapter),
            None => Self::named(&model.name, is_adapter),
        }
    }

    /// The name for engines of a ModelServer with its `own` name for the model.
    pub(super) fn of_server(self, own: Option<&'a str>) -> Sought<'a> {
        Sought {
            name: own.filter(|_| !self.is_fixed).unwrap_or(self.name),
            is_adapter: self.is_adapter,
        }
    }

    pub(super) fn keep(self) -> Kept {
        Kept {
            name: self.name.into(),
            is_adapter: self.is_adapter,
            is_fixed: self.is_fixed,
        }
    }
}

impl Kept {
    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            name: &self.name,
            is_adapter: self.is_adapter,
            is_fixed: self.is_fixed,
        }
    }
}
