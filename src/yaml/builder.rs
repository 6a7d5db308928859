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
mod tests;
