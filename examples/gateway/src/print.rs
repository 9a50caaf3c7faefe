//! Plain text on stdout and stderr, which costs those who print next to nothing: a thread writes it.

use std::{
    fmt::Display,
    io::{self, Write},
    mem,
    sync::{Condvar, Mutex, MutexGuard, Once, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How many bytes wait to be written, at most but for the last line.
const WAITING: usize = 4 << 20;

/// How long lines are collected, so that many are written at once and nobody is woken for one.
const PAUSE: Duration = Duration::from_millis(5);

static STDOUT: Output = Output::new("stdout", || Box::new(io::stdout()));
static STDERR: Output = Output::new("stderr", || Box::new(io::stderr()));

/// Where lines go, by a thread of its own.
struct Output {
    name: &'static str,
    open: fn() -> Box<dyn Write>,
    thread: Once,
    unwritten: Mutex<Unwritten>,
    /// Something waits to be written, or does no more.
    changed: Condvar,
}

struct Unwritten {
    lines: Vec<u8>,
    /// How many lines found no place.
    lost: u64,
    is_writing: bool,
}

impl Unwritten {
    fn has_room(&self) -> bool {
        self.lines.len() < WAITING
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost == 0
    }
}

impl Output {
    const fn new(name: &'static str, open: fn() -> Box<dyn Write>) -> Self {
        Self {
            name,
            open,
            thread: Once::new(),
            unwritten: Mutex::new(Unwritten {
                lines: Vec::new(),
                lost: 0,
                is_writing: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Unwritten> {
        let locked = self.unwritten.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `is_so` no longer holds, and locks.
    fn lock_unless(&self, is_so: impl Fn(&Unwritten) -> bool) -> MutexGuard<'_, Unwritten> {
        let waited = self
            .changed
            .wait_while(self.lock(), |unwritten| is_so(unwritten));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line if there is room for it.
    fn log(&'static self, line: &str) {
        self.add(self.lock(), line);
    }

    /// Adds a line once there is room for it.
    fn say(&'static self, line: &str) {
        self.add(self.lock_unless(|unwritten| !unwritten.has_room()), line);
    }

    fn add(&'static self, mut unwritten: MutexGuard<'_, Unwritten>, line: &str) {
        let was_empty = unwritten.is_empty();
        if unwritten.has_room() {
            unwritten.lines.extend_from_slice(line.as_bytes());
            unwritten.lines.push(b'\n');
        } else {
            unwritten.lost += 1;
        }
        drop(unwritten);
        if was_empty {
            self.thread.call_once(|| {
                thread::spawn(|| self.write());
            });
            self.changed.notify_all();
        }
    }

    fn write(&self) -> ! {
        let mut out = (self.open)();
        let mut lines = Vec::new();
        loop {
            let mut unwritten = self.lock_unless(Unwritten::is_empty);
            mem::swap(&mut unwritten.lines, &mut lines);
            let lost = mem::take(&mut unwritten.lost);
            unwritten.is_writing = true;
            drop(unwritten);
            self.changed.notify_all();
            if lost > 0 {
                let name = self.name;
                _ = writeln!(lines, "*** {lost} lines are left out: {name} is too slow");
            }
            // Errors: nobody reads it any more.
            _ = out.write_all(&lines);
            _ = out.flush();
            lines.clear();
            self.lock().is_writing = false;
            self.changed.notify_all();
            thread::sleep(PAUSE);
        }
    }

    /// Waits until everything is written, and for `most` at most.
    fn flush(&self, most: Duration) {
        let unwritten = |unwritten: &mut Unwritten| unwritten.is_writing || !unwritten.is_empty();
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), most, unwritten);
        drop(waited);
    }
}

/// Prints a line, and waits until there is room for it: not for what is said while requests are
/// served. Where nobody reads stdout any more (`gateway | head`), they are routed all the same;
/// `println!` would panic.
pub(crate) fn say(line: impl Display) {
    STDOUT.say(&line.to_string());
}

/// Prints a line and never waits: where stdout takes them too slowly, it is left out and counted.
pub(crate) fn log(line: &str) {
    STDOUT.log(line);
}

/// Stderr for those who write a line at a time. It never waits either.
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        STDERR.log(text.trim_end_matches('\n'));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until everything is written that was printed so far, and for `most` at most.
pub(crate) fn flush(most: Duration) {
    let begun = Instant::now();
    for output in [&STDOUT, &STDERR] {
        output.flush(most.saturating_sub(begun.elapsed()));
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
