//! An answer that broke off while its beginning was read: what was read still reaches the client.

use std::collections::VecDeque;

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::error::{BoxError, RouteError};

/// What was read of an answer before it broke off. The client gets that, and sees the end as it was.
#[derive(Debug)]
pub(super) struct Short {
    pub(super) read: VecDeque<Frame<Bytes>>,
    /// What was still to come.
    pub(super) left: SizeHint,
    error: Option<BoxError>,
}

impl Short {
    pub(super) fn new(read: VecDeque<Frame<Bytes>>, left: SizeHint, error: BoxError) -> Box<Self> {
        Box::new(Self {
            read,
            left,
            error: Some(error),
        })
    }

    /// The next frame, or in the end why there is none.
    pub(super) fn next(&mut self) -> Result<Frame<Bytes>, BoxError> {
        let why = || {
            self.error
                .take()
                .unwrap_or_else(|| RouteError::broken_off().into())
        };
        self.read.pop_front().ok_or_else(why)
    }
}
