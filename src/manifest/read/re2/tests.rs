//! Against a matcher that goes by the definition, and against what Go says.

use proptest::{prelude::*, sample::select};
use regex::bytes::Regex;

use super::{from_rust, to_rust};

fn matches(go: &str, text: &str) -> bool {
    let rust = to_rust(go).unwrap_or_else(|error| panic!("{go:?}: {error}"));
    match Regex::new(&rust) {
        Ok(regex) => regex.is_match(text.as_bytes()),
        Err(error) => panic!("{go:?} became {rust:?}: {error}"),
    }
}

/// What has the same meaning in both keeps its spelling.
/// Go reads character by character, so there is no position within one.
#[test]
fn no_boundary_is_between_two_characters() {
    let matches = |pattern: &str, text: &str| {
        let pattern = to_rust(pattern).unwrap();
        let regex = regex::bytes::Regex::new(&pattern).unwrap();
        regex.is_match(text.as_bytes())
    };
    for (text, expected) in [
        ("aa", true),
        ("\u{e9}\u{e9}", true),
        ("a\u{e9}a", false),
        ("a", false),
        ("", true),
    ] {
        assert_eq!(matches(r"\B", text), expected, "{text}");
    }
}

#[test]
fn patterns_without_a_difference_stay_as_they_are() {
    for pattern in [
        "",
        "^(gold|premium)$",
        "^/v1/(chat/)?completions$",
        r"^v[0-9]+\.[0-9]+$",
        "(?i)premium",
        "(?P<tier>gold)|(?<other>x)",
        r"\/a\-b\_c\ d",
        r"[a-z0-9.]+?x*?y??",
        "a{2}b{2,}c{2,3}?",
        r"\pL\p{Greek}\PN\p{Lu}",
        "[[:alpha:][:^digit:]]",
        r"\x41\x{1F600}\n\t\a\A\z",
        "]}",
    ] {
        assert_eq!(to_rust(pattern).as_deref(), Ok(pattern));
        assert_eq!(from_rust(pattern).as_deref(), Some(pattern));
    }
}

/// Each line is as Go answers: pattern, what matches, what does not.
#[test]
fn what_differs_means_what_it_means_in_go() {
    for (pattern, is, is_not) in [
        (r"^\d$", "7", "\u{663}"),
        (r"^\D$", "\u{663}", "7"),
        (r"^\w$", "_", "\u{e9}"),
        (r"^\W$", "\u{e9}", "a"),
        (r"^\s$", "\u{c}", "\u{b}"),
        (r"^\S$", "\u{a0}", " "),
        (r"(?i)^\w$", "\u{17f}", "\u{e9}"),
        (r"(?i)^[\W]$", "\u{e9}", "\u{212a}"),
        (r"^[^\D]$", "7", "x"),
        (r"\bx\b", "\u{e9}x\u{e9}", "axa"),
        (r"a\Bb", "ab", "a b"),
        (r"^[a&&b]$", "&", "c"),
        (r"^[+--b]$", ",", "c"),
        (r"^[~~]$", "~", "a"),
        (r"^[[a]b]$", "ab]", "a"),
        (r"^[a[]$", "[", "]"),
        (r"^[]a]$", "]", "b"),
        (r"^[^]a]$", "b", "]"),
        (r"^[a-]$", "-", "b"),
        (r"^[\d-z]$", "-", "y"),
        (r"^\Qa.b|c\E+$", "a.b|cc", "axb|c"),
        (r"\Q[", "[", "]"),
        ("^a{$", "a{", "a"),
        ("^a{,2}$", "a{,2}", "aa"),
        ("^x{01}$", "x{01}", "x"),
        (r"^a\b{start}$", "a{start}", "astart"),
        (r"^\101\060$", "A0", "1010"),
        (r"^\0$", "\u{0}", "0"),
        (r"^\<\>$", "<>", "x"),
        (r"^\p{^Greek}$", "a", "\u{3b1}"),
        (r"^\P{^Greek}$", "\u{3b1}", "a"),
        ("^(?)a(?:)$", "a", "b"),
        ("^(?ii)A$", "a", "b"),
        ("^(?i-i)a$", "a", "A"),
        ("^(?i:a)b$", "Ab", "aB"),
        ("^(?P<1>a)$", "a", "b"),
        ("^(?P<a>x)(?<a>y)$", "xy", "x"),
        ("a.b", "a\u{e9}b", "a\nb"),
        ("(?s)a.b", "a\nb", "ab"),
        ("^a$", "a", "a\n"),
        ("(?m)^a$", "b\na", "ba"),
    ] {
        assert!(matches(pattern, is), "{pattern} {is:?}");
        assert!(!matches(pattern, is_not), "{pattern} {is_not:?}");
    }
}

