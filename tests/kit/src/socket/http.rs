//! hyper-util's client, of the gateway or of an engine.

use bytes::Bytes;
use http_body::Body;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::body::BoxError;

pub type HttpClient<B> = Client<HttpConnector, B>;

/// Without the 40 ms for which Nagle's algorithm holds back what follows a small write.
pub fn http_client<B>(http2_only: bool) -> HttpClient<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .http2_only(http2_only)
        .build(connector)
}
