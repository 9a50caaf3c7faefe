//! One act of an engine: how it treats a request.

use std::{io, time::Duration};

use http::Response;

use crate::body::{BoxError, Scripted, script};

pub enum Act {
    Answer(Response<Scripted>),
    Fail(BoxError),
    /// It takes the request and never answers.
    Hang,
    /// It does not even read the request.
    Unread(Box<Act>),
    /// It reads what of the request is there.
    Glance(Box<Act>),
    Late(Duration, Box<Act>),
}

impl Act {
    pub fn late(self, by: Duration) -> Self {
        Self::Late(by, Box::new(self))
    }

    pub fn unread(self) -> Self {
        Self::Unread(Box::new(self))
    }

    pub fn at_a_glance(self) -> Self {
        Self::Glance(Box::new(self))
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer(answer) = &mut self {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        self
    }
}

/// An answer whose body is this text.
pub fn says(status: u16, text: &str) -> Act {
    let (script, body) = script();
    if !text.is_empty() {
        script.send(text);
    }
    script.end_known();
    answers(status, body)
}

pub fn answers(status: u16, body: Scripted) -> Act {
    Act::Answer(Response::builder().status(status).body(body).unwrap())
}

/// An event stream.
pub fn streams(body: Scripted) -> Act {
    answers(200, body).header("content-type", "text/event-stream")
}

pub fn status(status: u16) -> Act {
    says(status, &status.to_string())
}

pub fn fails() -> Act {
    Act::Fail(io::Error::from(io::ErrorKind::ConnectionRefused).into())
}

/// The connection is lost before an answer.
pub fn resets() -> Act {
    Act::Fail(io::Error::from(io::ErrorKind::ConnectionReset).into())
}

pub fn times_out() -> Act {
    Act::Fail(io::Error::from(io::ErrorKind::TimedOut).into())
}