#[test]
fn what_go_would_not_take_is_an_error() {
    for pattern in [
        r"\d**",
        "a+{2}",
        "a{1001}",
        "a{3,2}",
        "(?=a)",
        "(?<=a)",
        "(?<!a)",
        "(?x)a",
        "(?u)a",
        "(?i-)a",
        "(?P=a)",
        "(?P<a b>x)",
        "(?i",
        "(?<",
        r"\1",
        r"\8",
        r"\E",
        r"\C",
        r"\Z",
        r"\G",
        r"\h",
        r"\R",
        r"\u00e9",
        r"\U0001F600",
        "\\",
        "\\\u{e9}",
        r"\x4",
        r"\x{110000}",
        r"\x{}",
        r"[\b]",
        r"[a",
        r"[",
        r"[z-a]",
        r"[a-\d]",
        "[[:foo:]]",
        r"\p",
        r"\pX",
        r"\p{Alphabetic}",
        r"\p{sc=Greek}",
        r"\p{Greek",
        r"\p{}",
        "(?-u:a)",
    ] {
        assert!(
            to_rust(pattern).is_err(),
            "{pattern:?} became {:?}",
            to_rust(pattern)
        );
    }
}

/// What Rust's own parser says is no less an error: that is at the build.
#[test]
fn what_neither_takes_is_left_to_the_compiler() {
    for pattern in ["*", "a|*", "(*)", "(", "(a", ")", "a)"] {
        let rust = to_rust(pattern).unwrap();
        assert!(Regex::new(&rust).is_err(), "{pattern:?}");
    }
}

/// A pattern of Rust's with another meaning in Go has no way back.
#[test]
fn only_what_means_the_same_is_written_back() {
    for pattern in [
        r"\d",
        r"\w+",
        r"\s",
        r"\b",
        "[a&&b]",
        "[[a]b]",
        r"\<",
        "(?x) a",
        r"(?-u:\xff)",
        "a**",
        r"\p{Alphabetic}",
        r"\u{e9}",
        "a{,2}",
    ] {
        assert_eq!(from_rust(pattern), None, "{pattern}");
    }
    assert_eq!(
        from_rust(r"(?-u:\b)x(?:(?-u:\B)(?:\b|\B))").unwrap(),
        r"\bx\B"
    );
}

// ===== random patterns, and the definition =====

/// A pattern as a tree. Repetitions are of what matches one character, so that the naive matcher ends.
#[derive(Clone, Debug)]
enum Node {
    One(Set),
    Repeat(Set, usize, usize),
    All(Vec<Node>),
    Any(Vec<Node>),
    Edge(Edge),
    Quoted(String),
}

#[derive(Clone, Copy, Debug)]
enum Edge {
    Begin,
    End,
    Word,
    NoWord,
}

/// A spelling of what matches one character, and what it matches.
#[derive(Clone, Debug)]
struct Set {
    spelling: String,
    negated: bool,
    members: Vec<Member>,
}

#[derive(Clone, Copy, Debug)]
enum Member {
    Range(char, char),
    Perl(char),
    NotNewline,
}

const LETTERS: [char; 24] = [
    'a', 'b', 'K', 's', '_', '0', '7', ' ', '\n', '\u{b}', '\u{c}', '{', '}', ',', '[', ']', '&',
    '-', '~', '^', '\u{e9}', '\u{17f}', '\u{212a}', '\u{663}',
];

fn spelled(letter: char, how: u8) -> String {
    let special = !letter.is_alphanumeric() && letter.is_ascii();
    match how % 4 {
        0 if special => format!("\\{letter}"),
        1 => format!("\\x{{{:x}}}", u32::from(letter)),
        2 if letter.is_ascii() => format!("\\{:03o}", u32::from(letter)),
        _ if special => format!("\\{letter}"),
        _ => letter.to_string(),
    }
}

