//! Serialization of the parts of a configuration for which serde's derived form is
//! unsuitable.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::duration::format;

/// In the form that manifests use, such as `90s`.
pub(super) fn duration<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*time))
}

pub(super) fn optional<S: Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => duration(time, serializer),
        None => serializer.serialize_none(),
    }
}

pub(super) fn statuses<S: Serializer>(
    statuses: &[StatusCode],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(statuses.len()))?;
    for status in statuses {
        list.serialize_element(&status.as_u16())?;
    }
    list.end()
}

/// As what it points to; serde's own needs its feature `rc`.
pub(super) fn shared<T: Serialize, S: Serializer>(
    value: &Arc<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    T::serialize(value, serializer)
}
