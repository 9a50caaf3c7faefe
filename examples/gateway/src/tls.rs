//! Certificates towards the engines, from the command line.

use std::{collections::BTreeSet, error::Error, fs, path::PathBuf};

use clap::Args;
use tower_model_route::{EngineClient, EngineClientBuilder, RouteTable};

#[derive(Debug, Clone, Args)]
pub(crate) struct Tls {
    /// Trust the certificate authorities in FILE (PEM) for https endpoints, besides this machine's;
    /// with a NAME, as in --endpoint, only for that ModelServer's. May be repeated
    #[arg(long = "ca", value_name = "[NAME=]FILE", value_parser = authorities, conflicts_with = "demo", verbatim_doc_comment)]
    authorities: Vec<Of<PathBuf>>,

    /// Present the certificate in CHAIN, whose private key is in KEY (both PEM), to https endpoints
    /// that ask for one; with a NAME, only to that ModelServer's, in place of the one without a NAME
    #[arg(long = "client-cert", value_name = "[NAME=]CHAIN,KEY", value_parser = identity, conflicts_with = "demo", verbatim_doc_comment)]
    identities: Vec<Of<Identity>>,
}

/// What is given for all ModelServers, or for one.
#[derive(Debug, Clone)]
struct Of<T> {
    server: Option<String>,
    given: T,
}

#[derive(Debug, Clone)]
struct Identity {
    chain: PathBuf,
    key: PathBuf,
}

fn authorities(text: &str) -> Result<Of<PathBuf>, String> {
    let (server, file) = of(text);
    if file.is_empty() {
        return Err("it must be like ca.pem, or deepseek-r1-7b=ca.pem".to_owned());
    }
    let given = file.into();
    Ok(Of { server, given })
}

fn identity(text: &str) -> Result<Of<Identity>, String> {
    let (server, files) = of(text);
    let (chain, key) = files
        .split_once(',')
        .filter(|(chain, key)| !chain.is_empty() && !key.is_empty())
        .ok_or("it must be like chain.pem,key.pem, or deepseek-r1-7b=chain.pem,key.pem")?;
    let given = Identity {
        chain: chain.into(),
        key: key.into(),
    };
    Ok(Of { server, given })
}

/// The ModelServer, if there is one, and the rest. A path in which there is a `=` is none after
/// `./` or `/`, which no name begins with.
fn of(text: &str) -> (Option<String>, &str) {
    let is_name = |name: &str| {
        let mut letters = name.chars();
        letters.next().is_some_and(|c| c.is_ascii_alphanumeric())
            && letters.all(|c| c.is_ascii_alphanumeric() || "-./".contains(c))
    };
    match text.split_once('=').filter(|(name, _)| is_name(name)) {
        None => (None, text),
        Some((name, rest)) if name.contains('/') => (Some(name.to_owned()), rest),
        Some((name, rest)) => (Some(format!("default/{name}")), rest),
    }
}

impl Tls {
    /// The client for the engines of `table`; without one nobody knows which ModelServers there are.
    ///
    /// # Errors
    /// A file is not there, or is not what it should be; a ModelServer is not in the table, or has
    /// two certificates.
    pub(crate) fn client(
        &self,
        table: Option<&RouteTable>,
    ) -> Result<EngineClient, Box<dyn Error>> {
        let common = self.add_to(EngineClient::builder(), None)?;
        let mut client = common.clone();
        for name in self.servers() {
            let is_known = |table: &RouteTable| table.servers().iter().any(|it| it.name() == name);
            if table.is_some_and(|table| !is_known(table)) {
                let problem = "--ca or --client-cert names it, but there is no such ModelServer";
                return Err(format!("{name:?}: {problem}").into());
            }
            client = client.model_server(name, self.add_to(common.clone(), Some(name))?);
        }
        Ok(client.build()?)
    }

    /// Those that have something of their own.
    fn servers(&self) -> BTreeSet<&str> {
        let authorities = self.authorities.iter().map(|of| &of.server);
        let identities = self.identities.iter().map(|of| &of.server);
        let named = authorities.chain(identities).flatten();
        named.map(String::as_str).collect()
    }

    /// The options with what is given for this ModelServer, or for all.
    fn add_to(
        &self,
        mut options: EngineClientBuilder,
        server: Option<&str>,
    ) -> Result<EngineClientBuilder, String> {
        for of in &self.authorities {
            if of.server.as_deref() == server {
                options = options.root_certificates(read(&of.given)?);
            }
        }
        let identities = self.identities.iter();
        let mut identities = identities.filter(|of| of.server.as_deref() == server);
        let Some(Of { given, .. }) = identities.next() else {
            return Ok(options);
        };
        if identities.next().is_some() {
            let whom = server.map_or_else(String::new, |name| format!(" for {name:?}"));
            return Err(format!("--client-cert is given twice{whom}"));
        }
        Ok(options.client_certificate(read(&given.chain)?, read(&given.key)?))
    }
}

fn read(file: &PathBuf) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_before_the_files() {
        for (text, server, rest) in [
            ("ca.pem", None, "ca.pem"),
            ("small=ca.pem", Some("default/small"), "ca.pem"),
            ("ml/small=/a=b/ca.pem", Some("ml/small"), "/a=b/ca.pem"),
            ("/a=b/ca.pem", None, "/a=b/ca.pem"),
            ("./a=b.pem", None, "./a=b.pem"),
            ("a,b=c.pem", None, "a,b=c.pem"),
            ("=ca.pem", None, "=ca.pem"),
        ] {
            assert_eq!(of(text), (server.map(str::to_owned), rest), "{text}");
        }
        assert!(authorities("small=").is_err() && authorities("").is_err());
        assert!(identity("small=a.pem,b.pem").is_ok());
        assert!(identity("small=a.pem").is_err() && identity("small=a.pem,").is_err());
    }
}
