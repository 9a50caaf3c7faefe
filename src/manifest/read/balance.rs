//! The annotation `balance` of a ModelServer.

use super::fields::{Field, Reader};
use crate::config::{Balance, ConsistentHash, HashKey, PrefixCache, PrefixHash, Spill};

const KEYS: &str = "keys";
const BYTES: &str = "bytes";
const ENTRIES: &str = "entries";
const SPILL: &str = "spill";

/// One of the names of [`Balance`], or one of those that have options.
pub(super) fn read(root: &Field<'_>, reader: &mut Reader<'_>) -> Option<Balance> {
    if !root.is_mapping() {
        let name = root.one_of(reader, &Balance::PLAIN.map(|balance| balance.name()))?;
        return Balance::PLAIN
            .into_iter()
            .find(|plain| plain.name() == name);
    }
    let object = root.object(reader, &["ConsistentHash", "PrefixHash", "PrefixCache"])?;
    let given = ["ConsistentHash", "PrefixHash", "PrefixCache"].map(|name| object.get(name));
    match given {
        [Some(field), None, None] => consistent_hash(&field, reader).map(Balance::ConsistentHash),
        [None, Some(field), None] => prefix_hash(&field, reader).map(Balance::PrefixHash),
        [None, None, Some(field)] => prefix_cache(&field, reader).map(Balance::PrefixCache),
        _ => {
            let spot = root.spot(reader);
            let message = "it is one of ConsistentHash, PrefixHash and PrefixCache";
            reader.error(&spot, "invalid-value", message);
            None
        }
    }
}

fn prefix_cache(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<PrefixCache> {
    let object = field.object(reader, &[ENTRIES])?;
    let cache = PrefixCache::new();
    match object.get(ENTRIES) {
        Some(field) => {
            let most = PrefixCache::MOST_ENTRIES.into();
            Some(cache.entries(field.number(reader, 1, most)? as u32))
        }
        None => Some(cache),
    }
}

/// A key, a list of keys, or either with a spill.
fn consistent_hash(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<ConsistentHash> {
    let is_given = |name| {
        let object = field.loose_mapping();
        object.is_some_and(|object| object.get(name).is_some())
    };
    if !is_given(KEYS) && !is_given(SPILL) {
        return keys(field, reader);
    }
    let object = field.object(reader, &[KEYS, SPILL])?;
    let Some(given) = object.get(KEYS) else {
        let spot = object.spot_of(reader, KEYS);
        reader.error(&spot, "missing-field", "there are no keys to hash");
        return None;
    };
    let hash = keys(&given, reader)?;
    match object.get(SPILL) {
        Some(field) => Some(hash.spill(spill(&field, reader)?)),
        None => Some(hash),
    }
}

fn keys(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<ConsistentHash> {
    if !field.is_list() {
        return hash_key(field, reader).map(ConsistentHash::by);
    }
    let fields = field.list(reader);
    let keys = fields.iter().map(|field| hash_key(field, reader));
    let keys: Vec<HashKey> = keys.collect::<Option<_>>()?;
    let mut keys = keys.into_iter();
    let Some(first) = keys.next() else {
        let spot = field.spot(reader);
        reader.error(&spot, "invalid-value", "there are no keys to hash");
        return None;
    };
    Some(keys.fold(ConsistentHash::by(first), ConsistentHash::or_by))
}

fn hash_key(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<HashKey> {
    if !field.is_mapping() {
        let name = field.one_of(reader, &HashKey::PLAIN.map(|key| key.name()))?;
        return HashKey::PLAIN
            .into_iter()
            .find(|plain| plain.name() == name);
    }
    let kinds = HashKey::NAMED.map(|(kind, _)| kind);
    let object = field.object(reader, &kinds)?;
    let mut given = HashKey::NAMED.iter();
    let given = given.find_map(|(kind, make)| Some((*kind, object.get(kind)?, make)));
    let Some((kind, field, make)) = given else {
        let spot = object.spot_of(reader, kinds[0]);
        reader.error(&spot, "missing-field", "there is no Header to hash");
        return None;
    };
    let name = match kind {
        "Header" => field.header_name(reader)?,
        _ => field.text(reader)?,
    };
    Some(make(name.to_owned()))
}

/// A number of bytes, or that with a spill.
fn prefix_hash(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<PrefixHash> {
    let most = u32::MAX.into();
    if !field.is_mapping() {
        let bytes = field.number(reader, 1, most)?;
        return Some(PrefixHash::of(bytes as usize));
    }
    let object = field.object(reader, &[BYTES, SPILL])?;
    let Some(bytes) = object.get(BYTES) else {
        let spot = object.spot_of(reader, BYTES);
        reader.error(&spot, "missing-field", "it does not say how many bytes");
        return None;
    };
    let prefix = PrefixHash::of(bytes.number(reader, 1, most)? as usize);
    match object.get(SPILL) {
        Some(field) => Some(prefix.spill(spill(&field, reader)?)),
        None => Some(prefix),
    }
}

fn spill(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<Spill> {
    if !field.is_mapping() {
        field.one_of(reader, &["Never"])?;
        return Some(Spill::Never);
    }
    let object = field.object(reader, &["AboveRequests", "AboveTokens"])?;
    match (object.get("AboveRequests"), object.get("AboveTokens")) {
        (Some(field), None) => {
            let requests = field.number(reader, 0, u32::MAX.into())?;
            Some(Spill::AboveRequests(requests as u32))
        }
        (None, Some(field)) => {
            let tokens = field.number(reader, 0, u64::MAX)?;
            Some(Spill::AboveTokens(tokens))
        }
        _ => {
            let spot = field.spot(reader);
            let message = "it is either AboveRequests or AboveTokens";
            reader.error(&spot, "invalid-value", message);
            None
        }
    }
}