fn member() -> impl Strategy<Value = (String, Member)> {
    let letter = (select(&LETTERS[..]), any::<u8>()).prop_map(|(letter, how)| {
        // These need no backslash in a class, unless first or last.
        let plain = "&~[ ".contains(letter) && how % 3 == 0;
        let spelling = if plain {
            letter.to_string()
        } else {
            spelled(letter, how)
        };
        (spelling, Member::Range(letter, letter))
    });
    let range =
        (select(&LETTERS[..]), select(&LETTERS[..]), any::<u8>()).prop_map(|(a, b, how)| {
            let (low, high) = (a.min(b), a.max(b));
            let spelling = format!("{}-{}", spelled(low, how), spelled(high, how / 4));
            (spelling, Member::Range(low, high))
        });
    let perl = select(&['d', 'D', 's', 'S', 'w', 'W'][..])
        .prop_map(|letter| (format!("\\{letter}"), Member::Perl(letter)));
    prop_oneof![3 => letter, 1 => range, 2 => perl]
}

fn set() -> impl Strategy<Value = Set> {
    let alone = (select(&LETTERS[..]), any::<u8>()).prop_map(|(letter, how)| {
        let spelling = match letter {
            '{' | '}' | ',' | '&' | '-' | '~' | ']' if how % 3 == 0 => letter.to_string(),
            _ => spelled(letter, how),
        };
        (spelling, Member::Range(letter, letter))
    });
    let perl = select(&['d', 'D', 's', 'S', 'w', 'W'][..])
        .prop_map(|letter| (format!("\\{letter}"), Member::Perl(letter)));
    let dot = Just((".".to_owned(), Member::NotNewline));
    let alone = prop_oneof![4 => alone, 2 => perl, 1 => dot].prop_map(|(spelling, member)| Set {
        spelling,
        negated: false,
        members: vec![member],
    });
    let class =
        (any::<bool>(), prop::collection::vec(member(), 1..4)).prop_map(|(negated, members)| {
            let inner: String = members.iter().map(|(spelling, _)| &**spelling).collect();
            let not = if negated { "^" } else { "" };
            // A "[" and a ":" after it would be another thing, and there is no ":" here.
            Set {
                spelling: format!("[{not}{inner}]"),
                negated,
                members: members.into_iter().map(|(_, member)| member).collect(),
            }
        });
    prop_oneof![2 => alone, 1 => class]
}

fn node() -> impl Strategy<Value = Node> {
    let quoted = prop::collection::vec(select(&['a', '.', '[', '(', '*', '\u{e9}'][..]), 1..3);
    let edge = select(&[Edge::Begin, Edge::End, Edge::Word, Edge::NoWord][..]);
    let leaf = prop_oneof![
        5 => set().prop_map(Node::One),
        2 => (set(), 0..3_usize, 0..3_usize).prop_map(|(set, a, b)| Node::Repeat(set, a, a + b)),
        2 => edge.prop_map(Node::Edge),
        1 => quoted.prop_map(|letters| Node::Quoted(letters.into_iter().collect())),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 1..4).prop_map(Node::All),
            1 => prop::collection::vec(inner, 1..3).prop_map(Node::Any),
        ]
    })
}

impl Node {
    fn spelling(&self) -> String {
        match self {
            Self::One(set) => set.spelling.clone(),
            Self::Repeat(set, least, most) => format!("{}{{{least},{most}}}", set.spelling),
            Self::All(nodes) => nodes.iter().map(Self::spelling).collect(),
            Self::Any(nodes) => {
                let all: Vec<_> = nodes.iter().map(Self::spelling).collect();
                format!("({})", all.join("|"))
            }
            Self::Edge(edge) => match edge {
                Edge::Begin => "^",
                Edge::End => "$",
                Edge::Word => r"\b",
                Edge::NoWord => r"\B",
            }
            .to_owned(),
            Self::Quoted(text) => format!(r"\Q{text}\E"),
        }
    }

