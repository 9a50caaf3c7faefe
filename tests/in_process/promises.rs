//! `tests/PROMISES.md` is complete, and names nothing that does not exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// This file: it tests the map, which promises nothing to users.
const MAP: &str = "in_process/promises";

/// The last two cells of each row: an item, and a module.
fn rows() -> Vec<(String, String)> {
    let map = fs::read_to_string(Path::new(ROOT).join("tests/PROMISES.md")).unwrap();
    let mut rows = Vec::new();
    for line in map.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [promise, item, module] = cells[..] else {
            panic!("three cells are needed: {line}");
        };
        if promise == "promise" {
            continue;
        }
        assert!(promise.ends_with('.'), "not a sentence: {promise}");
        let name = |cell: &str| {
            let name = cell
                .strip_prefix('`')
                .and_then(|cell| cell.strip_suffix('`'));
            name.unwrap_or_else(|| panic!("not in backquotes: {cell}"))
                .to_owned()
        };
        rows.push((name(item), name(module)));
    }
    assert!(rows.len() > 100, "the map was not read");
    rows
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The modules of the repository that contain tests of promises, by their paths.
fn test_modules() -> BTreeSet<String> {
    let root = Path::new(ROOT);
    let mut files = vec![root.join("tests/allocations.rs")];
    for folder in [
        "tests/in_process",
        "tests/kube",
        "tests/sockets",
        "examples/gateway/tests",
        "examples/mock_llm/tests",
    ] {
        files.extend(files_below(&root.join(folder)));
    }
    files
        .iter()
        .filter(|file| {
            let text = fs::read_to_string(file).unwrap();
            text.contains("#[test]") || text.contains("#[tokio::test")
        })
        .map(|file| {
            let module = file.strip_prefix(root).unwrap().with_extension("");
            let module = module.strip_prefix("tests").unwrap_or(&module);
            let parts: Vec<_> = module.iter().map(|part| part.to_str().unwrap()).collect();
            parts.join("/")
        })
        .filter(|module| module != MAP)
        .collect()
}

#[test]
fn every_test_module_is_named_and_every_named_module_exists() {
    let named: BTreeSet<_> = rows().into_iter().map(|(_, module)| module).collect();
    let there = test_modules();
    let unnamed: Vec<_> = there.difference(&named).collect();
    assert!(unnamed.is_empty(), "not in tests/PROMISES.md: {unnamed:?}");
    let gone: Vec<_> = named.difference(&there).collect();
    assert!(gone.is_empty(), "no such test module: {gone:?}");
}

#[test]
fn every_item_exists() {
    let sources: Vec<_> = files_below(&Path::new(ROOT).join("src"))
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    for (item, _) in rows() {
        if item.ends_with(".md") {
            assert!(Path::new(ROOT).join(&item).exists(), "no such file: {item}");
            continue;
        }
        let (owner, member) = match item.split_once("::") {
            Some((owner, member)) => (owner, Some(member)),
            None => (&*item, None),
        };
        let is_declared = |source: &String| {
            ["struct", "enum", "trait", "fn", "type"]
                .iter()
                .any(|kind| has_word(source, &format!("pub {kind} {owner}")))
        };
        assert!(sources.iter().any(is_declared), "no such item: {owner}");
        if let Some(member) = member {
            let has_both = |source: &String| has_word(source, owner) && has_word(source, member);
            assert!(sources.iter().any(has_both), "no such item: {item}");
        }
    }
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}
