//! The ids in the answer of an engine that keeps the objects it has made.

/// How much of an answer is looked at: engines write the id at its beginning.
const MOST: usize = 64 * 1024;
/// The longest text that is an id.
const LONGEST: usize = 256;

/// Reads the top-level `id`, `output_file_id` and `error_file_id` of the JSON in an answer, and the
/// `id` of a top-level `response` or `interaction`: of the one object, or of the first event that has it.
///
/// It looks at each byte once and keeps no more of them than one text.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    read: usize,
    /// The objects and lists that are open.
    depth: u32,
    in_string: bool,
    is_escaped: bool,
    /// The last string, up to one byte more than may be.
    text: Vec<u8>,
    /// The key whose value is being read.
    key: Key,
    is_value: bool,
    in_response: bool,
    /// Whether the id of the answer itself was read.
    has_own: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Key {
    Id,
    /// Of a batch.
    File,
    Response,
    #[default]
    Other,
}

impl Ids {
    /// Reads the next bytes; `each` is told of each id that ends in them.
    pub(crate) fn read(&mut self, data: &[u8], mut each: impl FnMut(&[u8])) {
        let left = MOST.saturating_sub(self.read);
        let data = data.get(..left).unwrap_or(data);
        self.read += data.len();
        for &byte in data {
            if self.in_string {
                self.in_text(byte, &mut each);
            } else {
                self.between(byte);
            }
        }
    }

    fn in_text(&mut self, byte: u8, each: &mut impl FnMut(&[u8])) {
        let is_end = byte == b'"' && !self.is_escaped;
        if !is_end {
            self.is_escaped = byte == b'\\' && !self.is_escaped;
            if self.text.len() <= LONGEST {
                self.text.push(byte);
            }
            return;
        }
        self.in_string = false;
        if self.is_value && self.is_wanted() {
            self.has_own |= self.key == Key::Id;
            each(&self.text);
        }
    }

    /// Whether the text that has ended is an id. One with an escape is none that engines make.
    fn is_wanted(&self) -> bool {
        let is_here = match self.key {
            Key::Id => !self.has_own && (self.depth == 1 || self.in_response && self.depth == 2),
            Key::File => self.depth == 1,
            Key::Response | Key::Other => false,
        };
        let text = &self.text;
        is_here && !text.is_empty() && text.len() <= LONGEST && !text.contains(&b'\\')
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b'"' if self.depth > 0 => {
                self.in_string = true;
                self.is_escaped = false;
                self.text.clear();
            }
            b':' if self.depth > 0 => {
                self.is_value = true;
                self.key = match &*self.text {
                    b"id" => Key::Id,
                    b"output_file_id" | b"error_file_id" => Key::File,
                    b"response" | b"interaction" if self.depth == 1 => Key::Response,
                    _ => Key::Other,
                };
            }
            b',' => self.is_value = false,
            b'{' | b'[' => {
                if self.depth == 1 {
                    self.in_response = byte == b'{' && self.is_value && self.key == Key::Response;
                }
                self.depth += 1;
                self.is_value = false;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.in_response &= self.depth > 1;
                self.is_value = false;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(answer: &str, by: usize) -> Vec<String> {
        let mut reader = Ids::default();
        let mut found = Vec::new();
        for chunk in answer.as_bytes().chunks(by) {
            reader.read(chunk, |id| {
                found.push(String::from_utf8_lossy(id).into_owned())
            });
        }
        found
    }

    #[test]
    fn ids_are_found_however_the_answer_is_cut() {
        let stream = "event: response.created\n\
            data: {\"type\":\"response.created\",\"response\":{\"object\":\"response\",\"id\":\"resp_1\"}}\n\n\
            event: response.output_item.added\n\
            data: {\"type\":\"x\",\"item\":{\"id\":\"msg_1\"}}\n\n\
            data: {\"response\":{\"id\":\"resp_1\"}}\n\n";
        let interaction = "data: {\"interaction\":{\"id\":\"int_1\",\"steps\":[{\"id\":\"no\"}]},\
            \"event_type\":\"interaction.created\"}\n\n";
        let batch = r#"{"id" : "batch_1","errors":{"id":"no"},"input_file_id":"file-0",
            "output_file_id":"file-1","error_file_id":null,"data":[{"output_file_id":"no"}]}"#;
        for (answer, expected) in [
            (
                r#"{"id":"resp_1","output":[{"id":"msg_1"}]}"#,
                &["resp_1"][..],
            ),
            (r#"{"output":[{"id":"msg_1"}],"id":"resp_1"}"#, &["resp_1"]),
            (r#"{"text":"\"id\":\"no\"","id":"resp_\u0031"}"#, &[]),
            (r#"{"error":{"id":"no"}}"#, &[]),
            (r#"{"a":"id","b":"c"}"#, &[]),
            (r#"{"object":"list","data":[{"id":"no"}]}"#, &[]),
            (r#"{"id":7,"b":"c"}"#, &[]),
            (stream, &["resp_1"]),
            (interaction, &["int_1"]),
            (batch, &["batch_1", "file-1"]),
            ("", &[]),
        ] {
            for by in [1, 2, 7, 1000] {
                assert_eq!(ids(answer, by), expected, "{answer}");
            }
        }
    }

    #[test]
    fn the_beginning_alone_is_looked_at_and_long_texts_are_no_ids() {
        let late = format!(r#"{{"a":"{}","id":"resp_1"}}"#, "x".repeat(MOST));
        assert!(ids(&late, 1000).is_empty());
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(LONGEST + 1));
        assert!(ids(&long, 1000).is_empty());
    }
}
