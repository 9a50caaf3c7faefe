//! Finds which model a request asks for, and where the request names it.

mod beside;
#[cfg(feature = "admin")]
mod body_naming;
mod choose;
mod duplicates;
mod extract;
mod extraction;
mod found;
mod head;
mod json;
mod json_body;
mod keys;
mod media_type;
mod model_name;
mod multipart;
mod multipart_body;
mod params;
mod paths;
mod relation;
mod scan;
mod sources;

#[cfg(feature = "admin")]
pub(crate) use self::body_naming::body_naming;
pub use self::{
    duplicates::DuplicateModels,
    extract::{ExtractModel, MapName},
    extraction::{ExtractedModel, Extraction},
    head::{HeaderModel, PathModel, QueryModel},
    json_body::JsonBody,
    model_name::ModelName,
    multipart_body::MultipartBody,
    sources::ModelSources,
};
pub(crate) use self::{
    extract::has_body,
    extraction::{InBody, Location, Plan, Written},
    keys::{
        BLOCK, BodyKeys, NeededKeys, ask_for_usage, hash, id, id_in_body, id_in_path, is_empty,
        makes_ids, may_name_id,
    },
    media_type::is_plain_json,
    paths::{has_method, is_below_model},
    scan::Scan,
};
#[cfg(fuzzing)]
pub(crate) use self::{json::fuzz_json, multipart::fuzz_multipart};
