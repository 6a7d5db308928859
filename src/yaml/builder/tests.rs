use proptest::prelude::*;
use serde_json::json;

use super::super::{parse, parse_json, parse_one, to_string, *};

fn problem(text: &str) -> Problem {
    parse(text).expect_err(text).problem
}

#[test]
fn places_count_from_one() {
    let node = parse("a: 1\nb:\n  - x\n  - {c: ä, d: 2}\n").expect("parses").remove(0);
    let at = |node: &Node| node.at.map(|at| (at.line, at.column));
    let items = node.get("b").and_then(Node::items).expect("a list");
    assert_eq!((at(&node), at(&items[0]), items[1].get("d").and_then(at)), (Some((1, 1)), Some((3, 5)), Some((4, 15))));
    assert_eq!(node.entries().expect("a mapping")[1].key_at, Some(Position { line: 2, column: 1 }));
    let json = parse_json("{\n  \"a\": [\"x\\u00e4\", 1.10]\n}", Limits::default()).expect("parses");
    let list = json.get("a").and_then(Node::items).expect("a list");
    assert_eq!((list[0].as_str(), at(&list[1])), (Some("xä"), Some((2, 20))));
    assert!(matches!(&list[1].kind, Kind::Number(_, literal) if &**literal == "1.10"));
}

#[test]
fn merges_and_aliases() {
    let node = parse("base: &b {x: 1, y: 2}\nover: {<<: *b, y: 3}\nlist: {<<: [*b, {z: 4}]}\ncopy: *b\n").expect("parses").remove(0);
    assert_eq!(
        node.to_json(),
        json!({"base": {"x": 1, "y": 2}, "over": {"y": 3, "x": 1}, "list": {"x": 1, "y": 2, "z": 4}, "copy": {"x": 1, "y": 2}})
    );
    assert_eq!(parse("'<<': 1").expect("a quoted key").remove(0).to_json(), json!({"<<": 1}));
}

/// Taken from what kubectl and Helm make of these.
#[test]
fn merges_and_binaries_are_read_as_go_reads_them() {
    let go = |text: &str| parse_one(text, Dialect::Go, Limits::default()).map(|node| node.to_json());
    let exact = |text: &str| parse_one(text, Dialect::GoExact, Limits::default()).map(|node| node.to_json());
    for (text, core, kubectl, ambiguous) in [
        ("{a: own, <<: {a: m}}", "own", "m", true),
        ("{<<: {a: m}, a: own}", "own", "own", false),
        ("{<<: {a: m1}, <<: {a: m2}}", "m1", "m2", true),
        ("{<<: [{a: m1}, {a: m2}]}", "m1", "m1", false),
        ("{a: own, <<: {b: m}}", "own", "own", false),
    ] {
        assert_eq!(parse(text).expect(text)[0].to_json()["a"], core, "{text}");
        assert_eq!(go(text).expect(text)["a"], kubectl, "{text}");
        assert_eq!(exact(text).is_err(), ambiguous, "{text}");
    }
    assert_eq!(go("{!!binary YQ==: !!binary aGVsbG8=}"), Ok(json!({"a": "hello"})));
    for text in ["{a: !!binary '***'}", "{a: !!binary _w==}"] {
        assert!(go(text).is_err(), "{text}");
    }
    for text in ["{a: !!binary aGVsbG8=}", "{!!binary YQ==: x}", "{!!merge a: {b: c}}", "{a: !x {b: c}}"] {
        assert!(matches!(exact(text).map_err(|error| error.problem), Err(Problem::UnknownTag(_))), "{text}");
    }
    assert!(matches!(go("{a: 1, <<: {a: 2}, a: 3}").map_err(|error| error.problem), Err(Problem::DuplicateKey { first: 1, .. })));
}

#[test]
fn documents_and_tags() {
    assert_eq!(parse("").expect("nothing"), []);
    let documents = parse("--- 1\n--- !!str 2\n---\n...\n").expect("parses");
    assert_eq!(documents.iter().map(Node::to_json).collect::<Vec<_>>(), [json!(1), json!("2"), json!(null)]);
    assert_eq!(parse_one("a: !mine x", Dialect::Go, Limits::default()).expect("tags are ignored").to_json(), json!({"a": "x"}));
    assert_eq!(parse_one("on: 1\n1.5: x", Dialect::Go, Limits::default()).expect("parses").to_json(), json!({"true": 1, "1.5": "x"}));
    assert_eq!(parse_one("on: 1", Dialect::Core, Limits::default()).expect("parses").to_json(), json!({"on": 1}));
}

