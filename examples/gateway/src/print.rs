//! Plain text on stdout and stderr, which costs those who print next to nothing: a thread writes it.

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

static STDOUT: Output = Output::new("stdout", || Box::new(io::stdout()));
static STDERR: Output = Output::new("stderr", || Box::new(io::stderr()));

/// Where lines go, by a thread of its own.
struct Output {
    name: &'static str,
    open: fn() -> Box<dyn Write>,
    lines: OnceLock<SyncSender<Item>>,
    /// How many lines found no place.
    lost: AtomicU64,
}

enum Item {
    Line(String),
    /// It is dropped when all before it is written.
    Flush(SyncSender<()>),
}

impl Output {
    const fn new(name: &'static str, open: fn() -> Box<dyn Write>) -> Self {
        Self {
            name,
            open,
            lines: OnceLock::new(),
            lost: AtomicU64::new(0),
        }
    }

    fn lines(&'static self) -> &'static SyncSender<Item> {
        self.lines.get_or_init(|| {
            let (sender, receiver) = sync_channel(WAITING);
            thread::spawn(move || self.write(&receiver));
            sender
        })
    }

    fn log(&'static self, line: String) {
        if let Err(TrySendError::Full(_)) = self.lines().try_send(Item::Line(line)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write(&self, lines: &Receiver<Item>) {
        // Errors: nobody reads it any more.
        let mut out = BufWriter::with_capacity(1 << 16, (self.open)());
        while let Ok(first) = lines.recv() {
            let mut next = Some(first);
            while let Some(item) = next {
                match item {
                    Item::Line(line) => _ = writeln!(out, "{line}"),
                    Item::Flush(done) => {
                        _ = out.flush();
                        drop(done);
                    }
                }
                next = lines.try_recv().ok();
            }
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                let name = self.name;
                _ = writeln!(out, "*** {lost} lines are left out: {name} is too slow");
            }
            _ = out.flush();
            thread::sleep(PAUSE);
        }
    }
}

/// Prints a line, and waits until there is room for it: not for what is said while requests are
/// served. Where nobody reads stdout any more (`gateway | head`), they are routed all the same;
/// `println!` would panic.
pub(crate) fn say(line: impl Display) {
    _ = STDOUT.lines().send(Item::Line(line.to_string()));
}

/// Prints a line and never waits: where stdout takes them too slowly, it is left out and counted.
pub(crate) fn log(line: String) {
    STDOUT.log(line);
}

/// Stderr for those who write a line at a time. It never waits either.
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        STDERR.log(text.trim_end_matches('\n').to_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until everything is written that was printed so far, and for `most` at most.
pub(crate) fn flush(most: Duration) {
    let (done, written) = sync_channel(1);
    let used = [&STDOUT, &STDERR].map(|output| output.lines.get());
    for lines in used.into_iter().flatten() {
        let done = done.clone();
        // There may be no room for it, and nothing but a thread waits for that.
        thread::spawn(move || lines.send(Item::Flush(done)));
    }
    drop(done);
    _ = written.recv_timeout(most);
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
