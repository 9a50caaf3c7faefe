//! The rooms of `src/` import downwards only, in the order that CONTRIBUTING.md gives, and no files
//! import each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The sources by their paths below `src/`, such as `route/table.rs`.
type Files = BTreeMap<String, String>;

#[test]
fn imports_run_downwards_and_never_in_a_circle() {
    let rooms = rooms();
    let mut files = Files::new();
    read(&Path::new(ROOT).join("src"), "", &mut files);
    let unknown: Vec<_> = files
        .keys()
        .filter(|file| rank(&rooms, file).is_none())
        .collect();
    assert!(
        unknown.is_empty(),
        "no room of CONTRIBUTING.md: {unknown:?}"
    );
    let found = violations(&files, &rooms);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The check itself: it must find what it is for.
#[test]
fn what_runs_upwards_or_in_a_circle_is_found() {
    let rooms = ["lib", "top", "low"].map(str::to_owned);
    let check = |files: &[(&str, &str)]| {
        let hubs = [
            ("lib.rs", "mod top; mod low; pub use self::top::Top;"),
            ("top/mod.rs", "mod a; mod b; pub use self::a::{Top, Other};"),
            ("low/mod.rs", "mod c; pub(crate) use self::c::Low;"),
        ];
        let named = |&(file, text): &(&str, &str)| (file.to_owned(), text.to_owned());
        let files: Files = hubs.iter().chain(files).map(named).collect();
        violations(&files, &rooms)
    };
    let low = ("low/c.rs", "pub struct Low; // crate::top::Top");
    let fine = ("top/a.rs", "use crate::low::Low; pub struct Top(Low);");
    assert_eq!(
        check(&[low, fine, ("top/b.rs", "use super::a::Top;")]),
        [""; 0]
    );

    let upward = ("low/c.rs", "use std::fmt;\nuse crate::{top::{Top, Other}};");
    assert_eq!(
        check(&[upward, ("top/a.rs", "")])[0],
        "low/c.rs imports top/mod.rs, which is above it"
    );
    let from_root = ("top/b.rs", "fn f() -> crate::Top { todo!() }");
    assert_eq!(
        check(&[low, fine, from_root])[0],
        "top/b.rs imports lib.rs, which is above it"
    );
    let one = ("top/a.rs", "use super::b::B;");
    let other = ("top/b.rs", "use crate::top::a::Top;");
    assert_eq!(
        check(&[low, one, other]),
        ["a circle: top/a.rs -> top/b.rs -> top/a.rs"]
    );
    let by_hub = ("top/b.rs", "use super::Top;");
    assert_eq!(check(&[low, one, by_hub]).len(), 1);
    let foreign = ("top/mod.rs", "mod a; mod b; pub use crate::low::Low;");
    assert_eq!(
        check(&[low, ("top/a.rs", ""), ("top/b.rs", ""), foreign]),
        ["top/mod.rs hands on a name of low/mod.rs"]
    );
}

/// From the top floor down.
fn rooms() -> Vec<String> {
    let text = fs::read_to_string(Path::new(ROOT).join("CONTRIBUTING.md")).unwrap();
    let (_, list) = text.split_once("<!-- rooms -->").expect("a list of rooms");
    let (list, _) = list.split_once("<!-- /rooms -->").expect("its end");
    let names = list.lines().filter_map(|line| line.split_once(": "));
    names.map(|(name, _)| name.to_owned()).collect()
}

fn read(folder: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if entry.path().is_dir() {
            read(&entry.path(), &format!("{path}/"), files);
        } else if name.ends_with(".rs") {
            files.insert(path, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

fn rank(rooms: &[String], file: &str) -> Option<usize> {
    let room = file.split('/').next()?.trim_end_matches(".rs");
    rooms.iter().position(|name| name == room)
}

fn violations(files: &Files, rooms: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut graph = BTreeMap::new();
    for (file, text) in files {
        let imports = imports(file, text, files);
        for import in &imports {
            let (from, to) = (rank(rooms, file), rank(rooms, import));
            if to < from {
                found.push(format!("{file} imports {import}, which is above it"));
            }
            if file.ends_with("/mod.rs") && !import.starts_with(file.trim_end_matches("mod.rs")) {
                found.push(format!("{file} hands on a name of {import}"));
            }
        }
        graph.insert(file.as_str(), imports);
    }
    let mut done = BTreeSet::new();
    for file in files.keys() {
        circle(file, &graph, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

/// Reports each circle that a walk along the imports meets.
fn circle<'f>(
    file: &'f str,
    graph: &BTreeMap<&'f str, BTreeSet<&'f str>>,
    way: &mut Vec<&'f str>,
    done: &mut BTreeSet<&'f str>,
    found: &mut Vec<String>,
) {
    if let Some(start) = way.iter().position(|passed| *passed == file) {
        let way = [&way[start..], &[file]].concat();
        found.push(format!("a circle: {}", way.join(" -> ")));
    } else if !done.contains(file) {
        way.push(file);
        for import in &graph[file] {
            circle(import, graph, way, done, found);
        }
        way.pop();
        done.insert(file);
    }
}

/// The files that a file imports from, by every path in it; not what its unit tests import.
fn imports<'f>(file: &str, text: &str, files: &'f Files) -> BTreeSet<&'f str> {
    let is_test =
        file.contains("/tests/") || file.ends_with("/tests.rs") || file.ends_with("fuzz.rs");
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let code: String = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let module = module_of(file);
    let mut found = BTreeSet::new();
    for (start, _) in code.match_indices("::") {
        let before = &code[..start];
        let word = before.len() - before.chars().rev().take_while(is_word).count();
        let root = &before[word..];
        if is_test || before[..word].ends_with("::") || !["crate", "self", "super"].contains(&root)
        {
            continue;
        }
        let mut leaves = Vec::new();
        tree(&code[word..], &mut Vec::new(), &mut leaves);
        found.extend(
            leaves
                .iter()
                .filter_map(|path| resolve(&module, path, files)),
        );
    }
    found.remove(file);
    found
}

fn is_word(letter: &char) -> bool {
    letter.is_alphanumeric() || *letter == '_'
}

fn module_of(file: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    if matches!(parts.last(), Some(&"mod" | &"lib")) {
        parts.pop();
    }
    parts
}

/// Reads a path, or a tree of paths as `use` has it; gives what follows it.
fn tree<'c>(code: &'c str, before: &mut Vec<&'c str>, leaves: &mut Vec<Vec<&'c str>>) -> &'c str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = tree(rest, before, leaves).trim_start();
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = code.find(|letter| !is_word(&letter)).unwrap_or(code.len());
    let (word, rest) = code.split_at(end);
    if word.is_empty() {
        return rest;
    }
    before.push(word);
    let rest = match rest.strip_prefix("::") {
        Some(rest) => tree(rest, before, leaves),
        None => {
            leaves.push(before.clone());
            // An alias.
            rest.strip_prefix(" as ").map_or(rest, |rest| {
                rest.trim_start_matches(|letter| is_word(&letter))
            })
        }
    };
    before.pop();
    rest
}

/// The file of the innermost module on the path.
fn resolve<'f>(module: &[&str], path: &[&str], files: &'f Files) -> Option<&'f str> {
    let mut at = module.to_vec();
    let mut rest = path;
    while let [first, more @ ..] = rest {
        match *first {
            "crate" => at.clear(),
            "super" => _ = at.pop(),
            "self" => {}
            _ => break,
        }
        rest = more;
    }
    let file_of = |module: &[&str]| {
        let name = module.join("/");
        let spellings = match module {
            [] => ["lib.rs".to_owned(), String::new()],
            _ => [format!("{name}.rs"), format!("{name}/mod.rs")],
        };
        spellings
            .iter()
            .find_map(|file| files.get_key_value(file))
            .map(|(file, _)| file.as_str())
    };
    let mut file = file_of(&at);
    for name in rest {
        at.push(name);
        match file_of(&at) {
            Some(inner) => file = Some(inner),
            None => break,
        }
    }
    file
}
