//! A message as it was on the wire.

/// Text is Latin-1: one character for each byte.
#[derive(Clone, Debug)]
pub struct Message {
    /// The request line or the status line.
    pub start: String,
    pub fields: Vec<(String, String)>,
    pub framing: Framing,
    /// As far as it has been read.
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Whether the body has come to the end that its framing gives it.
    pub complete: bool,
}

/// What says where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    Length(usize),
    Chunked,
    Close,
}

/// What is read: how a body ends depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request,
    Answer,
    AnswerToHead,
}

impl Message {
    pub fn status(&self) -> u16 {
        let code = self.start.split(' ').nth(1).expect("a status line");
        code.parse().expect("a status")
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The values of the fields of this name, in their order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
            .collect()
    }

    /// The fields but those of these names, by name; fields of one name keep their order.
    ///
    /// What a gateway makes up is left out: its own `Via`, and the id of a request without one.
    pub fn fields_but(&self, names: &[&str]) -> Vec<String> {
        let mut fields: Vec<_> = self
            .fields
            .iter()
            .filter(|(name, _)| !names.iter().any(|but| name.eq_ignore_ascii_case(but)))
            .filter(|(name, value)| match &*name.to_ascii_lowercase() {
                "via" => !value.contains(" tmr-"),
                "x-request-id" => value.len() != 32,
                _ => true,
            })
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        fields
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    /// The trailers, each as a line.
    pub fn trailer_lines(&self) -> Vec<String> {
        let trailers = self.trailers.iter();
        trailers
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    pub fn text(&self) -> String {
        latin1(&self.body)
    }

    /// The body, without the `request_id` of an error, which must be that of the head.
    pub fn json(&self) -> serde_json::Value {
        let mut json: serde_json::Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"));
        let id = json
            .as_object_mut()
            .and_then(|map| map.remove("request_id"));
        if let Some(id) = id {
            assert_eq!(id.as_str(), self.field("x-request-id"));
        }
        json
    }

    /// The `code` of a JSON error.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
