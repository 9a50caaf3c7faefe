//! Regular expressions as Go's RE2 reads them, in the syntax of the `regex` crate.
//!
//! Most patterns mean the same in both and stay as they are. What differs is written so that
//! it means here what it means in Go: `\d`, `\w`, `\s` and `\b` are ASCII, a bracket or `&&` in
//! a class is nothing special, a `{` that begins no count is a character, and `\Q..\E`, octal
//! numbers and `\<` exist. The grammar is that of Go's package `regexp/syntax`. One thing can't
//! be had: Go takes a byte that is not UTF-8 for U+FFFD, here nothing in a pattern matches it.

use std::collections::HashSet;

/// Go's limit on counts, as in `a{1000}`.
const MOST_REPEATS: u32 = 1000;

/// The pattern with Go's meaning in Rust's syntax, or why Go would not take it.
pub(crate) fn to_rust(pattern: &str) -> Result<String, String> {
    let mut translator = Translator {
        rest: pattern,
        out: String::with_capacity(pattern.len()),
        fold: false,
        groups: Vec::new(),
        names: HashSet::new(),
    };
    translator.run()?;
    Ok(translator.out)
}

/// A pattern that [`to_rust`] makes this one of; `None` if Go has no pattern for it.
pub(crate) fn from_rust(pattern: &str) -> Option<String> {
    let go = pattern
        .replace(WORD_BOUNDARY, r"\b")
        .replace(NO_WORD_BOUNDARY, r"\B");
    (to_rust(&go).ok()? == pattern).then_some(go)
}

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];
const WORD_BOUNDARY: &str = r"(?-u:\b)";
/// Only between two characters: alone the first part also matches within one that has several bytes.
const NO_WORD_BOUNDARY: &str = r"(?:(?-u:\B)(?:\b|\B))";

struct Translator<'p> {
    rest: &'p str,
    out: String,
    /// Whether case is ignored here.
    fold: bool,
    /// The same before each group that is open.
    groups: Vec<bool>,
    names: HashSet<&'p str>,
}

