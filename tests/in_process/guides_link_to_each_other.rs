//! A link from one guide to another leads there on GitHub, and in rustdoc.

use std::{fs, path::Path};

/// The definitions of links in a text: labels and where they lead.
fn definitions(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix('['));
    lines.filter_map(|line| line.split_once("]: ")).collect()
}

/// The fragment by which GitHub and rustdoc know a heading.
fn fragment(heading: &str) -> String {
    let kept = |char: &char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_');
    let text: String = heading.to_lowercase().chars().filter(kept).collect();
    text.replace(' ', "-")
}

fn has_heading(text: &str, wanted: &str) -> bool {
    let mut in_code = false;
    text.lines().any(|line| {
        in_code ^= line.starts_with("```");
        let is_heading = !in_code && line.starts_with('#');
        is_heading && fragment(line.trim_start_matches('#').trim()) == wanted
    })
}

#[test]
fn every_link_leads_to_a_heading_of_a_guide() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let read = |path: &str| fs::read_to_string(docs.join(path)).unwrap();
    let in_rustdoc = read("guide_links.md");
    let in_rustdoc = definitions(&in_rustdoc);
    let mut links = 0;
    for guide in fs::read_dir(docs.join("guides")).unwrap() {
        let name = guide.unwrap().file_name().into_string().unwrap();
        let text = read(&format!("guides/{name}"));
        assert!(
            !text.contains("](crate::guide"),
            "{name}: no link on GitHub"
        );
        let defined = definitions(&text);
        for (at, _) in text.match_indices("][") {
            let label = text[at + 2..].split(']').next().unwrap();
            let file = label.split('#').next().unwrap();
            if Path::new(file).extension().is_none_or(|is| is != "md") {
                continue;
            }
            links += 1;
            assert!(
                defined.contains(&(label, label)),
                "{name}: {label}: no definition"
            );
            let item = format!("crate::guide::{}", label.replacen(".md", "", 1));
            assert!(
                in_rustdoc.contains(&(label, &item)),
                "not in guide_links.md: {label}"
            );
            if let Some((_, heading)) = label.split_once('#') {
                assert!(
                    has_heading(&read(&format!("guides/{file}")), heading),
                    "{name}: {label}"
                );
            }
        }
    }
    assert!(links > 20, "the guides were not read");
}
