//! Parser events to trees, within limits.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag, options};

use super::{Dialect, Entry, Error, Kind, Limits, Node, Position, Problem, scalar};

/// A collection whose end has not come yet.
struct Open {
    anchor: usize,
    at: Option<Position>,
    kind: OpenKind,
}

enum OpenKind {
    Sequence(Vec<Node>),
    Mapping(Mapping),
}

#[derive(Default)]
struct Mapping {
    entries: Vec<Entry>,
    /// Where the keys so far are, which finds repetitions without a quadratic search.
    seen: HashMap<String, Slot>,
    key: Option<(String, Option<Position>, bool)>,
    /// What `<<` brings in at the end, where the dialect wants it there.
    merges: Vec<(Node, Option<Position>)>,
    /// Line of the first `<<`.
    merged_at: Option<u32>,
}

/// A key that is there already.
#[derive(Clone, Copy)]
struct Slot {
    /// Which entry it is.
    index: usize,
    /// Its line, when it was not brought in by `<<`.
    own: Option<u32>,
}

struct Builder {
    dialect: Dialect,
    limits: Limits,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: Vec<Node>,
}

pub(super) fn documents(text: &str, dialect: Dialect, limits: Limits) -> Result<Vec<Node>, Error> {
    if text.len() > limits.bytes {
        return Err(Error::new(None, Problem::Limit { limit: limits.bytes, what: "bytes" }));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = options! {
        emit_comments: false,
        flow_nesting_limit: limits.depth,
        block_nesting_limit: limits.depth,
    };
    let mut builder = Builder { dialect, limits, stack: Vec::new(), anchors: HashMap::new(), nodes: 0, documents: Vec::new() };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let at = place(error.marker().line(), error.marker().col());
            Error::new(Some(at), Problem::Syntax(format!("not YAML: {}; check indentation, quotes and brackets up to here", error.info())))
        })?;
        builder.event(event, span)?;
    }
    Ok(builder.documents)
}

fn place(line: usize, column: usize) -> Position {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Position { line: number(line.max(1)), column: number(column).saturating_add(1) }
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Error> {
        let at = Some(place(span.start.line(), span.start.col()));
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = self.scalar(&text, style, tag.as_deref()).map_err(|problem| Error::new(at, problem))?;
                // A plain scalar's own text is its key form: `1.10: x` is the key "1.10".
                let merge = text == "<<" && style == ScalarStyle::Plain;
                let is_other = matches!(kind, Kind::Bool(_)) || (tag.is_some() && matches!(kind, Kind::String(_)));
                let key = (!is_other || merge || self.dialect == Dialect::Core).then(|| text.into_owned());
                self.count(1, at)?;
                self.finish(Node { kind, at }, anchor, key.map(|key| (key, merge)))
            }
            Event::Alias(id) => {
                let node = self.anchors.get(&id).ok_or_else(|| Error::new(at, Problem::RecursiveAlias))?;
                let (node, weight, depth) = (Node { at, ..node.clone() }, node.weight(), node.depth());
                self.count(weight, at)?;
                if self.stack.len() + depth > self.limits.depth {
                    return Err(Error::new(at, Problem::Limit { limit: self.limits.depth, what: "levels of nesting" }));
                }
                self.finish(node, 0, None)
            }
            Event::SequenceStart(_, anchor, tag) => self.open(anchor, at, tag.as_deref(), "seq", OpenKind::Sequence(Vec::new())),
            Event::MappingStart(_, anchor, tag) => self.open(anchor, at, tag.as_deref(), "map", OpenKind::Mapping(Mapping::default())),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.stack.pop() else { return Ok(()) };
                let kind = match open.kind {
                    OpenKind::Sequence(items) => Kind::Sequence(items),
                    OpenKind::Mapping(mapping) => Kind::Mapping(mapping.finished()?),
                };
                self.finish(Node { kind, at: open.at }, open.anchor, None)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, more: usize, at: Option<Position>) -> Result<(), Error> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > self.limits.nodes {
            return Err(Error::new(at, Problem::Limit { limit: self.limits.nodes, what: "values, aliases expanded" }));
        }
        Ok(())
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Kind, Problem> {
        match tag {
            // The non-specific tag makes text of anything.
            Some(tag) if tag.original() == "!" => Ok(Kind::String(text.to_owned())),
            Some(tag) if self.dialect == Dialect::Go && is_binary(tag) => scalar::binary(text),
            Some(tag) => match tag.core_suffix().and_then(|suffix| scalar::tagged(text, suffix, self.dialect)) {
                Some(kind) => kind,
                None if self.dialect == Dialect::Go => Ok(Kind::String(text.to_owned())),
                None => Err(Problem::UnknownTag(tag.original())),
            },
            None if style == ScalarStyle::Plain => scalar::plain(text, self.dialect),
            None => Ok(Kind::String(text.to_owned())),
        }
    }

    fn open(&mut self, anchor: usize, at: Option<Position>, tag: Option<&Tag>, own: &str, kind: OpenKind) -> Result<(), Error> {
        if self.stack.len() >= self.limits.depth {
            return Err(Error::new(at, Problem::Limit { limit: self.limits.depth, what: "levels of nesting" }));
        }
        if let Some(tag) = tag.filter(|tag| self.dialect != Dialect::Go && !tag.is_yaml_core_schema_tag(own)) {
            return Err(Error::new(at, Problem::UnknownTag(tag.original())));
        }
        if matches!(self.stack.last(), Some(Open { kind: OpenKind::Mapping(Mapping { key: None, .. }), .. })) {
            return Err(Error::new(at, Problem::ComplexKey));
        }
        self.count(1, at)?;
        self.stack.push(Open { anchor, at, kind });
        Ok(())
    }

    /// Puts a complete value where it belongs. `key` is its form as a key, and whether that is the merge key.
    fn finish(&mut self, node: Node, anchor: usize, key: Option<(String, bool)>) -> Result<(), Error> {
        if anchor != 0 {
            // The copy is paid for too: nested anchors would otherwise multiply the text by its depth.
            self.count(node.weight(), node.at)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => {
                if self.documents.len() >= self.limits.documents {
                    return Err(Error::new(node.at, Problem::Limit { limit: self.limits.documents, what: "documents" }));
                }
                self.documents.push(node);
                Ok(())
            }
            Some(OpenKind::Sequence(items)) => {
                items.push(node);
                Ok(())
            }
            Some(OpenKind::Mapping(mapping)) => mapping.push(node, key, self.dialect),
        }
    }
}