impl<'p> Translator<'p> {
    fn run(&mut self) -> Result<(), String> {
        let mut repeated = false;
        while let Some(next) = self.rest.chars().next() {
            let count = match next {
                '*' | '+' | '?' => Some(&self.rest[..1]),
                '{' => self.count()?,
                _ => None,
            };
            if let Some(count) = count {
                if repeated {
                    return Err("one repetition follows another".to_owned());
                }
                self.copy(count.len());
                if self.rest.starts_with('?') {
                    self.copy(1);
                }
                repeated = true;
                continue;
            }
            repeated = false;
            match next {
                '(' => self.open()?,
                ')' => {
                    self.fold = self.groups.pop().unwrap_or(self.fold);
                    self.copy(1);
                }
                '[' => self.class()?,
                '\\' => self.escape()?,
                '{' => {
                    self.skip(1);
                    self.out.push_str(r"\{");
                }
                other => self.copy(other.len_utf8()),
            }
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn copy(&mut self, bytes: usize) {
        self.out.push_str(&self.rest[..bytes]);
        self.skip(bytes);
    }

    fn literal(&mut self, literal: char) {
        self.out
            .push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
    }

    /// `{2}`, `{2,}` or `{2,3}`; a `{` before anything else is a character.
    fn count(&self) -> Result<Option<&'p str>, String> {
        let Some(end) = self.rest.find('}') else {
            return Ok(None);
        };
        let (text, inner) = (&self.rest[..=end], &self.rest[1..end]);
        let (least, most) = inner.split_once(',').unwrap_or((inner, inner));
        let digits = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_digit())
                && (text.len() < 2 || !text.starts_with('0'))
        };
        if least.is_empty() || !digits(least) || !digits(most) {
            return Ok(None);
        }
        let number = |text: &str| text.parse().unwrap_or(u32::MAX);
        let most = if most.is_empty() { least } else { most };
        if number(least) > number(most) || number(most) > MOST_REPEATS {
            return Err(format!("{text}is not a count up to {MOST_REPEATS}"));
        }
        Ok(Some(text))
    }

    /// A group, or flags.
    fn open(&mut self) -> Result<(), String> {
        let named = ["(?P<", "(?<"]
            .iter()
            .find(|begin| self.rest.starts_with(**begin) && !self.rest.starts_with("(?<="));
        if let Some(begin) = named.filter(|_| !self.rest.starts_with("(?<!")) {
            return self.open_named(begin.len());
        }
        if self.rest.starts_with("(?") {
            return self.open_flags();
        }
        self.groups.push(self.fold);
        self.copy(1);
        Ok(())
    }

    fn open_named(&mut self, begin: usize) -> Result<(), String> {
        let rest = &self.rest[begin..];
        let name = rest.split('>').next().unwrap_or_default();
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.len() == rest.len() || !name.bytes().all(word) {
            return Err(format!(
                "the group's name {name:?} is not one of letters, digits and _"
            ));
        }
        self.groups.push(self.fold);
        let length = begin + name.len() + 1;
        // Rust has no names that begin with a digit, and no name twice.
        let is_new = self.names.insert(name);
        if !is_new || name.starts_with(|first: char| first.is_ascii_digit()) {
            self.skip(length);
            self.out.push('(');
        } else {
            self.copy(length);
        }
        Ok(())
    }

    /// `(?i)`, `(?i:`, `(?i-s)`: flags for the rest of the group, or for a group of its own.
    fn open_flags(&mut self) -> Result<(), String> {
        let flags = &self.rest[2..];
        let end = flags.find([')', ':']).unwrap_or(flags.len());
        let (given, is_group) = (&flags[..end], flags[end..].starts_with(':'));
        let (on, off) = match given.split_once('-') {
            Some((on, off)) => (on, Some(off)),
            None => (given, None),
        };
        let mut all = on.chars().chain(off.unwrap_or_default().chars());
        if end == flags.len() || off == Some("") || !all.all(|flag| "imsU".contains(flag)) {
            let what: String = self.rest.chars().take(8).collect();
            return Err(format!("{what:?} does not begin a group"));
        }
        let off = off.unwrap_or_default();
        if is_group {
            self.groups.push(self.fold);
        }
        self.fold = !off.contains('i') && (self.fold || on.contains('i'));
        self.skip(2 + end + 1);
        let once = |flags: &str, but: &str| {
            let mut seen = String::new();
            for flag in flags.chars() {
                if !seen.contains(flag) && !but.contains(flag) {
                    seen.push(flag);
                }
            }
            seen
        };
        let (on, off) = (once(on, off), once(off, ""));
        let minus = if off.is_empty() { "" } else { "-" };
        match is_group {
            true => self.out.push_str(&format!("(?{on}{minus}{off}:")),
            // No flags at all: Rust has no such group.
            false if on.is_empty() && off.is_empty() => {}
            false => self.out.push_str(&format!("(?{on}{minus}{off})")),
        }
        Ok(())
    }

    /// A backslash outside of a class, and what follows it.
    fn escape(&mut self) -> Result<(), String> {
        let after = self.rest[1..].chars().next();
        match after {
            Some('A' | 'z') => self.copy(2),
            Some('b') => {
                self.skip(2);
                self.out.push_str(WORD_BOUNDARY);
            }
            Some('B') => {
                self.skip(2);
                self.out.push_str(NO_WORD_BOUNDARY);
            }
            Some('Q') => {
                let text = &self.rest[2..];
                let (quoted, rest) = text.split_once(r"\E").unwrap_or((text, ""));
                self.out.push_str(&regex::escape(quoted));
                self.rest = rest;
            }
            Some('p' | 'P') => self.property()?,
            _ => {
                if let Some((perl, negated)) = self.perl() {
                    let not = if negated { "^" } else { "" };
                    self.out.push_str(&format!("[{not}{}]", perl.members));
                } else {
                    self.character()?;
                }
            }
        }
        Ok(())
    }

    /// A class of Perl's, if there is one here, and whether what is not in it is meant.
    fn perl(&mut self) -> Option<(&'static Perl, bool)> {
        let letter = self.rest.strip_prefix('\\')?.chars().next()?;
        let mut known = PERL.iter();
        let perl = known.find(|perl| perl.letter.eq_ignore_ascii_case(&letter))?;
        self.skip(2);
        Some((perl, letter.is_ascii_uppercase()))
    }

    /// `\pN`, `\p{Greek}` or `\p{^Greek}`: a general category or a script.
    fn property(&mut self) -> Result<(), String> {
        let text = &self.rest[2..];
        let (name, length) = match text.strip_prefix('{') {
            Some(inner) => {
                let name = inner.split('}').next().unwrap_or_default();
                (name, name.len() + 2)
            }
            None => {
                let letter = text.chars().next().map_or(0, char::len_utf8);
                (&text[..letter], letter)
            }
        };
        let (plain, not) = match name.strip_prefix('^') {
            Some(plain) => (plain, true),
            None => (name, false),
        };
        let is_known = ["gc=", "sc=", ""].iter().any(|of| {
            let plain_only = of.is_empty() && !["Any", "ASCII", "Assigned"].contains(&plain);
            !plain_only && regex_takes(&format!(r"\p{{{of}{plain}}}"))
        });
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_- ".contains(&byte);
        if length > text.len() || !plain.bytes().all(word) || !is_known {
            return Err(format!("there is no Unicode class {name:?}"));
        }
        if not {
            let negated = self.rest.starts_with(r"\P") != not;
            let letter = if negated { 'P' } else { 'p' };
            self.skip(2 + length);
            self.out.push_str(&format!(r"\{letter}{{{plain}}}"));
        } else {
            self.copy(2 + length);
        }
        Ok(())
    }

    /// An escaped character: copied where Rust has the same, else itself.
    fn character(&mut self) -> Result<char, String> {
        let (value, length) = escaped(self.rest)?;
        let is_octal = self.rest[1..].starts_with(|first: char| first.is_ascii_digit());
        if is_octal || self.rest.starts_with(r"\<") || self.rest.starts_with(r"\>") {
            self.skip(length);
            self.literal(value);
        } else {
            self.copy(length);
        }
        Ok(value)
    }

    /// A class in brackets.
    fn class(&mut self) -> Result<(), String> {
        self.copy(1);
        if self.rest.starts_with('^') {
            self.copy(1);
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.rest.starts_with("[:")
                && let Some(end) = self.rest[2..].find(":]")
            {
                let name = &self.rest[..end + 4];
                let of = name[2..end + 2].trim_start_matches('^');
                if !POSIX.contains(&of) || name.starts_with("[:^^") {
                    return Err(format!("there is no class {name}"));
                }
                self.copy(name.len());
            } else if self.rest.starts_with(r"\p") || self.rest.starts_with(r"\P") {
                self.property()?;
            } else if let Some((perl, negated)) = self.perl() {
                self.out.push_str(match (negated, self.fold) {
                    (false, _) => perl.members,
                    (true, false) => perl.others,
                    (true, true) => perl.others_folded,
                });
            } else {
                self.range()?;
            }
        }
        self.copy(1);
        Ok(())
    }

    /// A character in a class, or a range of them.
    fn range(&mut self) -> Result<(), String> {
        let low = self.member()?;
        if self.rest.starts_with('-') && !self.rest[1..].starts_with(']') && self.rest.len() > 1 {
            self.copy(1);
            let high = self.member()?;
            if high < low {
                return Err(format!(
                    "the range {low:?} to {high:?} ends before it begins"
                ));
            }
        }
        Ok(())
    }

    fn member(&mut self) -> Result<char, String> {
        let Some(next) = self.rest.chars().next() else {
            return Err("a class is not closed".to_owned());
        };
        if next == '\\' {
            return self.character();
        }
        self.skip(next.len_utf8());
        // Rust has operators and classes in classes.
        if "[]&-~^".contains(next) {
            self.out.push('\\');
        }
        self.out.push(next);
        Ok(next)
    }
}

