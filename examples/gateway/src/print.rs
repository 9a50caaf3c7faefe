//! Plain text on stdout.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Prints a line. Where nobody reads stdout any more (`gateway | head`), requests are routed
/// all the same; `println!` would panic.
pub(crate) fn say(line: impl Display) {
    _ = writeln!(io::stdout().lock(), "{line}");
}

/// The rows as lines, with each column as wide as its widest cell.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(widths);
            let line: String = cells
                .map(|(cell, width)| format!("{cell:width$}  "))
                .collect();
            line.trim_end().to_owned()
        })
        .collect()
}
