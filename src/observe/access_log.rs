//! The access log: one line for each request, when it has ended.

use std::{
    fmt::{self, Display, Write},
    time::Duration,
};

use http::{StatusCode, Version};
use tracing::info;

use super::{
    facts::{EndFacts, Times},
    observer::Observer,
};
use crate::route::RouteDecision;

/// The target of the events.
const TARGET: &str = "tower_model_route::access";

/// An observer that logs each request once, when it has ended, as a `tracing` event at INFO with
/// the target `tower_model_route::access`.
///
/// ```
/// # use tower_model_route::{AccessLog, AccessStyle, ModelRouteLayer, RouteTable};
/// # let table = RouteTable::builder().build().unwrap();
/// let layer = ModelRouteLayer::new(table).observer(AccessLog::new(AccessStyle::Json));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessLog {
    style: AccessStyle,
}

/// How a request is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessStyle {
    /// The event has a field for each fact, under the names of [`EndFacts::json`]; the
    /// subscriber formats them.
    #[default]
    Fields,
    /// The message is [`EndFacts::text`].
    Text,
    /// The message is [`EndFacts::json`].
    Json,
}

impl AccessLog {
    /// An access log in this style.
    pub fn new(style: AccessStyle) -> Self {
        Self { style }
    }
}

impl Observer for AccessLog {
    fn ended(&self, end: &EndFacts<'_>) {
        match self.style {
            AccessStyle::Fields => log_fields(end),
            AccessStyle::Text => info!(target: TARGET, "{}", end.text()),
            AccessStyle::Json => info!(target: TARGET, "{}", end.json()),
        }
    }
}

fn log_fields(end: &EndFacts<'_>) {
    let (request, decision, times) = (end.request(), end.decision(), end.times());
    info!(
        target: TARGET,
        method = request.method().as_str(),
        path = request.path(),
        protocol = protocol(request.version()),
        status_code = end.status().map(|status| i64::from(status.as_u16())),
        end = end.kind().as_str(),
        error_type = end.error_code(),
        error_message = end.error().map(|error| error.message()),
        model_name = end.requested_model(),
        upstream_model = decision.map(RouteDecision::engine_model),
        model_route = end.route(),
        rule = end.rule(),
        model_server = decision.map(RouteDecision::model_server),
        selected_pod = selected_pod(end),
        endpoint = endpoint(end),
        request_id = request.id(),
        upstream_attempts = i64::from(end.attempts()),
        input_tokens = end.input_tokens(),
        output_tokens = output_tokens(end),
        cached_tokens = end.usage().cached,
        reasoning_tokens = end.usage().reasoning,
        tokens_exact = end.is_exact(),
        response_bytes = end.bytes(),
        duration_total = millis(times.total),
        duration_request_processing = millis(times.receive),
        duration_queue = millis(times.queue),
        duration_to_head = times.to_head.map(millis),
        duration_to_first_token = times.to_first_content.map(millis),
        duration_per_output_token = times.per_output_token.map(millis),
        "request"
    );
}

impl<'a> EndFacts<'a> {
    /// A line for people, in the form of Kthena Router's access log: method, path and protocol,
    /// status, the error if there is one, then everything known as `name=value`.
    ///
    /// Nothing in it can break the line or control a terminal: all characters except visible ones
    /// are escaped, and names are cut to 256 characters.
    pub fn text(&self) -> impl Display + use<'_, 'a> {
        Line(self)
    }

    /// A JSON object on one line, under the names of Kthena Router's access log if that has one.
    /// Times are in milliseconds; what is not known is left out.
    pub fn json(&self) -> impl Display + use<'_, 'a> {
        Object(self)
    }
}

/// The Pod's name, as in Kthena's log, or where it is not known the endpoint.
fn selected_pod<'a>(end: &EndFacts<'a>) -> Option<&'a str> {
    let decision = end.decision()?;
    let name = decision.endpoint_name();
    name.or(Some(decision.endpoint()))
}

/// The endpoint, where the Pod's name takes its place.
fn endpoint<'a>(end: &EndFacts<'a>) -> Option<&'a str> {
    let decision = end.decision()?;
    decision.endpoint_name().map(|_| decision.endpoint())
}

