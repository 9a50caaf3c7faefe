//! What is asked, as JSON.

use serde::Deserialize;

/// The fields of an object; or why it is none.
///
/// serde would take an array as well, for the fields in the order in which the code has them.
pub(super) fn fields<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err("it is not an object".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}
