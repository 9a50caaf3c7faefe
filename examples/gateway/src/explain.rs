//! `--explain FILE`: where a request would be routed, and why.

use std::{
    error::Error,
    fs,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use axum::http::{HeaderName, HeaderValue, Request, request::Parts};

use crate::{config::Config, engines::Engines, print::say, routes, server};

/// Explains the request in `file`, or on stdin where that is `-`. `forwards` is for a gateway that
/// forwards requests without a model.
///
/// # Errors
/// The file can't be read, is no request, or names no model; or there is no table.
pub(crate) async fn run(
    file: &Path,
    config: &Config,
    forwards: bool,
) -> Result<(), Box<dyn Error>> {
    let name = file.display();
    let text = read(file).map_err(|error| format!("{name}: {error}"))?;
    let (head, body) =
        parse(&text).map_err(|Problem { line, what }| format!("{name}:{line}: {what}"))?;
    let table = if config.has_routes() {
        config.manifests().build()?
    } else {
        routes::table(&Engines::start(Duration::ZERO).await?)?
    };
    let layer = server::layer(table.into(), forwards);
    let explanation = layer.explain(&head, body).map_err(|error| {
        let (status, code) = (error.status().as_u16(), error.kind().code());
        format!("the request is answered with {status} {code}: {error}")
    })?;
    say(explanation);
    Ok(())
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return fs::read(file);
    }
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    Ok(text)
}

/// What is wrong, and in which line.
#[derive(Debug)]
struct Problem {
    line: usize,
    what: &'static str,
}

/// A request's head and body.
fn parse(text: &[u8]) -> Result<(Parts, &[u8]), Problem> {
    let mut lines = Lines {
        rest: text,
        read: 0,
    };
    let first = lines.next()?.unwrap_or_default();
    let (method, target) = first
        .split_once(' ')
        .ok_or(lines.problem("a request begins like POST /v1/chat/completions"))?;
    let target = target.split(' ').next().unwrap_or_default();
    let mut request = Request::builder().method(method).uri(target);
    if request.headers_ref().is_none() {
        return Err(lines.problem("this is not a method and a path"));
    }
    // Of a header that is wrong neither name nor value is repeated: it may be a secret.
    while let Some(line) = lines.next()?.filter(|line| !line.is_empty()) {
        let (name, value) = line
            .split_once(':')
            .ok_or(lines.problem("a header has a colon after its name"))?;
        let name = HeaderName::try_from(name)
            .map_err(|_| lines.problem("this is not the name of a header"))?;
        let value = HeaderValue::try_from(value.trim())
            .map_err(|_| lines.problem("this is not the value of a header"))?;
        request = request.header(name, value);
    }
    let request = request
        .body(())
        .map_err(|_| lines.problem("there are too many headers"))?;
    Ok((request.into_parts().0, lines.rest))
}

/// The lines of a request's head, which may end in LF or CRLF.
struct Lines<'t> {
    rest: &'t [u8],
    read: usize,
}

impl<'t> Lines<'t> {
    /// `None` where there are no more.
    fn next(&mut self) -> Result<Option<&'t str>, Problem> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.read += 1;
        let mut parts = self.rest.splitn(2, |&byte| byte == b'\n');
        let line = parts.next().unwrap_or_default();
        self.rest = parts.next().unwrap_or_default();
        let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line))
            .map_err(|_| self.problem("this is not text"))?;
        Ok(Some(line))
    }

    fn problem(&self, what: &'static str) -> Problem {
        let line = self.read.max(1);
        Problem { line, what }
    }
}