#[test]
fn hostile_and_wrong_texts_are_refused() {
    assert_eq!(problem("a: 1\nb: 2\na: 3"), Problem::DuplicateKey { key: "a".into(), first: 1 });
    assert_eq!(problem("? [a]\n: 1"), Problem::ComplexKey);
    assert_eq!(problem("x: {<<: 1}"), Problem::BadMerge);
    assert_eq!(problem("a: &a [*a]"), Problem::RecursiveAlias);
    assert_eq!(problem("a: !mine x"), Problem::UnknownTag("!mine".into()));
    assert!(matches!(problem("a: .inf"), Problem::BadScalar { .. }));
    assert!(matches!(problem(&"[".repeat(5_000)), Problem::Syntax(_) | Problem::Limit { .. }));
    let stairs = (0..200).fold(String::new(), |text, i| text + &" ".repeat(i) + "a:\n");
    assert!(matches!(problem(&stairs), Problem::Syntax(_) | Problem::Limit { .. }));
    let bomb = (0..20).fold("a0: &a0 [x]\n".to_owned(), |text, i| text + &format!("a{}: &a{0} [*a{i}, *a{i}, *a{i}, *a{i}]\n", i + 1));
    assert!(matches!(problem(&bomb), Problem::Limit { what: "values, aliases expanded", .. }), "{:?}", problem(&bomb));
    let long = format!("a: &a \"{}\"\nb: [{}]", "x".repeat(1 << 20), "*a, ".repeat(100));
    assert!(matches!(problem(&long), Problem::Limit { what: "values, aliases expanded", .. }), "{:?}", problem(&long));
    assert!(parse(&long.replace(&"*a, ".repeat(98), "")).is_ok(), "a few copies of a long text are nothing");
    assert!(matches!(parse_json("{\"a\": 1,}", Limits::default()).map_err(|e| e.problem), Err(Problem::Syntax(_))));
    assert!(matches!(parse_json("{\"a\": 1, \"a\": 2}", Limits::default()).map_err(|e| e.problem), Err(Problem::DuplicateKey { .. })));
    assert_eq!(parse_one("1\n---\n2", Dialect::Core, Limits::default()).map_err(|e| e.problem), Err(Problem::SecondDocument));
}

/// Any JSON value of modest size.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|v| json!(v)),
        any::<i64>().prop_map(|v| json!(v)),
        (-1e9..1e9).prop_map(|v: f64| json!(v)),
        "\\PC{0,120}".prop_map(|v| json!(v)),
        "[ a-z:#'\"\\n\\t-]{0,12}".prop_map(|v| json!(v)),
        prop::sample::select(vec!["yes", "1.0", "~", "0x1", "2020-01-01", "1:30", "<<", "- a", "a: b", " x", "x ", "\n", "a\n\n", "\n a"])
            .prop_map(|v| json!(v)),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|v| json!(v)),
            prop::collection::btree_map("[a-zA-Z0-9 :#]{1,8}", inner, 0..5).prop_map(|v| json!(v)),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in "[ \\n\\t\\-:{}\\[\\]&*!|>'\"%@`#?,a-c0-9<~.]{0,60}") {
        let _ = parse_with(&text, Dialect::Core, Limits::default());
        let _ = parse_with(&text, Dialect::Go, Limits::default());
    }

    #[test]
    fn json_reads_as_json(value in value()) {
        let text = serde_json::to_string_pretty(&value).expect("serialises");
        prop_assert_eq!(parse_json(&text, Limits::default()).map(|node| node.to_json()), Ok(value));
    }

    #[test]
    fn what_is_written_reads_back(value in value()) {
        let text = to_string(&value);
        let back = parse_value(&text, Dialect::Go).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(&normal(&back), &normal(&value), "{}", text);
    }
}

/// Whole floats are written as integers, and the order of keys changes.
fn normal(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Number(number) => json!(number.as_f64()),
        serde_json::Value::Array(items) => items.iter().map(normal).collect(),
        serde_json::Value::Object(map) => {
            let sorted: std::collections::BTreeMap<_, _> = map.iter().map(|(k, v)| (k.clone(), normal(v))).collect();
            json!(sorted)
        }
        other => other.clone(),
    }
}
