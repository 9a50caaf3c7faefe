//! What the gateway says when it starts.

mod own;

pub(crate) use own::own;
use serde_json::json;

use crate::{
    Args,
    engines::{Engines, Group},
    print::{columns, say},
    routes::{SCENARIOS, Scenario},
};

/// Prints what is routed where in the scenarios, and how to try it.
pub(crate) fn scenarios(url: &str, engines: &Engines, args: &Args) {
    say(format_args!(
        "Gateway on {url}, in front of these mock engines (stop it with Ctrl-C):\n"
    ));
    let heads = ["MODEL SERVER", "ENGINES", "MODELS"].map(str::to_owned);
    let mut rows = vec![heads];
    for group in engines.groups() {
        rows.push([group.server.to_owned(), addresses(group), served(group)]);
    }
    for line in columns(&rows) {
        say(format_args!("  {line}"));
    }
    say("\nScenarios:\n");
    for (number, scenario) in (1..).zip(&SCENARIOS) {
        let Scenario {
            name,
            about,
            model,
            header,
        } = scenario;
        say(format_args!("{number}. {name}: {about}"));
        say(format_args!("   {}\n", curl(url, model, *header)));
    }
    closing_words(url, args);
}

fn closing_words(url: &str, args: &Args) {
    let live = match (args.view.here, args.serving.admin) {
        (true, _) => format!("{url}/_ in a browser. Why: POST {url}/_explain"),
        (false, Some(_)) => "the admin view. Why: POST /_explain there".to_owned(),
        (false, None) => "--admin-here or --admin-listen. Why: POST /_explain there".to_owned(),
    };
    say(format_args!(
        "The headers x-model-route-* of an answer tell its way. For a stream use curl -N and add\n\
         \"stream\": true. All models: curl {url}/v1/models\n\
         What goes where, live: {live}\n\n\
         Requests:"
    ));
}

fn addresses(group: &Group) -> String {
    let addresses: Vec<_> = group
        .engines
        .iter()
        .map(|engine| engine.running.addr().to_string())
        .collect();
    addresses.join(", ")
}

fn served(group: &Group) -> String {
    let mut names = vec![group.model];
    names.extend(group.adapters);
    names.join(", ")
}

/// A command for a POSIX shell.
fn curl(url: &str, model: &str, header: Option<(&str, &str)>) -> String {
    let header = match header {
        Some((name, value)) => format!(" -H '{name}: {value}'"),
        None => String::new(),
    };
    let model = json!(model).to_string().replace('\'', r"'\''");
    let body =
        format!(r#"{{"model": {model}, "messages": [{{"role": "user", "content": "Hello"}}]}}"#);
    format!("curl -i {url}/v1/chat/completions{header} --json '{body}'")
}
