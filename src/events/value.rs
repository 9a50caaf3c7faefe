use super::{
    event_error::EventError,
    json::{Found, Json},
    template::Holes,
    usage::Usage,
};

/// The JSON value of the event that is read.
///
/// It is in a box while something of it has been read: most streams that wait do so between two
/// events, and most events are told by a template.
#[derive(Clone, Debug, Default)]
pub(super) struct Value {
    json: Option<Box<Json>>,
    /// Where the event begins.
    begin: u64,
    /// What has been reported so far, but for that of `json`, which begins with this.
    usage: Usage,
}

impl Value {
    /// Before the next value, of an event that begins at `offset`. Only the usage stays.
    pub(super) fn begin(&mut self, offset: u64) {
        self.begin = offset;
        if let Some(json) = &mut self.json {
            json.begin(offset);
        }
    }

    /// Nothing has been read since, but the event begins at `offset`.
    #[inline]
    pub(super) fn begin_at(&mut self, offset: u64) {
        self.begin = offset;
        if let Some(json) = &mut self.json {
            json.begin_at(offset);
        }
    }

    /// Nothing follows for now.
    #[inline]
    pub(super) fn rest(&mut self) {
        if let Some(json) = self.json.take_if(|json| json.is_empty()) {
            self.usage = json.usage;
        }
    }

    fn json(&mut self) -> &mut Json {
        let Self { json, begin, usage } = self;
        json.get_or_insert_with(|| Box::new(Json::new(*begin, *usage)))
    }

    /// See [`Json::newline`].
    pub(super) fn newline(&mut self) {
        self.json().newline();
    }

    /// See [`Json::feed`].
    pub(super) fn feed(&mut self, bytes: &[u8], offset: u64) {
        self.json().feed(bytes, offset);
    }

    /// See [`Json::feed_one`].
    pub(super) fn feed_one(&mut self, bytes: &[u8], offset: u64) -> usize {
        self.json().feed_one(bytes, offset)
    }

    /// Whether nothing of a value has been read.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.json.as_ref().is_none_or(|json| json.is_empty())
    }

    /// See [`Json::is_whole`].
    pub(super) fn is_whole(&self) -> bool {
        self.json.as_ref().is_some_and(|json| json.is_whole())
    }

    /// See [`Json::is_ended`].
    pub(super) fn is_ended(&self) -> bool {
        self.json.as_ref().is_some_and(|json| json.is_ended())
    }

    /// What has been seen of it.
    pub(super) fn found(&self) -> &Found {
        self.json
            .as_ref()
            .map_or(&Found::NOTHING, |json| &json.found)
    }

    pub(super) fn take_error(&mut self) -> Option<Box<EventError>> {
        self.json.as_mut()?.found.error.take()
    }

    pub(super) fn holes(&self) -> &Holes {
        self.json.as_ref().map_or(&Holes::NONE, |json| &json.holes)
    }

    pub(super) fn usage(&self) -> &Usage {
        self.json.as_ref().map_or(&self.usage, |json| &json.usage)
    }

    #[inline]
    pub(super) fn usage_mut(&mut self) -> &mut Usage {
        match &mut self.json {
            Some(json) => &mut json.usage,
            None => &mut self.usage,
        }
    }
}