    /// Where a match that begins at a position may end.
    fn ends(&self, text: &[char], fold: bool, at: usize) -> Vec<usize> {
        let one = |set: &Set, at: usize| text.get(at).is_some_and(|letter| set.has(*letter, fold));
        match self {
            Self::One(set) => Vec::from_iter(one(set, at).then_some(at + 1)),
            Self::Repeat(set, least, most) => {
                let run = (0..*most).take_while(|i| one(set, at + i)).count();
                (*least..=run).map(|length| at + length).collect()
            }
            Self::All(nodes) => nodes.iter().fold(vec![at], |ends, node| {
                let ends = ends.into_iter();
                ends.flat_map(|at| node.ends(text, fold, at)).collect()
            }),
            Self::Any(nodes) => {
                let nodes = nodes.iter();
                nodes.flat_map(|node| node.ends(text, fold, at)).collect()
            }
            Self::Edge(edge) => {
                let word = |at: Option<usize>| {
                    let letter = at.and_then(|at| text.get(at));
                    letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
                };
                let between = word(at.checked_sub(1)) != word(Some(at));
                let holds = match edge {
                    Edge::Begin => at == 0,
                    Edge::End => at == text.len(),
                    Edge::Word => between,
                    Edge::NoWord => !between,
                };
                Vec::from_iter(holds.then_some(at))
            }
            Self::Quoted(quoted) => {
                let all = quoted.chars().enumerate();
                let mut all = all.map(|(i, letter)| {
                    let set = Set {
                        spelling: String::new(),
                        negated: false,
                        members: vec![Member::Range(letter, letter)],
                    };
                    one(&set, at + i)
                });
                let holds = all.all(|holds| holds);
                Vec::from_iter(holds.then_some(at + quoted.chars().count()))
            }
        }
    }
}

impl Set {
    fn has(&self, letter: char, fold: bool) -> bool {
        // The letters here that are one but for case.
        let orbit: &[char] = match letter {
            _ if !fold => &[],
            'k' | 'K' | '\u{212a}' => &['k', 'K', '\u{212a}'],
            's' | 'S' | '\u{17f}' => &['s', 'S', '\u{17f}'],
            'a' | 'A' => &['a', 'A'],
            'b' | 'B' => &['b', 'B'],
            '\u{e9}' | '\u{c9}' => &['\u{e9}', '\u{c9}'],
            _ => &[],
        };
        let all = || orbit.iter().chain([&letter]);
        let any = |member: &Member| match member {
            Member::Range(low, high) => all().any(|it| (low..=high).contains(&it)),
            Member::NotNewline => letter != '\n',
            Member::Perl(perl) => {
                let is = all().any(|it| match perl.to_ascii_lowercase() {
                    'd' => it.is_ascii_digit(),
                    's' => "\t\n\u{c}\r ".contains(*it),
                    _ => it.is_ascii_alphanumeric() || *it == '_',
                });
                is != perl.is_ascii_uppercase()
            }
        };
        self.members.iter().any(any) != self.negated
    }
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    let text = prop::collection::vec(select(&LETTERS[..]), 0..5);
    prop::collection::vec(text.prop_map(String::from_iter), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_pattern_matches_as_its_definition_does(node in node(), fold: bool, texts in texts()) {
        let pattern = format!("{}{}", if fold { "(?i)" } else { "" }, node.spelling());
        let rust = to_rust(&pattern).map_err(TestCaseError::fail)?;
        let found = Regex::new(&rust).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for text in texts {
            let letters: Vec<char> = text.chars().collect();
            let expected = (0..=letters.len()).any(|at| !node.ends(&letters, fold, at).is_empty());
            prop_assert_eq!(found.is_match(text.as_bytes()), expected, "{} is {} for {:?}", pattern, rust, text);
        }
    }

    /// What was read is written as a pattern that reads as the same.
    #[test]
    fn every_translation_has_a_way_back(node in node()) {
        let rust = to_rust(&node.spelling()).map_err(TestCaseError::fail)?;
        let go = from_rust(&rust);
        prop_assert!(go.is_some(), "{} became {rust}", node.spelling());
        prop_assert_eq!(to_rust(&go.unwrap()).unwrap(), rust);
    }

    #[test]
    fn no_text_panics(pattern in r"([\\\[\](){}|?*+^$.,:<>&~-]|[a-zQEPpxbB0-9]|\PC){0,12}") {
        if let Ok(rust) = to_rust(&pattern) {
            _ = Regex::new(&rust);
            _ = from_rust(&rust);
        }
    }
}
