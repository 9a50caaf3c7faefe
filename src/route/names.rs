//! The names that requests ask for, and the rules that each leads to.
//!
//! With many routes, what a look-up costs is the lines of memory that it touches. So the names lie
//! in one text, and an entry is 20 bytes, in which stands all that a simple route needs: of 10,000
//! names that are asked for in turn, one costs 15 ns more than one name again and again, where
//! entries of 32 bytes with an `Arc<str>` and a look at the rule cost 60 more.

use std::{
    hash::{BuildHasher, Hasher},
    ops::Range,
};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table};

/// The names of models and of adapters.
#[derive(Clone, Default)]
pub(super) struct Names {
    /// One after the other.
    text: String,
    models: HashTable<Entry>,
    adapters: HashTable<Entry>,
    hasher: DefaultHashBuilder,
}

/// The kind of a name: how a route is found by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    Adapter,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) rules: Run,
}

/// A name, as its place in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    start: u32,
    len: u32,
}

/// Where the rules of a name's routes are stored, in the order of the routes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    /// This one of [`CompiledRoutes::rules`](super::routes::CompiledRoutes::rules), which has no
    /// condition and one target, the ModelServer at this position.
    One { rule: u32, server: u32 },
    /// From the first up to the second: the name has one route.
    Rules(u32, u32),
    /// A position in [`CompiledRoutes::shared`](super::routes::CompiledRoutes::shared): several
    /// routes share the name.
    Shared(u32),
}

impl Names {
    pub(super) fn get(&self, kind: Kind, name: &str) -> Option<&Entry> {
        let all = match kind {
            Kind::Model => &self.models,
            Kind::Adapter => &self.adapters,
        };
        let text = self.text.as_bytes();
        all.find(self.hash(name), |entry| {
            text.get(entry.name.range()) == Some(name.as_bytes())
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let mut kinds = [Kind::Model, Kind::Adapter].into_iter();
        kinds.any(|kind| self.get(kind, name).is_some())
    }

    /// Makes this name lead to `run`; if it is there already, its entry.
    pub(super) fn add(&mut self, kind: Kind, name: &str, run: Run) -> Option<&mut Entry> {
        let hash = self.hash(name);
        let all = match kind {
            Kind::Model => &mut self.models,
            Kind::Adapter => &mut self.adapters,
        };
        let (text, hasher) = (&mut self.text, &self.hasher);
        let found = all.entry(
            hash,
            |entry| entry.name.of(text) == name,
            |entry| hash_of(hasher, entry.name.of(text)),
        );
        match found {
            hash_table::Entry::Occupied(entry) => Some(entry.into_mut()),
            hash_table::Entry::Vacant(entry) => {
                let (start, len) = (index(text.len()), index(name.len()));
                text.push_str(name);
                let name = Name { start, len };
                entry.insert(Entry { name, rules: run });
                None
            }
        }
    }

    pub(super) fn text(&self, name: Name) -> &str {
        name.of(&self.text)
    }

    fn hash(&self, name: &str) -> u64 {
        hash_of(&self.hasher, name)
    }
}

impl Name {
    fn of(self, text: &str) -> &str {
        text.get(self.range()).unwrap_or_default()
    }

    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

fn hash_of(hasher: &DefaultHashBuilder, name: &str) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// Positions in a table are 32 bits wide; more would not fit into memory.
pub(super) fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_keeps_its_size() {
        assert_eq!(size_of::<Entry>(), 20);
    }

    proptest! {
        /// Names that are alike, empty, or the end of one and the beginning of the next.
        #[test]
        fn each_name_leads_where_it_was_first_made_to(
            names in prop::collection::vec(("[ab\u{e9}]{0,3}", any::<bool>()), 0..60),
        ) {
            let kind = |is_model| if is_model { Kind::Model } else { Kind::Adapter };
            let (mut map, mut first) = (Names::default(), HashMap::new());
            for (position, (name, is_model)) in names.iter().enumerate() {
                let known = map.add(kind(*is_model), name, Run::Shared(index(position)));
                prop_assert_eq!(known.is_some(), first.contains_key(&(&**name, *is_model)));
                first.entry((&**name, *is_model)).or_insert(position);
            }
            for name in names.iter().map(|(name, _)| &**name).chain(["", "a", "ba", "c"]) {
                for is_model in [true, false] {
                    let found = map.get(kind(is_model), name);
                    let at = found.map(|entry| match entry.rules {
                        Run::Shared(position) => (map.text(entry.name), position as usize),
                        _ => unreachable!(),
                    });
                    let expected = first.get(&(name, is_model));
                    prop_assert_eq!(at, expected.map(|position| (name, *position)));
                }
            }
        }
    }
}
