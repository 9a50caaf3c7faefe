//! Which engine keeps what a client can ask for later.

use std::time::Duration;

use super::mistake::MistakeKind;
#[cfg(feature = "serde")]
use super::serial;

/// How long the gateway remembers which engine keeps a response, a file, a
/// batch or a video.
///
/// Engines keep these in their own memory, so only the one that made them can continue, show,
/// cancel or delete them. Their ids are read from the answers to `POST .../responses`, `.../files`,
/// `.../batches`, `.../videos`, `.../meshes` and `.../interactions`, and those of a batch's output
/// when the batch is fetched. A request that names such an id goes where it was made:
///
/// - in its path, such as `GET /v1/responses/{id}`, `/v1/responses/{id}/cancel`,
///   `/v1/files/{id}/content` or `/v1/batches/{id}`. Such a request names no model, and is routed
///   as one for the model that the object was made with: `authorize` and the limits see that model;
/// - in its body, as the `previous_response_id` of a response, the `previous_interaction_id` of an
///   interaction or the `input_file_id` of a batch. It is routed by its model; among the targets of
///   its rule, the engine is chosen that keeps the id.
///
/// If the engine is full ([`max_in_flight`](crate::TrafficPolicy::max_in_flight)), such a request
/// waits for it if there is a queue ([`max_queue`](crate::TrafficPolicy::max_queue)), or is
/// answered with 503: no other engine can serve it. If the engine is gone, drained, or out of
/// service, or the id is not known (or not any more, or only to another gateway), the request goes
/// where it would go without the id, and the engine there says that it doesn't know it. For an id
/// in the path, that is where [`without_model`](crate::RouteTableBuilder::without_model) says.
///
/// Only a hash of each id is kept, with names that the table also has: about 80 bytes each. What is
/// known survives reloads. It is on by default and costs nothing on other paths.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[must_use]
pub struct EngineState {
    is_on: bool,
    max_ids: usize,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::duration"))]
    kept_for: Duration,
}

impl Default for EngineState {
    fn default() -> Self {
        Self {
            is_on: true,
            max_ids: 65_536,
            kept_for: Duration::from_secs(24 * 3600),
        }
    }
}

impl EngineState {
    /// The default: on, for 65,536 ids and a day.
    pub fn new() -> Self {
        Self::default()
    }

    /// No id is remembered or looked for.
    pub fn off() -> Self {
        Self {
            is_on: false,
            ..Self::default()
        }
    }

    /// The most ids that are remembered, 65,536 by default; the least recently used are dropped
    /// first.
    pub fn max_ids(mut self, max: usize) -> Self {
        self.max_ids = max;
        self
    }

    /// For how long an id is remembered after it was last seen or requested; a day by default.
    pub fn kept_for(mut self, time: Duration) -> Self {
        self.kept_for = time;
        self
    }

    /// Whether ids are remembered.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// The most ids that are remembered.
    pub fn get_max_ids(&self) -> usize {
        self.max_ids
    }

    /// For how long an id is remembered.
    pub fn get_kept_for(&self) -> Duration {
        self.kept_for
    }

    pub(crate) fn mistakes(&self) -> impl Iterator<Item = MistakeKind> {
        let ids = (self.max_ids == 0).then_some(MistakeKind::ZeroLimit);
        let time = self.kept_for.is_zero().then_some(MistakeKind::ZeroTime);
        ids.into_iter().chain(time)
    }
}
