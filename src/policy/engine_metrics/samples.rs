//! Metrics in Prometheus' text format, as they arrive.
//!
//! It is our own parser, because a page has tens of kilobytes of which five lines matter, and
//! the libraries for the format build a tree of all of it.

use std::borrow::Cow;

/// A longer line is passed over.
const MAX_LINE: usize = 64 * 1024;

/// One line: a metric, its labels, and its value.
#[derive(Debug, PartialEq)]
pub(super) struct Sample<'l> {
    pub(super) name: &'l str,
    labels: &'l str,
    pub(super) value: f64,
}

/// Cuts what arrives into lines, of which at most one is kept.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line.
    begun: Vec<u8>,
    /// Whether the rest of the line is passed over.
    is_too_long: bool,
}

impl Lines {
    /// Shows the lines that end in `chunk` to `see`.
    pub(super) fn feed(&mut self, chunk: &[u8], mut see: impl FnMut(&[u8])) {
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.begun.is_empty() && !self.is_too_long {
                see(line);
            } else {
                self.keep(line);
                self.end(&mut see);
            }
        }
        self.keep(rest);
    }

    /// The last line may lack its end.
    pub(super) fn end(&mut self, mut see: impl FnMut(&[u8])) {
        if !std::mem::take(&mut self.is_too_long) {
            see(&self.begun);
        }
        self.begun.clear();
    }

    fn keep(&mut self, part: &[u8]) {
        if self.begun.len() + part.len() > MAX_LINE {
            self.is_too_long = true;
            self.begun.clear();
        }
        if !self.is_too_long {
            self.begun.extend_from_slice(part);
        }
    }
}

impl<'l> Sample<'l> {
    /// `None` for comments, for anything that is not a line of a metric, and for metrics
    /// whose names are not `wanted`.
    pub(super) fn read(line: &'l [u8], wanted: impl FnOnce(&str) -> bool) -> Option<Self> {
        let line = line.trim_ascii();
        let end = line
            .iter()
            .position(|byte| *byte == b'{' || byte.is_ascii_whitespace())?;
        let (name, rest) = line.split_at(end);
        let name = std::str::from_utf8(name).ok().filter(|name| wanted(name))?;
        let rest = std::str::from_utf8(rest).ok()?.trim_start();
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => {
                let (labels, rest) = rest.split_at(end_of_labels(rest)?);
                (labels, rest.get(1..)?)
            }
            None => ("", rest),
        };
        // A time may follow.
        let value = rest.split_ascii_whitespace().next()?;
        Some(Self {
            name,
            labels,
            value: value.parse().ok()?,
        })
    }

    /// The value of a label, without its escapes.
    pub(super) fn label(&self, name: &str) -> Option<Cow<'l, str>> {
        let mut labels = self.labels();
        labels.find_map(|(key, text)| (key == name).then(|| unescaped(text)))
    }

    /// The labels other than these, as they were written.
    pub(super) fn labels_but(&self, left_out: &[&str]) -> String {
        let mut others = String::new();
        for (key, text) in self.labels().filter(|(key, _)| !left_out.contains(key)) {
            others.extend([key, "=\"", text, "\","]);
        }
        others
    }

    /// The names of the labels, each with its value, whose escapes remain.
    fn labels(&self) -> impl Iterator<Item = (&'l str, &'l str)> {
        let mut rest = self.labels;
        std::iter::from_fn(move || {
            let (key, value) = rest.split_once('=')?;
            let value = value.trim_start().strip_prefix('"')?;
            let (text, after) = value.split_at(end_of_text(value)?);
            rest = after.get(1..)?;
            Some((key.trim_start_matches([',', ' ']).trim_end(), text))
        })
    }
}

/// Where the closing brace is: not in a text.
fn end_of_labels(labels: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = labels.get(at..)?;
        let found = rest.find(['"', '}'])?;
        if rest.as_bytes().get(found) == Some(&b'}') {
            return Some(at + found);
        }
        let text = at + found + 1;
        at = text + end_of_text(labels.get(text..)?)? + 1;
    }
}

/// Where the quotation mark is that ends a text.
fn end_of_text(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => {}
            },
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        let mut see = |line: &[u8]| seen.push(String::from_utf8_lossy(line).into_owned());
        for chunk in chunks {
            lines.feed(chunk, &mut see);
        }
        lines.end(&mut see);
        seen
    }

    fn sample(line: &str) -> Option<Sample<'_>> {
        Sample::read(line.as_bytes(), |_| true)
    }

    #[test]
    fn lines_of_the_format() {
        let plain = sample("a:b 7").unwrap();
        assert_eq!((plain.name, plain.labels, plain.value), ("a:b", "", 7.0));
        let told = sample("  m {x=\"1\"}  1.5e3 1395066363000").unwrap();
        assert_eq!(
            (told.name, told.labels, told.value),
            ("m", "x=\"1\"", 1500.0)
        );
        let odd = sample(r#"m{ a="}\"{,b=", b = "x\\\n" ,c=""} -Inf"#).unwrap();
        assert_eq!(odd.label("a").unwrap(), "}\"{,b=");
        assert_eq!(odd.label("b").unwrap(), "x\\\n");
        assert_eq!(odd.label("c").unwrap(), "");
        assert_eq!(odd.label("d"), None);
        for none in [
            "",
            "# HELP a b",
            "a",
            "a{",
            "a{}",
            "a{b=\"} 1",
            "a x",
            "{} 1 1x",
            "a{b=\"\\\"} 1",
        ] {
            assert!(
                sample(none).is_none_or(|sample| sample.name.len() < 2),
                "{none}"
            );
        }
        assert!(Sample::read(b"unwanted 1", |name| name == "wanted").is_none());
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let long = "x".repeat(MAX_LINE);
        let text = format!("a 1\n{long}x 1\nb 2\n");
        let (first, last) = text.as_bytes().split_at(100);
        assert_eq!(all(&[first, last]), ["a 1", "b 2", ""]);
        // As one chunk it is no more than that chunk.
        assert_eq!(all(&[text.as_bytes()]).len(), 4);
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_arrive(
            text in "[a-z{}\"= \n]{0,60}",
            cut in 0_usize..60,
        ) {
            let (one, other) = text.as_bytes().split_at(cut.min(text.len()));
            let expected: Vec<_> = text.split('\n').map(str::to_owned).collect();
            prop_assert_eq!(&all(&[one, other]), &expected);
            prop_assert_eq!(&all(&[text.as_bytes()]), &expected);
        }

        #[test]
        fn no_line_is_too_odd(line in "[a-z:]{0,4} ?[{]?[\\PC\"\\\\=,}]{0,40}", label in "[a-z]{0,2}") {
            if let Some(sample) = sample(&line) {
                let _any = sample.label(&label);
            }
        }

        #[test]
        fn whatever_a_label_says_it_is_read(value in "\\PC{0,20}", other in "\\PC{0,20}") {
            let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let line = format!("m{{o=\"{}\",l=\"{}\"}} 1", escaped(&other), escaped(&value));
            prop_assert_eq!(sample(&line).unwrap().label("l").unwrap(), value);
        }
    }
}
