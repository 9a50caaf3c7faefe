//! A program beside the test, which ends with it, however the test ends.

use std::{
    ffi::OsStr,
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Reads until its input ends, which the end of the test program does, too.
const WATCHED: &str = r#"removed=$1; shift
"$@" </dev/null & pid=$!
cat >/dev/null
kill -9 $pid
wait $pid
[ -z "$removed" ] || rm -rf "$removed""#;

pub(super) struct Process(Child);

impl Process {
    /// Writes its log into this file; at its end the directory is removed.
    pub(super) fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
        removed: Option<&Path>,
    ) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let shell = Command::new("sh")
            .args(["-c", WATCHED, "sh"])
            .arg(removed.unwrap_or(Path::new("")))
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        Self(shell.unwrap())
    }
}

/// Kills it, and waits until it has ended.
impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        _ = self.0.wait();
    }
}
