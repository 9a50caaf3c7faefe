//! How the layer reads requests.

use std::sync::Arc;

use crate::{
    config::WithoutModel,
    model::{ExtractModel, ModelSources},
};

/// What explanations have to know of the layer.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) extract: Arc<dyn ExtractModel>,
    /// In place of the table's.
    pub(super) without_model: Option<WithoutModel>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            extract: Arc::new(ModelSources::standard()),
            without_model: None,
        }
    }
}