/// What is known about where the request went.
fn names<'a>(end: &EndFacts<'a>) -> [(&'static str, Option<&'a str>); 8] {
    let decision = end.decision();
    [
        ("model_name", end.requested_model()),
        ("upstream_model", decision.map(RouteDecision::engine_model)),
        ("model_route", end.route()),
        ("rule", end.rule()),
        ("model_server", decision.map(RouteDecision::model_server)),
        ("selected_pod", selected_pod(end)),
        ("endpoint", endpoint(end)),
        ("request_id", Some(end.request().id())),
    ]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

struct Line<'f, 'a>(&'f EndFacts<'a>);

impl Display for Line<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (end, request) = (self.0, self.0.request());
        put(f, &["\"", request.method().as_str(), " "])?;
        Plain(request.path()).fmt(f)?;
        put(f, &[" ", protocol(request.version()), "\" "])?;
        f.write_str(end.status().as_ref().map_or("-", StatusCode::as_str))?;
        if let Some(kind) = end.error_code() {
            put(f, &[" error=", kind])?;
            if let Some(error) = end.error() {
                write!(f, ":\"{}\"", Plain(error.message()))?;
            }
        }
        for (name, value) in names(end) {
            if let Some(value) = value {
                put(f, &[" ", name, "="])?;
                Field(value).fmt(f)?;
            }
        }
        if end.attempts() > 1 {
            put_number(f, " attempts=", end.attempts().into())?;
        }
        let (input, output) = (end.input_tokens(), output_tokens(end));
        if end.is_answered() && (input.is_some() || output.is_some()) {
            match input {
                Some(input) => put_number(f, " tokens=", input)?,
                None => f.write_str(" tokens=-")?,
            }
            let about = if end.is_exact() { "/" } else { "/~" };
            put_number(f, about, output.unwrap_or_default())?;
        }
        timings(end.times(), f)
    }
}

fn timings(times: &Times, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(" timings=")?;
    Millis::<1>(times.total).fmt(f)?;
    f.write_str("ms(req=")?;
    Millis::<1>(times.receive).fmt(f)?;
    let queue = Some(times.queue).filter(|queue| !queue.is_zero());
    for (name, time) in [
        (" queue=", queue),
        (" head=", times.to_head),
        (" first=", times.to_first_content),
    ] {
        if let Some(time) = time {
            f.write_str(name)?;
            Millis::<1>(time).fmt(f)?;
        }
    }
    f.write_char(')')
}

/// Writes the parts in order. A line takes some 40: `write!` with as many arguments takes twice the
/// instructions.
fn put(f: &mut fmt::Formatter<'_>, parts: &[&str]) -> fmt::Result {
    parts.iter().try_for_each(|part| f.write_str(part))
}

fn put_number(f: &mut fmt::Formatter<'_>, name: &str, number: u64) -> fmt::Result {
    put(f, &[name, itoa::Buffer::new().format(number)])
}

struct Object<'f, 'a>(&'f EndFacts<'a>);

impl Display for Object<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (end, request) = (self.0, self.0.request());
        f.write_str("{\"method\":")?;
        Json(request.method().as_str()).fmt(f)?;
        let texts = [
            ("path", Some(request.path())),
            ("protocol", Some(protocol(request.version()))),
            ("end", Some(end.kind().as_str())),
            ("error_type", end.error_code()),
            ("error_message", end.error().map(|error| error.message())),
        ];
        for (name, value) in texts.into_iter().chain(names(end)) {
            if let Some(value) = value {
                put(f, &[",\"", name, "\":"])?;
                Json(value).fmt(f)?;
            }
        }
        for (name, value) in numbers(end) {
            if let Some(value) = value {
                put(f, &[",\"", name])?;
                put_number(f, "\":", value)?;
            }
        }
        let is_exact = if end.is_exact() { "true" } else { "false" };
        put(f, &[",\"tokens_exact\":", is_exact])?;
        let times = end.times();
        for (name, value) in [
            ("duration_total", Some(times.total)),
            ("duration_request_processing", Some(times.receive)),
            ("duration_queue", Some(times.queue)),
            ("duration_to_head", times.to_head),
            ("duration_to_first_token", times.to_first_content),
            ("duration_per_output_token", times.per_output_token),
        ] {
            if let Some(value) = value {
                put(f, &[",\"", name, "\":"])?;
                Millis::<3>(value).fmt(f)?;
            }
        }
        f.write_char('}')
    }
}

fn numbers(end: &EndFacts<'_>) -> [(&'static str, Option<u64>); 7] {
    let usage = end.usage();
    let status = end.status().map(|status| u64::from(status.as_u16()));
    [
        ("status_code", status),
        ("upstream_attempts", Some(u64::from(end.attempts()))),
        ("input_tokens", end.input_tokens()),
        ("output_tokens", output_tokens(end)),
        ("cached_tokens", usage.cached),
        ("reasoning_tokens", usage.reasoning),
        ("response_bytes", Some(end.bytes())),
    ]
}

/// What was reported or counted; `None` where nothing was.
fn output_tokens(end: &EndFacts<'_>) -> Option<u64> {
    let counted = Some(end.output_tokens()).filter(|&tokens| tokens > 0);
    counted.or(end.totals().1)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// The longest text of a client's that is logged, in characters.
const MAX: usize = 256;

/// A value as text: in quotes where it would not be told from the fields behind it.
struct Field<'a>(&'a str);

