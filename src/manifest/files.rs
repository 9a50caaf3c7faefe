//! Files and directories of manifests.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The texts at a path by file name, or why they can't be read.
pub(super) type Texts = Vec<(String, Result<String, String>)>;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// A file, or what a directory has of `*.yaml`, `*.yml` and `*.json`.
///
/// As with `kubectl apply -f`: the directory's own files and not those of its
/// directories. They come in the order of their names. Names that begin with
/// a dot are left out: editors keep their copies under such, and a mounted
/// ConfigMap its versions.
///
/// That a directory has none of them is an error too.
pub(super) fn read(path: &Path) -> Texts {
    let texts = read_any(path);
    if !texts.is_empty() {
        return texts;
    }
    let reason = "this directory has no *.yaml, *.yml or *.json".to_owned();
    vec![(path.display().to_string(), Err(reason))]
}

/// The same, where a directory may be empty.
pub(super) fn read_any(path: &Path) -> Texts {
    let name = |path: &Path| path.display().to_string();
    if !path.is_dir() {
        return vec![(name(path), text(path))];
    }
    match list(path) {
        Ok(files) => files.iter().map(|file| (name(file), own(file))).collect(),
        Err(error) => vec![(name(path), Err(format!("can't be listed: {error}")))],
    }
}

pub(super) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let known = path
            .extension()
            .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known));
        if known && !hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A directory's own file. Opening a named pipe would wait until somebody writes to it.
fn own(path: &Path) -> Result<String, String> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err("it is not a regular file".to_owned()),
        _ => text(path),
    }
}

fn text(path: &Path) -> Result<String, String> {
    String::from_utf8(bytes(path)?).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        format!("it is not UTF-8 (in line {})", line + 1)
    })
}

pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("can't be read: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_BYTES >> 20));
    }
    Ok(bytes)
}