/// A class of Perl's: its letter, what is in it, and what is not.
///
/// Go has no classes in classes, so what is not is ranges, too. Where case is ignored, the long s
/// and the Kelvin sign are letters of `\w`.
struct Perl {
    letter: char,
    members: &'static str,
    others: &'static str,
    others_folded: &'static str,
}

const PERL: [Perl; 3] = [
    Perl {
        letter: 'd',
        members: "0-9",
        others: r"\x00-/:-\x{10FFFF}",
        others_folded: r"\x00-/:-\x{10FFFF}",
    },
    Perl {
        letter: 's',
        members: r"\t\n\f\r ",
        others: r"\x00-\x08\x0B\x0E-\x1F!-\x{10FFFF}",
        others_folded: r"\x00-\x08\x0B\x0E-\x1F!-\x{10FFFF}",
    },
    Perl {
        letter: 'w',
        members: "0-9A-Za-z_",
        others: r"\x00-/:-@\[-\^`\{-\x{10FFFF}",
        others_folded: r"\x00-/:-@\[-\^`\{-\x{17E}\x{180}-\x{2129}\x{212B}-\x{10FFFF}",
    },
];

/// The character that a backslash at the beginning makes, and how long its spelling is.
fn escaped(text: &str) -> Result<(char, usize), String> {
    let mut after = text.chars().skip(1);
    let Some(letter) = after.next() else {
        return Err("a backslash ends it".to_owned());
    };
    let unknown = || format!("the escape \\{letter} is unknown");
    let value = match letter {
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' => return hexadecimal(&text[2..]).ok_or_else(unknown),
        '0'..='7' => return octal(&text[1..]).ok_or_else(unknown),
        _ if letter.is_ascii() && !letter.is_ascii_alphanumeric() => letter,
        _ => return Err(unknown()),
    };
    Ok((value, 2))
}

/// Two digits, or any number of them in braces.
fn hexadecimal(text: &str) -> Option<(char, usize)> {
    let (digits, length) = match text.strip_prefix('{') {
        Some(inner) => {
            let (digits, _) = inner.split_once('}')?;
            (digits, digits.len() + 2)
        }
        None => (text.get(..2)?, 2),
    };
    let is_number = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let value = u32::from_str_radix(digits, 16).ok().filter(|_| is_number)?;
    Some((char::from_u32(value)?, 2 + length))
}

/// Up to three digits; one alone is a reference to a group, which RE2 has not, unless it is 0.
fn octal(text: &str) -> Option<(char, usize)> {
    let is_digit = |digit: &u8| (b'0'..=b'7').contains(digit);
    let length = text.bytes().take(3).take_while(is_digit).count();
    let value = u32::from_str_radix(&text[..length], 8).ok()?;
    let is_reference = length == 1 && value != 0;
    Some((char::from_u32(value)?, 1 + length)).filter(|_| !is_reference)
}

fn regex_takes(pattern: &str) -> bool {
    regex::Regex::new(pattern).is_ok()
}

#[cfg(test)]
mod tests;
