//! A user's own strategy to choose among a ModelServer's endpoints.

use std::{fmt, sync::Arc, time::Duration};

use http::{Extensions, HeaderMap, Uri};

/// Chooses an endpoint of a ModelServer for each request: what
/// [`Balance::custom`](crate::Balance::custom) takes.
///
/// It is called while a request waits, so it should be quick, and must not block. It is
/// called again if another request took the last room at the chosen endpoint, and for each
/// further attempt.
///
/// ```
/// use tower_model_route::{Balance, Candidate, ChooseEndpoint, EndpointRequest, ModelServer};
///
/// /// Short prompts to the endpoints whose URIs say so.
/// struct ByLength;
///
/// impl ChooseEndpoint for ByLength {
///     fn counts_tokens(&self) -> bool {
///         true
///     }
///
///     fn choose(&self, request: &EndpointRequest<'_>, candidates: &[Candidate<'_>]) -> Option<usize> {
///         let is_short = request.prompt_tokens() < 2_000;
///         let fits = |at: &usize| candidates[*at].uri().contains("short") == is_short;
///         (0..candidates.len()).filter(fits).min_by_key(|&at| candidates[at].tokens())
///     }
/// }
///
/// let server = ModelServer::new("chat")
///     .endpoint("http://short-1:8000")
///     .endpoint("http://long-1:8000")
///     .balance(Balance::custom("by length", ByLength));
/// # let _ = server;
/// ```
pub trait ChooseEndpoint: Send + Sync + 'static {
    /// The position of the chosen endpoint among the `candidates`, which are all usable;
    /// there is at least one. `None`, or a position out of range, leaves the choice to
    /// [`Balance::LeastRequest`](crate::Balance::LeastRequest).
    fn choose(&self, request: &EndpointRequest<'_>, candidates: &[Candidate<'_>]) -> Option<usize>;

    /// The affinity key of a request, which [`choose`](Self::choose) then gets. It is called
    /// once for each ModelServer that the request may go to. None by default.
    fn key(&self, head: &RequestHead<'_>) -> Option<u64> {
        _ = head;
        None
    }

    /// Whether to count the tokens of requests: then bodies are read for them, as for
    /// [`Balance::LeastTokens`](crate::Balance::LeastTokens). If `false`, the default, all
    /// numbers of tokens are 0.
    fn counts_tokens(&self) -> bool {
        false
    }
}

/// The head of a request, for [`ChooseEndpoint::key`].
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
    pub(crate) model: &'a str,
}

impl<'a> RequestHead<'a> {
    /// The URI. Its query is the client's; in a further attempt, its path is that of the previous
    /// attempt.
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// What the layers above have added.
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// The model, as the engines know it.
    pub fn model(&self) -> &'a str {
        self.model
    }
}

/// The request for which an endpoint is chosen.
#[derive(Clone, Copy, Debug)]
pub struct EndpointRequest<'a> {
    pub(crate) model: &'a str,
    pub(crate) key: Option<u64>,
    pub(crate) prompt_tokens: u64,
    pub(crate) output_tokens: u64,
}

impl<'a> EndpointRequest<'a> {
    /// The model, as the engines know it.
    pub fn model(&self) -> &'a str {
        self.model
    }

    /// What [`ChooseEndpoint::key`] returned.
    pub fn key(&self) -> Option<u64> {
        self.key
    }

    /// The tokens of the prompt, estimated from its bytes and from what the engines reported for
    /// earlier requests.
    pub fn prompt_tokens(&self) -> u64 {
        self.prompt_tokens
    }

    /// The expected tokens of the answer: the average, or the request's maximum if that is less.
    pub fn output_tokens(&self) -> u64 {
        self.output_tokens
    }
}

/// An endpoint that a request may go to.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub(crate) uri: &'a str,
    pub(crate) weight: u64,
    pub(crate) in_flight: usize,
    pub(crate) load: usize,
    pub(crate) tokens: u64,
    pub(crate) latency: Option<Duration>,
}

impl<'a> Candidate<'a> {
    /// Its URI, normalized.
    pub fn uri(&self) -> &'a str {
        self.uri
    }

    /// Its weight, divided by the greatest common divisor of all weights.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// The requests that this gateway has in flight to it.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// What [`Balance::LeastRequest`](crate::Balance::LeastRequest) compares: the requests in
    /// flight, plus those of others that the engine has reported, plus the load that its recent
    /// failures count as.
    pub fn load(&self) -> usize {
        self.load
    }

    /// What [`Balance::LeastTokens`](crate::Balance::LeastTokens) compares: the tokens in flight.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The average time to the first content of an answer; `None` if it is not known, or no
    /// ModelServer of the endpoint has a balance that measures it.
    pub fn latency(&self) -> Option<Duration> {
        self.latency
    }
}

/// A [`ChooseEndpoint`] with a name; two are equal if they are the same
/// instance.
#[derive(Clone)]
pub struct CustomBalance {
    name: Arc<str>,
    chooses: Arc<dyn ChooseEndpoint>,
}

impl CustomBalance {
    pub(super) fn new(name: String, chooses: impl ChooseEndpoint) -> Self {
        Self {
            name: name.into(),
            chooses: Arc::new(chooses),
        }
    }

    /// The name that explanations use.
    pub fn get_name(&self) -> &str {
        &self.name
    }

    pub(crate) fn chooses(&self) -> &dyn ChooseEndpoint {
        &*self.chooses
    }
}

impl fmt::Debug for CustomBalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomBalance").field(&self.name).finish()
    }
}

impl PartialEq for CustomBalance {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chooses, &other.chooses)
    }
}

impl Eq for CustomBalance {}

#[cfg(feature = "serde")]
impl serde::Serialize for CustomBalance {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}
