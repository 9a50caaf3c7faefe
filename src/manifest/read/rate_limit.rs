//! A route's `rateLimit`, and the annotations for what Kthena's schema lacks.

use super::{
    embedded::Embedded,
    fields::{Field, Object, Reader},
    kthena,
};
use crate::{
    config::{LimitKey, LimitUnit, MistakeKind, Per, RateLimit, StoreFailure, is_address},
    manifest::place::Spot,
};

/// The annotation with further limits.
pub(crate) const LIMITS: &str = "limits";
/// The annotation with options of `rateLimit`.
pub(crate) const RATE_LIMIT: &str = "rate-limit";

const OBSERVE_ONLY: &str = "observeOnly";
const KTHENA_KEYS: &str = "kthenaKeys";
const ON_STORE_FAILURE: &str = "onStoreFailure";

/// A limit and where it is.
pub(crate) type Placed = (RateLimit, Spot);

/// What the annotations say of limits.
#[derive(Debug, Default)]
pub(crate) struct LimitAnnotations {
    /// Options of `rateLimit`.
    own: Options,
    further: Vec<Placed>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Options {
    observe_only: Option<bool>,
    kthena_keys: Option<bool>,
    on_store_failure: Option<StoreFailure>,
}

impl Options {
    const KEYS: [&'static str; 3] = [OBSERVE_ONLY, KTHENA_KEYS, ON_STORE_FAILURE];

    fn read(object: &Object<'_>, reader: &mut Reader<'_>) -> Self {
        let mut flag = |key| object.get(key).and_then(|field| field.flag(reader));
        let (observe_only, kthena_keys) = (flag(OBSERVE_ONLY), flag(KTHENA_KEYS));
        let failure = object.get(ON_STORE_FAILURE);
        let failure = failure
            .and_then(|field| field.one_of(reader, &StoreFailure::ALL.map(StoreFailure::name)));
        Self {
            observe_only,
            kthena_keys,
            on_store_failure: failure.and_then(StoreFailure::named),
        }
    }

    fn apply(self, mut limit: RateLimit) -> RateLimit {
        if let Some(observes) = self.observe_only {
            limit = limit.observe_only(observes);
        }
        if let Some(uses) = self.kthena_keys {
            limit = limit.kthena_keys(uses);
        }
        if let Some(what) = self.on_store_failure {
            limit = limit.on_store_failure(what);
        }
        limit
    }
}

impl LimitAnnotations {
    pub(super) fn read_own(&mut self, annotation: &Field<'_>, reader: &mut Reader<'_>) {
        if let Some(text) = Embedded::parse(annotation, reader)
            && let Some(object) = text.root().object(reader, &Options::KEYS)
        {
            self.own = Options::read(&object, reader);
        }
    }

    pub(super) fn read_further(&mut self, annotation: &Field<'_>, reader: &mut Reader<'_>) {
        if let Some(text) = Embedded::parse(annotation, reader) {
            let items = text.root().list(reader);
            self.further = items
                .into_iter()
                .filter_map(|item| further(&item, reader))
                .collect();
        }
    }

