//! "Did you mean": the known name that is nearest to an unknown one.

/// The candidate that differs least from `name`, if it differs by little.
pub(crate) fn nearest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // A third of the letters may be wrong; of a longer list of names the first of equals.
    let most = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= most)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean "x"?)`, or nothing.
pub(crate) fn did_you_mean<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> String {
    nearest(name, candidates).map_or_else(String::new, |nearest| {
        format!(", did you mean {nearest:?}?")
    })
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour, whatever
/// their case.
fn distance(a: &str, b: &str) -> usize {
    strsim::osa_distance(&a.to_lowercase(), &b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_near_and_other_words_are_not() {
        let known = ["modelName", "loraAdapters", "rules", "weight"];
        for (name, expected) in [
            ("modelname", Some("modelName")),
            ("model_name", Some("modelName")),
            ("loraAdaptors", Some("loraAdapters")),
            ("rule", Some("rules")),
            ("wieght", Some("weight")),
            ("matchLabels", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
