//! A copy of this program in one of its roles, or another program, and what the system says of it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::Result;

pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    pub fn start(role: &str, engine: Option<SocketAddr>) -> Result<Self> {
        Self::start_of(&std::env::current_exe()?, role, engine)
    }

    /// A role of another build of this program.
    pub fn start_of(program: &Path, role: &str, engine: Option<SocketAddr>) -> Result<Self> {
        let mut child = Command::new(program)
            .arg(role)
            .args(engine.map(|engine| engine.to_string()))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse()?;
        Ok(Self { child, address })
    }

    /// Another program, whose output goes into the file `output` and has the address that it serves
    /// in a line `... on http://<address>, ...`.
    pub fn program(path: &Path, arguments: &[String], output: &Path) -> Result<Self> {
        let child = Command::new(path)
            .args(arguments)
            .stdout(fs::File::create(output)?)
            .spawn()?;
        let mut this = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        for _ in 0..1000 {
            let said = fs::read_to_string(output)?;
            let address = said
                .split_once(" on http://")
                .and_then(|(_, behind)| behind.split_once([',', ' ', '\n'])?.0.parse().ok());
            if let Some(address) = address {
                this.address = address;
                return Ok(this);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(format!("{} has not said where it serves", path.display()).into())
    }

    /// Resident memory in bytes; NaN where there is no /proc.
    pub fn resident(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most that it has ever been.
    pub fn peak(&self) -> f64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        kib.map_or(f64::NAN, |kib| kib * 1024.0)
    }

    /// CPU time of all threads so far, in nanoseconds; 0 where there is no /proc.
    pub fn cpu(&self) -> u64 {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.child.id())) else {
            return 0;
        };
        let nanoseconds = tasks.filter_map(|task| {
            let schedstat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            schedstat.split(' ').next()?.parse::<u64>().ok()
        });
        nanoseconds.sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
