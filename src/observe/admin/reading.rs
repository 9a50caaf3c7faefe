//! How the layer reads requests.

use std::sync::Arc;

use crate::{
    config::WithoutModel,
    model::{ExtractModel, ModelSources},
    observe::explain::AsLayer,
    wire::Admission,
};

/// What explanations have to know of the layer.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) admission: Admission,
    pub(super) extract: Arc<dyn ExtractModel>,
    /// In place of the table's.
    pub(super) without_model: Option<WithoutModel>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            admission: Admission::default(),
            extract: Arc::new(ModelSources::standard()),
            without_model: None,
        }
    }
}

impl Reading {
    pub(super) fn as_layer(&self) -> AsLayer<'_> {
        AsLayer {
            admission: &self.admission,
            extract: &*self.extract,
            without_model: self.without_model.as_ref(),
        }
    }
}