impl Mapping {
    /// The mapping with what `<<` brought in behind its own keys; earlier ones win (<https://yaml.org/type/merge.html>).
    fn finished(mut self) -> Result<Vec<Entry>, Error> {
        for (source, at) in std::mem::take(&mut self.merges) {
            for entry in sources(source, at)?.into_iter().flatten() {
                if !self.seen.contains_key(&entry.key) {
                    self.put(entry, None);
                }
            }
        }
        Ok(self.entries)
    }

    /// `<<` as goyaml v2 takes it: there and then, over whatever stands before it, and under whatever follows.
    fn merge(&mut self, source: Node, at: Option<Position>, dialect: Dialect) -> Result<(), Error> {
        let line = at.map_or(0, |at| at.line);
        // Other libraries of Go let a mapping's own keys win, and have one `<<`.
        let ambiguous = |key: &str, first| Err(Error::new(at, Problem::DuplicateKey { key: key.to_owned(), first }));
        if let (Dialect::GoExact, Some(first)) = (dialect, self.merged_at) {
            return ambiguous("<<", first);
        }
        self.merged_at.get_or_insert(line);
        for entry in sources(source, at)?.into_iter().rev().flatten() {
            if let (Dialect::GoExact, Some(&Slot { own: Some(first), .. })) = (dialect, self.seen.get(&entry.key)) {
                return ambiguous(&entry.key, first);
            }
            self.put(entry, None);
        }
        Ok(())
    }

    /// Adds an entry, or replaces that of the same key.
    fn put(&mut self, entry: Entry, own: Option<u32>) {
        let index = self.entries.len();
        let slot = self.seen.entry(entry.key.clone()).or_insert(Slot { index, own });
        slot.own = slot.own.or(own);
        match self.entries.get_mut(slot.index) {
            Some(there) => *there = entry,
            None => self.entries.push(entry),
        }
    }

    fn push(&mut self, node: Node, key: Option<(String, bool)>, dialect: Dialect) -> Result<(), Error> {
        match self.key.take() {
            None => {
                let (text, merge) = match (key, node.kind) {
                    (_, Kind::Sequence(_) | Kind::Mapping(_)) => return Err(Error::new(node.at, Problem::ComplexKey)),
                    (_, Kind::Null) if dialect != Dialect::Core => return Err(Error::new(node.at, Problem::ComplexKey)),
                    (Some(key), _) => key,
                    (None, Kind::Bool(value)) => (value.to_string(), false),
                    (None, Kind::Number(_, text)) => (text.into(), false),
                    (None, Kind::String(text)) => (text, false),
                    (None, Kind::Null) => (String::new(), false),
                };
                self.key = Some((text, node.at, merge));
            }
            Some((_, at, true)) if dialect == Dialect::Core => self.merges.push((node, at)),
            Some((_, at, true)) => self.merge(node, at, dialect)?,
            Some((key, at, false)) => {
                if let Some(&Slot { own: Some(first), .. }) = self.seen.get(&key) {
                    return Err(Error::new(at, Problem::DuplicateKey { key, first }));
                }
                self.put(Entry { key, key_at: at, value: node }, Some(at.map_or(0, |at| at.line)));
            }
        }
        Ok(())
    }
}

/// Whether it is `!!binary` (<https://yaml.org/type/binary.html>), which is not of the core schema.
fn is_binary(tag: &Tag) -> bool {
    let (handle, suffix) = tag.parts();
    "tag:yaml.org,2002:binary".strip_prefix(handle) == Some(suffix)
}

/// The mappings that `<<` brings in, the first of which goes before the others.
fn sources(source: Node, at: Option<Position>) -> Result<Vec<Vec<Entry>>, Error> {
    let all = match source.kind {
        Kind::Sequence(items) => items,
        _ => vec![source],
    };
    let mapping =
        |source: Node| if let Kind::Mapping(entries) = source.kind { Ok(entries) } else { Err(Error::new(at, Problem::BadMerge)) };
    all.into_iter().map(mapping).collect()
}

#[cfg(test)]
mod tests {
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
            prop::sample::select(vec![
                "yes",
                "1.0",
                "~",
                "0x1",
                "2020-01-01",
                "1:30",
                "<<",
                "- a",
                "a: b",
                " x",
                "x ",
                "\n",
                "a\n\n",
                "\n a"
            ])
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
}
