//! An object as it comes from the API server.

use std::{borrow::Cow, fmt, marker::PhantomData};

use ::kube::{Resource, api::ObjectMeta, core::NamespaceResourceScope};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{kinds::Kind, lists::Seen};

/// The parts of an object that its kind keeps. The others are not even read into memory: of a Pod,
/// they are most of it.
#[derive(Clone, Debug)]
pub(super) struct Object<K> {
    /// Name, namespace, uid and version, which a watch needs.
    meta: ObjectMeta,
    parts: Map<String, Value>,
    kind: PhantomData<K>,
}

impl<K: Kind> Object<K> {
    /// `NAMESPACE/NAME`.
    pub(super) fn name(&self) -> Box<str> {
        let namespace = self.meta.namespace.as_deref().unwrap_or_default();
        let name = self.meta.name.as_deref().unwrap_or_default();
        format!("{namespace}/{name}").into()
    }

    /// What is kept of it.
    pub(super) fn seen(mut self) -> Seen {
        K::trim(&mut self.parts);
        // The items of a list don't say what they are.
        let version = Self::api_version(&()).into_owned();
        self.parts.insert("apiVersion".to_owned(), version.into());
        self.parts.insert("kind".to_owned(), K::KIND.into());
        Seen {
            name: self.name(),
            uid: self.meta.uid.take().unwrap_or_default().into(),
            text: Value::Object(self.parts).to_string().into(),
        }
    }
}

impl<K: Kind> Resource for Object<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        K::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        K::VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

impl<'de, K: Kind> Deserialize<'de> for Object<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Parts(PhantomData))
    }
}

struct Parts<K>(PhantomData<K>);

impl<'de, K: Kind> Visitor<'de> for Parts<K> {
    type Value = Object<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}", K::KIND)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<K>, A::Error> {
        let mut parts = Map::new();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == "metadata" || K::PARTS.contains(&&*name) {
                parts.insert(name.into_owned(), map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let metadata = parts.get("metadata");
        let metadata = metadata.ok_or_else(|| A::Error::missing_field("metadata"))?;
        let text = |name| Some(metadata.get(name)?.as_str()?.to_owned());
        let meta = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Object {
            meta,
            parts,
            kind: PhantomData,
        })
    }
}
