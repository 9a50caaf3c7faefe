//! How mistakes read, and that one build names them all.

use tower_model_route::{
    BuildError, ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch, TargetModel,
};

/// A configuration with a mistake of every kind but one that hides another.
fn everything_wrong() -> BuildError {
    let broken_conditions = ModelMatch::new()
        .header("user type", StringMatch::exact("x"))
        .header("user", StringMatch::regex("a("))
        .uri(StringMatch::regex("*"))
        .body_model("");
    RouteTable::builder()
        .model_server(ModelServer::new("").model(""))
        .model_server(ModelServer::new("s").endpoints(["http://h", "http://h:80", "no where"]))
        .model_server(ModelServer::new("s"))
        .model_route(ModelRoute::new(""))
        .model_route(
            ModelRoute::new("chat")
                .model_name("")
                .lora_adapters(["l", "", "l"])
                .rule(Rule::new("").when(broken_conditions))
                .rule(
                    Rule::new("split")
                        .target(TargetModel::new("s").weight(101))
                        .target("gone")
                        .target("s")
                        .target(""),
                )
                .rule(Rule::new("zero").target(TargetModel::new("s").weight(0))),
        )
        .build()
        .unwrap_err()
}

#[test]
fn all_mistakes_are_named_at_once() {
    let text = everything_wrong().to_string();
    // The regex crate explains itself in several lines of its own.
    let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with("- ")).collect();
    lines.sort_unstable();
    let mut expected = [
        "- ModelServer #1: the name is empty",
        "- ModelServer #1, model: the name is empty",
        "- ModelServer \"s\", endpoint #2: the ModelServer already has this endpoint",
        "- ModelServer \"s\", endpoint #3: this is not an endpoint: it is not a valid URI",
        "- ModelServer \"s\": another ModelServer already has this name",
        "- ModelRoute #1: the name is empty",
        "- ModelRoute #1: it has neither a model_name nor a LoRA adapter",
        "- ModelRoute #1: it has no rule",
        "- ModelRoute \"chat\", model_name: the name is empty",
        "- ModelRoute \"chat\", LoRA adapter #2: the name is empty",
        "- ModelRoute \"chat\", LoRA adapter \"l\": the ModelRoute already has this LoRA adapter",
        "- ModelRoute \"chat\", rule #1: the name is empty",
        "- ModelRoute \"chat\", rule #1, header \"user type\": this is not a valid header name",
        "- ModelRoute \"chat\", rule #1, header \"user\": the regular expression does not \
         compile: regex parse error:",
        "- ModelRoute \"chat\", rule #1, uri: the regular expression does not compile: regex \
         parse error:",
        "- ModelRoute \"chat\", rule #1, body_model: the name is empty",
        "- ModelRoute \"chat\", rule #1: it has no target",
        "- ModelRoute \"chat\", rule \"split\", target \"s\": the weight 101 is above 100",
        "- ModelRoute \"chat\", rule \"split\", target \"gone\": there is no ModelServer of this \
         name",
        "- ModelRoute \"chat\", rule \"split\", target \"s\": the rule already has this \
         ModelServer as a target",
        "- ModelRoute \"chat\", rule \"split\", target #4: the name is empty",
        "- ModelRoute \"chat\", rule \"split\": either all targets must have a weight or none",
        "- ModelRoute \"chat\", rule \"zero\": all weights are 0",
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert!(text.starts_with("23 mistakes in the route table\n- "));
}

#[test]
fn they_stand_in_the_order_of_the_configuration() {
    let route = |name: &str| ModelRoute::new(name).model_name("");
    let error = RouteTable::builder()
        // What is added in another order is checked in that of things and their users.
        .model_route(route("r").rule(Rule::new("x")).rule(Rule::new("y")))
        .model_server(ModelServer::new("s").model("").endpoint("h"))
        .model_server(ModelServer::new("t").model(""))
        .model_route(route("q").rule(Rule::new("z").target("t")))
        .build()
        .unwrap_err();
    let places: Vec<_> = error
        .mistakes()
        .iter()
        .map(|mistake| mistake.place())
        .collect();
    assert_eq!(
        places,
        [
            r#"ModelServer "s", model"#,
            r#"ModelServer "s", endpoint #1"#,
            r#"ModelServer "t", model"#,
            r#"ModelRoute "r", model_name"#,
            r#"ModelRoute "r", rule "x""#,
            r#"ModelRoute "r", rule "y""#,
            r#"ModelRoute "q", model_name"#,
        ]
    );
}

#[test]
fn each_mistake_stands_by_itself_too() {
    let error = everything_wrong();
    let each: Vec<_> = error.mistakes().iter().map(ToString::to_string).collect();
    let all = error.to_string();
    let (head, list) = all.split_once("\n- ").unwrap();
    assert_eq!(head, format!("{} mistakes in the route table", each.len()));
    assert_eq!(list, each.join("\n- "));
    for mistake in error.mistakes() {
        assert_eq!(
            mistake.to_string(),
            format!("{}: {}", mistake.place(), mistake.kind())
        );
    }
}

#[test]
fn one_mistake_is_one() {
    let error = RouteTable::builder()
        .model_server(ModelServer::new(""))
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 mistake in the route table\n- ModelServer #1: the name is empty"
    );
}

/// Names are quoted and escaped: one can't look like another place.
#[test]
fn names_are_quoted() {
    let error = RouteTable::builder()
        .model_route(ModelRoute::new("a\", rule \"b\n").model_name("m"))
        .build()
        .unwrap_err();
    assert_eq!(
        error.mistakes()[0].place(),
        r#"ModelRoute "a\", rule \"b\n""#
    );
}
