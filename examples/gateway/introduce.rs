//! What the gateway says when it starts.

use crate::{
    engines::{Engines, Group},
    print::{columns, say},
    routes::{SCENARIOS, Scenario},
};

/// Prints what is routed where, and how to try it.
pub(crate) fn introduce(url: &str, engines: &Engines) {
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
        let Scenario { name, about, .. } = scenario;
        say(format_args!("{number}. {name}: {about}"));
        say(format_args!("   {}\n", curl(url, scenario)));
    }
    say(format_args!(
        "The headers x-model-route-* of an answer tell its way. For a stream use curl -N and add\n\
         \"stream\": true. All models: curl {url}/v1/models\n\
         What goes where, live: {url}/_ in a browser. Why: --explain FILE, or POST {url}/_explain\n\n\
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

fn curl(url: &str, scenario: &Scenario) -> String {
    let header = match scenario.header {
        Some((name, value)) => format!(" -H '{name}: {value}'"),
        None => String::new(),
    };
    let body = format!(
        r#"{{"model": "{}", "messages": [{{"role": "user", "content": "Hello"}}]}}"#,
        scenario.model
    );
    format!("curl -i {url}/v1/chat/completions{header} --json '{body}'")
}
