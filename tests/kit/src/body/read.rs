//! Reading without waiting.

use bytes::Bytes;
use futures_util::FutureExt;
use http_body::Body;
use http_body_util::BodyExt;

use super::BoxError;

/// The whole of a body that is there.
#[track_caller]
pub fn text<B>(body: B) -> String
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let collected = body.collect().now_or_never().expect("the body is there");
    let bytes = match collected {
        Ok(collected) => collected.to_bytes(),
        Err(error) => panic!("the body failed: {}", error.into()),
    };
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Everything that can be read of a body without waiting, and how it ended, if it has.
pub fn read_on<B>(body: &mut B) -> (Vec<u8>, Option<Result<(), B::Error>>)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = Vec::new();
    // A body may ask for another turn before it says that it has to wait.
    for _ in 0..2 {
        while let Some(frame) = body.frame().now_or_never() {
            match frame {
                None => return (read, Some(Ok(()))),
                Some(Err(error)) => return (read, Some(Err(error))),
                Some(Ok(frame)) => read.extend(frame.into_data().unwrap_or_default()),
            }
        }
    }
    (read, None)
}
