//! Writing YAML: the little of it that manifests need.

use std::fmt::Write;

/// A tree to be written.
#[derive(Debug)]
pub(super) enum Yaml {
    Text(String),
    Number(u64),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
    /// YAML as a text, in a block scalar: people can read it there.
    Embedded(Box<Yaml>),
}

impl Yaml {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A mapping of one field.
    pub(super) fn field(key: impl Into<String>, value: Self) -> Self {
        Self::Map(vec![(key.into(), value)])
    }

    /// The document, which is a mapping or a list.
    pub(super) fn write(&self, out: &mut String) {
        self.lines(0, out);
    }

    /// Lines of their own, indented by so many spaces.
    fn lines(&self, indent: usize, out: &mut String) {
        match self {
            Self::Map(fields) if !fields.is_empty() => {
                for (key, value) in fields {
                    let _ = write!(out, "{:indent$}{}:", "", scalar(key));
                    value.behind_key(indent, out);
                }
            }
            Self::List(items) if !items.is_empty() => {
                for item in items {
                    item.behind_dash(indent, out);
                }
            }
            other => {
                let _ = writeln!(out, "{:indent$}{}", "", other.inline());
            }
        }
    }

    fn behind_key(&self, indent: usize, out: &mut String) {
        match self {
            Self::Map(fields) if !fields.is_empty() => {
                out.push('\n');
                self.lines(indent + 2, out);
            }
            Self::List(items) if !items.is_empty() => {
                out.push('\n');
                self.lines(indent, out);
            }
            Self::Embedded(yaml) => {
                out.push_str(" |\n");
                yaml.lines(indent + 2, out);
            }
            other => {
                let _ = writeln!(out, " {}", other.inline());
            }
        }
    }

    /// The first field of a mapping stands behind the dash, the others below it.
    fn behind_dash(&self, indent: usize, out: &mut String) {
        let start = out.len();
        self.lines(indent + 2, out);
        out.replace_range(start + indent..start + indent + 1, "-");
    }

    fn inline(&self) -> String {
        match self {
            Self::Text(text) => scalar(text),
            Self::Number(number) => number.to_string(),
            Self::List(_) => "[]".to_owned(),
            Self::Map(_) => "{}".to_owned(),
            Self::Embedded(yaml) => yaml.inline(),
        }
    }
}

/// A text, plain where nothing could take it for anything else.
fn scalar(text: &str) -> String {
    const RESERVED: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.ends_with(|last: char| last.is_ascii_alphanumeric() || "/-_.".contains(last))
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "/-_.:".contains(letter))
        && !RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word));
    if plain { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        let _ = match letter {
            '"' | '\\' => write!(out, "\\{letter}"),
            '\n' => write!(out, "\\n"),
            ' '..='~' => write!(out, "{letter}"),
            _ if letter.is_alphanumeric() => write!(out, "{letter}"),
            _ => write!(out, "\\U{:08x}", u32::from(letter)),
        };
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_written_as_people_write_it() {
        let tree = Yaml::Map(vec![
            ("name".into(), Yaml::text("small")),
            ("version".into(), Yaml::text("1")),
            (
                "rules".into(),
                Yaml::List(vec![
                    Yaml::Map(vec![
                        ("a".into(), Yaml::Number(1)),
                        (
                            "b".into(),
                            Yaml::List(vec![Yaml::text("x"), Yaml::text("")]),
                        ),
                    ]),
                    Yaml::Map(Vec::new()),
                ]),
            ),
            (
                "t/extra".into(),
                Yaml::Embedded(Box::new(Yaml::field("q", Yaml::List(Vec::new())))),
            ),
        ]);
        let mut out = String::new();
        tree.write(&mut out);
        assert_eq!(
            out,
            "name: small\n\
             version: \"1\"\n\
             rules:\n\
             - a: 1\n  b:\n  - x\n  - \"\"\n\
             - {}\n\
             t/extra: |\n  q: []\n"
        );
    }

    #[test]
    fn what_could_be_anything_else_has_quotes() {
        for (text, expected) in [
            ("small", "small"),
            ("a/b-c_d.e:8000/x", "a/b-c_d.e:8000/x"),
            ("/v1", "/v1"),
            ("Yes", "\"Yes\""),
            ("1", "\"1\""),
            ("a:", "\"a:\""),
            ("a b", "\"a b\""),
            ("a\"\\\n\t", "\"a\\\"\\\\\\n\\U00000009\""),
            ("\u{feff}\u{e9}", "\"\\U0000feff\u{e9}\""),
        ] {
            assert_eq!(scalar(text), expected, "{text}");
        }
    }
}
