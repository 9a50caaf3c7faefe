//! The scanner of a document, with the fastest kernel for the machine.

use super::{document::Document, kernel::Machine};
use crate::model::found::{Duplicates, Model, Refusal};

/// Finds the top-level `model` of a JSON document that arrives in chunks.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    document: Document,
    refused: Option<Refusal>,
}

impl Scanner {
    /// `field` is the key of the model, if it is not `model`.
    pub(crate) fn new(field: Option<Box<str>>, duplicates: Duplicates) -> Self {
        Self::on(Machine::best(), field, duplicates)
    }

    pub(super) fn on(machine: Machine, field: Option<Box<str>>, duplicates: Duplicates) -> Self {
        Self {
            document: Document::new(machine, field, duplicates),
            refused: None,
        }
    }

    /// Reads a chunk. A refusal is final.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        self.refused.map_or(Ok(()), Err)?;
        let read = self.document.read(chunk);
        self.refused = read.err();
        read
    }

    /// Marks the end of the body.
    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        match self.refused {
            Some(refusal) => Err(refusal),
            None => self.document.finish(),
        }
    }

    /// The models whose value has ended so far. A string ends with its closing
    /// quote, an array or object with its bracket, and a number or word with
    /// the byte after it.
    pub(crate) fn models(&self) -> &[Model] {
        self.document.models()
    }

    /// The key that is looked for, and the models, whose names may be taken.
    pub(crate) fn found(&mut self) -> (&str, &mut [Model]) {
        self.document.found()
    }

    /// The key that is looked for.
    pub(crate) fn field(&self) -> &str {
        self.document.field()
    }
}
