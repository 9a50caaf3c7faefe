//! The known objects, and what was read from them.

use std::{collections::BTreeMap, mem, sync::Arc};

use twox_hash::XxHash3_64;

use crate::manifest::ReadObject;

/// An object that has come: its name, and what is kept of it, as JSON.
#[derive(Debug)]
pub(super) struct Seen {
    /// `NAMESPACE/NAME`.
    pub(super) name: Box<str>,
    pub(super) uid: Box<str>,
    pub(super) text: Arc<str>,
}

/// What a watch tells of its list.
#[derive(Debug)]
pub(super) enum Change {
    /// It is told anew, from the first object to the last.
    Begins,
    Listed(Seen),
    /// The new list counts from now on: what is not in it is gone.
    Ends,
    Applied(Seen),
    Deleted(Box<str>),
}

/// The objects of one kind in one namespace, or in all.
#[derive(Debug)]
pub(super) struct List {
    kind: &'static str,
    /// In the order of their names, so that all replicas make the same table of them.
    objects: Objects,
    /// The new list, until it is whole.
    coming: Option<Objects>,
    is_in: bool,
}

type Objects = BTreeMap<Box<str>, Kept>;

#[derive(Clone, Debug)]
struct Kept {
    /// Of its text: what comes again as it was is nothing new.
    digest: u64,
    uid: Box<str>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Unread(Arc<str>),
    Read(Arc<ReadObject>),
}

/// What tells two lists apart.
fn digests(objects: &Objects) -> impl Iterator<Item = (&str, u64)> {
    let objects = objects.iter();
    objects.map(|(name, kept)| (&**name, kept.digest))
}

impl List {
    pub(super) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            objects: Objects::new(),
            coming: None,
            is_in: false,
        }
    }

    /// Whether it was whole once; from then on it never is empty by an error.
    pub(super) fn is_in(&self) -> bool {
        self.is_in
    }

    /// Whether this makes a difference.
    pub(super) fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Begins => {
                self.coming = Some(Objects::new());
                false
            }
            Change::Listed(seen) => {
                let kept = self.kept(&seen);
                let coming = self.coming.get_or_insert_default();
                coming.insert(seen.name, kept);
                false
            }
            Change::Ends => self.end(),
            Change::Applied(seen) => {
                let kept = self.kept(&seen);
                let digest = kept.digest;
                let before = self.objects.insert(seen.name, kept);
                before.is_none_or(|before| before.digest != digest)
            }
            Change::Deleted(name) => self.objects.remove(&name).is_some(),
        }
    }

    fn end(&mut self) -> bool {
        let coming = self.coming.take().unwrap_or_default();
        let before = mem::replace(&mut self.objects, coming);
        let is_first = !mem::replace(&mut self.is_in, true);
        is_first || !digests(&before).eq(digests(&self.objects))
    }

    fn kept(&self, seen: &Seen) -> Kept {
        let digest = XxHash3_64::oneshot(seen.text.as_bytes());
        let before = self.objects.get(&seen.name);
        let same = before.filter(|before| before.digest == digest);
        Kept {
            digest,
            uid: seen.uid.clone(),
            content: match same {
                Some(before) => before.content.clone(),
                None => Content::Unread(Arc::clone(&seen.text)),
            },
        }
    }

    /// Whether some object has not been read yet.
    pub(super) fn has_unread(&self) -> bool {
        let mut objects = self.objects.values();
        objects.any(|kept| matches!(kept.content, Content::Unread(_)))
    }

    /// Reads what has not been read yet.
    pub(super) fn read(&mut self) {
        for (name, kept) in &mut self.objects {
            if let Content::Unread(text) = &kept.content {
                let name = format!("{} {name}", self.kind);
                let object = serde_json::from_str(text).unwrap_or_default();
                kept.content = Content::Read(Arc::new(ReadObject::new(&name, &object)));
            }
        }
    }

    /// What has been read.
    pub(super) fn objects(&self) -> impl Iterator<Item = &ReadObject> {
        self.objects
            .values()
            .filter_map(|kept| match &kept.content {
                Content::Read(object) => Some(&**object),
                Content::Unread(_) => None,
            })
    }

    /// The uid of the object that messages call so.
    pub(super) fn uid(&self, called: &str) -> Option<&str> {
        let name = called.strip_prefix(self.kind)?.strip_prefix(' ')?;
        Some(&self.objects.get(name)?.uid)
    }
}
