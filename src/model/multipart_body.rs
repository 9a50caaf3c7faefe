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
/// It is found while the body arrives and rewritten in place; boundaries and
/// files stay as they are. A client that sends the model in front of the file
/// is routed before the file has been sent. Where parsers of multipart
/// disagree, the body is refused with 400 `invalid_multipart`.
///
/// Requests of another Content-Type name no model here.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct MultipartBody {
    duplicates: DuplicateModels,
}

impl MultipartBody {
    /// Refuses duplicates.
    pub fn new() -> Self {
        Self::default()
    }

    /// The treatment of a second field named `model`.
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