    /// The limits of a route, those of `rateLimit` first.
    pub(super) fn with(self, field: Option<Field<'_>>, reader: &mut Reader<'_>) -> Vec<Placed> {
        let mut limits = match field {
            Some(field) => rate_limit(&field, self.own, reader),
            None => Vec::new(),
        };
        limits.extend(self.further);
        limits
    }
}

/// Kthena's own.
fn rate_limit(field: &Field<'_>, options: Options, reader: &mut Reader<'_>) -> Vec<Placed> {
    const INPUT: &str = "inputTokensPerUnit";
    const OUTPUT: &str = "outputTokensPerUnit";
    let Some(object) = field.object(reader, &[INPUT, OUTPUT, "unit", "global"]) else {
        return Vec::new();
    };
    let unit = object.get("unit");
    let unit = unit.and_then(|field| field.one_of(reader, &Per::ALL.map(Per::name)));
    let per = unit.and_then(Per::named).unwrap_or_default();
    let global = object.get("global");
    let redis = global.and_then(|field| redis(&field, reader));
    let redis = redis.map(|field| address(&field, reader));
    let mut limits = Vec::new();
    for (name, of) in [
        (INPUT, LimitUnit::InputTokens),
        (OUTPUT, LimitUnit::OutputTokens),
    ] {
        let Some(field) = object.get(name) else {
            continue;
        };
        if let Some(amount) = field.number(reader, 1, u32::MAX.into()) {
            let limit = options.apply(RateLimit::of(of, amount, per));
            let limit = match &redis {
                None => limit,
                Some(Some(address)) => limit.redis(address),
                // Said once, and not again of each limit.
                Some(None) => continue,
            };
            limits.push((limit, field.spot(reader)));
        }
    }
    if object.get(INPUT).is_none() && object.get(OUTPUT).is_none() {
        let spot = field.spot(reader);
        let message = format!("it has neither {INPUT} nor {OUTPUT}, and so limits nothing");
        reader.warning(&spot, "limits-nothing", message);
    }
    limits
}

/// The field with its address.
fn redis<'n>(global: &Field<'n>, reader: &mut Reader<'_>) -> Option<Field<'n>> {
    let redis = global.object(reader, &["redis"])?.get("redis")?;
    let redis = redis.object(reader, &["address", "password"])?;
    if redis.get("address").is_none() {
        kthena::required(&redis, "address", reader);
    }
    if let Some(field) = redis.get("password") {
        let message = "passwords are not read from manifests: the program gives them (`Manifests::redis_password`)";
        reader.not_acted_on(&field, message);
    }
    redis.get("address")
}

/// The address of a Redis that can be connected to; `None` after an error.
fn address(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let text = field.text(reader)?;
    let mistake = match is_address(text) {
        false => MistakeKind::InvalidRedisAddress,
        true if cfg!(not(feature = "redis")) => MistakeKind::RedisNotBuilt,
        true => return Some(text.to_owned()),
    };
    let spot = field.spot(reader);
    reader.error(&spot, "invalid-configuration", mistake.to_string());
    None
}

/// One of the further limits.
fn further(item: &Field<'_>, reader: &mut Reader<'_>) -> Option<Placed> {
    const KEYS: [&str; 10] = [
        "unit",
        "limit",
        "per",
        "header",
        "key",
        "maxKeys",
        "redis",
        OBSERVE_ONLY,
        KTHENA_KEYS,
        ON_STORE_FAILURE,
    ];
    let object = item.object(reader, &KEYS)?;
    let mut needed = |name: &str| {
        let field = object.get(name);
        if field.is_none() {
            let spot = object.spot_of(reader, name);
            reader.error(&spot, "missing-field", format!("the limit has no {name}"));
        }
        field
    };
    let (unit, amount) = (needed("unit"), needed("limit"));
    let unit = unit?.one_of(reader, &LimitUnit::ALL.map(LimitUnit::name))?;
    let amount = amount?.number(reader, 0, u64::MAX)?;
    let per = match object.get("per") {
        Some(field) => Per::named(field.one_of(reader, &Per::ALL.map(Per::name))?)?,
        None => Per::default(),
    };
    let mut limit = RateLimit::of(LimitUnit::named(unit)?, amount, per);
    if let Some(field) = object.get("maxKeys")
        && let Some(keys) = field.number(reader, 0, u32::MAX.into())
    {
        limit = limit.max_keys(keys as usize);
    }
    let limit = Options::read(&object, reader).apply(limit);
    let keyed = keyed(limit, &object, reader);
    let redis = object.get("redis");
    let redis = redis.map(|field| address(&field, reader));
    let limit = match redis {
        Some(address) => keyed?.redis(address?),
        None => keyed?,
    };
    Some((limit, item.spot(reader)))
}

/// The limit with its key; `None` after an error: without a key it would be another one.
fn keyed(limit: RateLimit, object: &Object<'_>, reader: &mut Reader<'_>) -> Option<RateLimit> {
    let key = match (object.get("header"), object.get("key")) {
        (Some(field), None) => LimitKey::Header(field.header_name(reader)?.to_owned()),
        (None, Some(field)) => LimitKey::Named(field.text(reader)?.to_owned()),
        (Some(_), Some(field)) => {
            let spot = field.spot(reader);
            let message = "a limit goes by a header or by a key, not by both";
            reader.error(&spot, "invalid-value", message);
            return None;
        }
        (None, None) => return Some(limit),
    };
    Some(limit.key(key))
}