impl Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_all(self.0, |byte| {
            is_plain(byte) && !matches!(byte, b' ' | b'=')
        }) {
            return f.write_str(self.0);
        }
        let is_one = |letter: char| !letter.is_whitespace() && !matches!(letter, '=' | '"');
        match !self.0.is_empty() && self.0.chars().all(is_one) {
            true => Plain(self.0).fmt(f),
            false => write!(f, "\"{}\"", Plain(self.0)),
        }
    }
}

/// Whether a terminal obeys it, or shows it as nothing, as the end of a line, or by turning around
/// what follows.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// A text without what could break a line or write to a terminal.
struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_all(self.0, is_plain) {
            return f.write_str(self.0);
        }
        write_letters(f, self.0, |f, hidden| {
            write!(f, "{}", hidden.escape_unicode())
        })?;
        match self.0.chars().nth(MAX) {
            Some(_) => f.write_str("..."),
            None => Ok(()),
        }
    }
}

/// Writes `text` as far as it is not cut, and with `hide` what a terminal would not show.
fn write_letters(
    f: &mut fmt::Formatter<'_>,
    text: &str,
    hide: fn(&mut fmt::Formatter<'_>, char) -> fmt::Result,
) -> fmt::Result {
    text.chars().take(MAX).try_for_each(|letter| match letter {
        '"' | '\\' => write!(f, "\\{letter}"),
        letter if is_hidden(letter) => hide(f, letter),
        letter => f.write_char(letter),
    })
}

/// Whether there is a text, it is not to be cut, and all its bytes are such. It looks at each of
/// them, which the compiler then does 16 at a time.
fn is_all(text: &str, is_such: impl Fn(u8) -> bool) -> bool {
    let all = || text.bytes().fold(true, |all, byte| all & is_such(byte));
    (1..=MAX).contains(&text.len()) && all()
}

/// Whether a byte is a character that stands for itself in text and in JSON.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// A time in milliseconds with this many digits after the point, the last of which is
/// rounded.
struct Millis<const DIGITS: u32>(Duration);

impl<const DIGITS: u32> Display for Millis<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, parts) = (10_u64.pow(6 - DIGITS), 10_u64.pow(DIGITS));
        // Of 500 years no more is said.
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        let units = nanos.saturating_add(unit / 2) / unit;
        let (whole, rest) = (units / parts, units % parts);
        let (mut before, mut behind) = (itoa::Buffer::new(), itoa::Buffer::new());
        // The 1 in front of them keeps their zeros.
        let behind = &behind.format(parts + rest)[1..];
        put(f, &[before.format(whole), ".", behind])
    }
}

/// A text as a JSON string, cut to the same length.
struct Json<'a>(&'a str);

impl Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_all(self.0, is_plain) {
            return put(f, &["\"", self.0, "\""]);
        }
        f.write_char('"')?;
        write_letters(f, self.0, |f, hidden| {
            let mut units = [0; 2];
            let mut units = hidden.encode_utf16(&mut units).iter();
            units.try_for_each(|unit| write!(f, "\\u{unit:04x}"))
        })?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_field_and_turns_nothing_around() {
        for (name, shown) in [
            ("org/base-v1", "org/base-v1"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("a route=b", "\"a route=b\""),
            ("a\"b", "\"a\\\"b\""),
            ("", "\"\""),
            ("a\u{202e}b\u{2028}c", "\"a\\u{202e}b\\u{2028}c\""),
            ("a\\b\n", "\"a\\\\b\\u{a}\""),
        ] {
            assert_eq!(Field(name).to_string(), shown, "{name}");
        }
        let long = "n".repeat(MAX + 1);
        assert_eq!(Field(&long).to_string(), format!("{}...", &long[1..]));
    }

    #[test]
    fn json_writes_nothing_to_a_terminal_and_says_the_same() {
        let hidden = "a\u{9b}31m\u{202e}\u{7f}\u{e0001}\n";
        let shown = r#""a\u009b31m\u202e\u007f\udb40\udc01\u000a""#;
        assert_eq!(Json(hidden).to_string(), shown);
        for text in [hidden, "caf\u{e9} \"\\\" \u{1f600}\t\u{0}", ""] {
            let read: String = serde_json::from_str(&Json(text).to_string()).unwrap();
            assert_eq!(read, text);
        }
    }

    #[test]
    fn times_are_rounded_as_floats_are() {
        for nanos in [
            0,
            49_999,
            50_000,
            1_049_999,
            1_500_000_000,
            999_950_000,
            12_345_678_901,
        ] {
            let time = Duration::from_nanos(nanos);
            let millis = millis(time);
            assert_eq!(Millis::<3>(time).to_string(), format!("{millis:.3}"));
            if nanos % 100_000 != 50_000 {
                assert_eq!(Millis::<1>(time).to_string(), format!("{millis:.1}"));
            }
        }
        assert_eq!(Millis::<1>(Duration::from_micros(50)).to_string(), "0.1");
    }
}
