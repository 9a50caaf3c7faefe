//! The field `model` of a multipart body.

use http::{header::CONTENT_TYPE, request::Parts};

use super::{
    duplicates::DuplicateModels,
    extract::{ExtractModel, has_body},
    extraction::{Extraction, Plan},
    multipart,
};
use crate::error::{RouteError, RouteErrorKind};

/// The field `model` of a `multipart/form-data` body: audio transcriptions, image edits.
///
/// The field is found while the body arrives, and rewritten in place; boundaries
/// and files are left unchanged. If a client sends the model before the file, the
/// request is routed before the file has been received. A body that multipart
/// parsers would read differently is refused with 400 `invalid_multipart`.
///
/// This extractor ignores requests with another Content-Type.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct MultipartBody {
    duplicates: DuplicateModels,
}

impl MultipartBody {
    /// Reads the field `model`, and refuses bodies that have it twice.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how a second field named `model` is treated; by default it is refused.
    pub fn duplicates(mut self, duplicates: DuplicateModels) -> Self {
        self.duplicates = duplicates;
        self
    }
}

impl ExtractModel for MultipartBody {
    fn begin(&self, head: &Parts) -> Extraction {
        let Some(content_type) = head.headers.get(CONTENT_TYPE).filter(|_| has_body(head)) else {
            return Extraction::none();
        };
        match multipart::boundary(content_type.as_bytes()) {
            Ok(None) => Extraction::none(),
            Ok(Some(boundary)) => Extraction(Plan::Multipart(boundary, self.duplicates)),
            Err(_) => Extraction::refused(RouteError::new(
                RouteErrorKind::InvalidMultipart,
                "the Content-Type is multipart/form-data without a valid boundary",
            )),
        }
    }
}
