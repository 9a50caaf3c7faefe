//! Stand-ins without the feature `decompression`: no coding is supported, so they can't exist.

use std::{convert::Infallible, error::Error, fmt, io};

use super::inflate_limits::InflateLimits;
use crate::config::Encoding;

pub(super) struct Inflate(Infallible);

pub(super) struct Deflate(Infallible);

#[derive(Debug)]
pub(super) enum InflateError {}

impl Inflate {
    pub(super) fn new(_: Encoding, limits: InflateLimits) -> Self {
        unreachable!("Encoding::from_headers names no coding, whatever the {limits:?}")
    }

    pub(super) fn step<E>(
        &mut self,
        _input: &mut &[u8],
        _sink: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        match self.0 {}
    }

    pub(super) fn produced(&self) -> u64 {
        match self.0 {}
    }

    pub(super) fn is_dense(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn finish(&mut self) -> Result<(), InflateError> {
        match self.0 {}
    }
}

impl Deflate {
    pub(super) fn new(_encoding: Encoding) -> Self {
        unreachable!("Encoding::from_headers names no coding")
    }

    pub(super) fn feed(&mut self, _input: &[u8], _output: &mut Vec<u8>) -> io::Result<()> {
        match self.0 {}
    }

    pub(super) fn finish(self, _output: &mut Vec<u8>) -> io::Result<()> {
        match self.0 {}
    }
}

impl InflateError {
    pub(super) fn is_too_large(&self) -> bool {
        match *self {}
    }
}

impl fmt::Display for InflateError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Error for InflateError {}
