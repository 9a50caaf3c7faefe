//! References to keys in a text, such as `Bearer ${ENGINE_KEY}`.

use std::collections::BTreeMap;

/// The names in `${..}`.
pub(super) fn references(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("${").skip(1);
    after.filter_map(|rest| Some(rest.split_once('}')?.0))
}

/// The text with each reference replaced by its key, in one pass: what is in a key stays as it is.
///
/// # Errors
/// The first name that is not among the `keys`.
pub(super) fn resolve<'t>(
    text: &'t str,
    keys: &BTreeMap<String, String>,
) -> Result<String, &'t str> {
    let mut resolved = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${")
        && let Some((name, behind)) = after.split_once('}')
    {
        resolved.push_str(before);
        resolved.push_str(keys.get(name).ok_or(name)?);
        rest = behind;
    }
    resolved.push_str(rest);
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_nothing_else() {
        let keys = BTreeMap::from([
            ("A".to_owned(), "1${B}".to_owned()),
            ("B".to_owned(), "2".to_owned()),
        ]);
        for (text, expected) in [
            ("", Ok("")),
            ("plain $A {A} $", Ok("plain $A {A} $")),
            ("Bearer ${A}", Ok("Bearer 1${B}")),
            ("${B}${B}-${B}", Ok("22-2")),
            ("${B", Ok("${B")),
            ("${C} ${A}", Err("C")),
            ("${}", Err("")),
        ] {
            assert_eq!(
                resolve(text, &keys).as_deref().map_err(|name| *name),
                expected,
                "{text}"
            );
        }
        assert_eq!(references("${A} ${B} ${").collect::<Vec<_>>(), ["A", "B"]);
    }
}
