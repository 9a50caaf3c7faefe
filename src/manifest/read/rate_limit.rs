//! A route's `rateLimit`, which nothing enforces.

use super::{
    fields::{Field, Reader},
    kthena,
};

/// The code of the warning: who counts on a limit should not find out by the bill.
pub(crate) const NOT_ENFORCED: &str = "rate-limit-not-enforced";

pub(super) fn read(field: &Field<'_>, reader: &mut Reader<'_>) {
    const LIMIT: [&str; 4] = [
        "inputTokensPerUnit",
        "outputTokensPerUnit",
        "unit",
        "global",
    ];
    let spot = field.spot(reader);
    let message = "limits on tokens are not acted on: nothing is limited";
    reader.warning(&spot, NOT_ENFORCED, message);
    let Some(limit) = field.object(reader, &LIMIT) else {
        return;
    };
    for name in &LIMIT[..2] {
        if let Some(field) = limit.get(name) {
            field.number(reader, 1, u32::MAX.into());
        }
    }
    if let Some(field) = limit.get("unit") {
        field.one_of(reader, &["second", "minute", "hour", "day", "month"]);
    }
    if let Some(global) = limit.get("global")
        && let Some(global) = global.object(reader, &["redis"])
        && let Some(redis) = global.get("redis")
        && let Some(redis) = redis.object(reader, &["address", "password"])
    {
        kthena::required(&redis, "address", reader);
        if let Some(address) = redis.get("address") {
            address.text(reader);
        }
    }
}
