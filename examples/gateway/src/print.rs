//! Plain text on stdout, which costs those who print next to nothing: a thread writes it.

use std::{
    fmt::Display,
    io::{self, BufWriter, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

/// How many lines wait to be written, at most.
const WAITING: usize = 16_384;

/// How long lines are collected, so that many are written at once and nobody is woken for one.
const PAUSE: Duration = Duration::from_millis(5);

static LINES: OnceLock<SyncSender<Item>> = OnceLock::new();

/// How many lines found no place.
static LOST: AtomicU64 = AtomicU64::new(0);

enum Item {
    Line(String),
    /// Tells when all before it is written.
    Flush(SyncSender<()>),
}

fn lines() -> &'static SyncSender<Item> {
    LINES.get_or_init(|| {
        let (sender, receiver) = sync_channel(WAITING);
        thread::spawn(move || write(&receiver));
        sender
    })
}

/// Prints a line, and waits until there is room for it: not for what is said while requests are
/// served. Where nobody reads stdout any more (`gateway | head`), they are routed all the same;
/// `println!` would panic.
pub(crate) fn say(line: impl Display) {
    _ = lines().send(Item::Line(line.to_string()));
}

/// Prints a line and never waits: where stdout takes them too slowly, it is left out and counted.
pub(crate) fn log(line: String) {
    if let Err(TrySendError::Full(_)) = lines().try_send(Item::Line(line)) {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until everything is written that was said so far, and for `most` at most.
pub(crate) fn flush(most: Duration) {
    let (done, written) = sync_channel(1);
    // There may be no room for it, and nothing but a thread waits for that.
    thread::spawn(move || lines().send(Item::Flush(done)));
    _ = written.recv_timeout(most);
}

fn write(lines: &Receiver<Item>) {
    // Errors: nobody reads stdout any more.
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout());
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                Item::Line(line) => _ = writeln!(out, "{line}"),
                Item::Flush(done) => {
                    _ = out.flush();
                    _ = done.send(());
                }
            }
            next = lines.try_recv().ok();
        }
        let lost = LOST.swap(0, Ordering::Relaxed);
        if lost > 0 {
            _ = writeln!(out, "*** {lost} lines are left out: stdout is too slow");
        }
        _ = out.flush();
        thread::sleep(PAUSE);
    }
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
