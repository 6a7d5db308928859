//! Manifest text to what is published: checked objects, one after the other, in one text.
//!
//! In: texts with the names that messages call them by. Out: [`Manifests`], the text of `manifest.yaml` and the objects in it.
//! Invariants: every object is read as Kubernetes reads YAML and has `apiVersion`, `kind` and a name; none is there twice; lists are
//! unpacked and empty documents dropped; whatever needs no change keeps its bytes; size, documents, values and depth are bounded, aliases
//! expanded included; one document's tree is in memory at a time.
//! Called by the executor's steps, blocking.

mod error;
mod object;
mod split;

use std::collections::{BTreeMap, HashMap};

pub use error::{ManifestError, Place};
pub use object::Resource;

use crate::{
    shutdown::Cancel,
    yaml::{self, Dialect, Kind, Limits, Node, Position, Problem},
};

use object::Identity;
use split::Chunk;

/// Longest text, all sources together: what no cluster would take in one apply.
pub const MAX_BYTES: usize = 64 << 20;
/// Most objects and documents.
const MAX_DOCUMENTS: usize = 20_000;
/// Most values of all documents together, those that aliases repeat counted again.
const MAX_VALUES: usize = 5_000_000;
/// Limits of one document.
const DOCUMENT: Limits = Limits { bytes: MAX_BYTES, nodes: 1_000_000, depth: 100, documents: 1 };

/// Checked manifests.
#[derive(Debug, Default)]
pub struct Manifests {
    /// Content of `manifest.yaml`: the documents with `---` between them.
    pub text: String,
    /// Every object, in the order of the text.
    pub resources: Vec<Resource>,
}

impl Manifests {
    /// How many objects there are of each kind.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<&str, usize> {
        let mut kinds = BTreeMap::new();
        for resource in &self.resources {
            *kinds.entry(resource.kind.as_str()).or_insert(0) += 1;
        }
        kinds
    }
}

/// Reads `sources` (name for messages, text) in their order.
///
/// # Errors
/// The first thing that is wrong, with its place; also when there is no object at all.
pub fn read<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>, cancel: &Cancel) -> Result<Manifests, ManifestError> {
    let mut reader = Reader { manifests: Manifests::default(), seen: HashMap::new(), documents: 0, values: 0, cancel };
    let (mut names, mut bytes) = (Vec::new(), 0_usize);
    for (name, text) in sources {
        bytes = bytes.saturating_add(text.len());
        if bytes > MAX_BYTES {
            return Err(ManifestError::Limit { name: name.to_owned(), limit: MAX_BYTES, what: "bytes" });
        }
        reader.source(name, text)?;
        names.push(name);
    }
    if reader.manifests.resources.is_empty() {
        return Err(ManifestError::Nothing { name: names.join(", ") });
    }
    Ok(reader.manifests)
}

struct Reader<'c> {
    manifests: Manifests,
    /// Where each object was first.
    seen: HashMap<Identity, Place>,
    documents: usize,
    values: usize,
    cancel: &'c Cancel,
}

impl Reader<'_> {
    fn source(&mut self, name: &str, text: &str) -> Result<(), ManifestError> {
        let mut number = 0;
        for chunk in split::documents(text) {
            self.cancel.check()?;
            for part in split::json_values(&chunk).unwrap_or_else(|| vec![chunk]) {
                if part.is_blank() {
                    continue;
                }
                number += 1;
                self.documents += 1;
                let place = Place { name: name.to_owned(), document: number, at: part.begin() };
                if self.documents > MAX_DOCUMENTS {
                    return Err(ManifestError::Limit { name: name.to_owned(), limit: MAX_DOCUMENTS, what: "documents" });
                }
                self.document(&part, place)?;
            }
        }
        Ok(())
    }

    fn document(&mut self, chunk: &Chunk<'_>, place: Place) -> Result<(), ManifestError> {
        let limits = Limits { nodes: DOCUMENT.nodes.min(MAX_VALUES.saturating_sub(self.values)), ..DOCUMENT };
        let fail = |at: Option<Position>, problem| {
            let at = at.map_or(place.at, |at| chunk.absolute(at));
            ManifestError::Yaml { place: Place { at, ..place.clone() }, problem }
        };
        // JSON is read as JSON: it may have tabs where YAML wants none.
        let json = chunk.is_json().then(|| yaml::parse_json(chunk.text, limits).ok()).flatten();
        let node = if let Some(node) = json {
            node
        } else {
            let parsed = yaml::parse_with(chunk.text, Dialect::Go, Limits { documents: 2, ..limits });
            let mut documents = parsed.map_err(|error| fail(error.at, error.problem))?;
            if let Some(second) = documents.get(1) {
                return Err(fail(second.at, Problem::SecondDocument));
            }
            let Some(node) = documents.pop() else { return Ok(()) };
            node
        };
        self.values = self.values.saturating_add(count(&node));
        if node.is_null() || node.entries().is_some_and(<[_]>::is_empty) {
            return Ok(());
        }
        let place = Place { at: node.at.map_or(place.at, |at| chunk.absolute(at)), ..place };
        if let Some(items) = object::list_items(&node, &place)? {
            return self.list(items, &place, chunk);
        }
        self.add(object::resource(&node, &place)?, place)?;
        if chunk.confuses_kubectl() {
            self.append(&yaml::to_string(&node.to_json()));
        } else {
            self.append(chunk.text);
        }
        Ok(())
    }

    /// The items of a list, lists inside of it included.
    fn list(&mut self, items: Vec<Node>, place: &Place, chunk: &Chunk<'_>) -> Result<(), ManifestError> {
        for item in items {
            let place = Place { at: item.at.map_or(place.at, |at| chunk.absolute(at)), ..place.clone() };
            if item.is_null() {
                continue;
            }
            if let Some(inner) = object::list_items(&item, &place)? {
                // No deeper than the parser went.
                self.list(inner, &place, chunk)?;
                continue;
            }
            self.add(object::resource(&item, &place)?, place)?;
            self.append(&yaml::to_string(&item.to_json()));
        }
        Ok(())
    }

    fn add(&mut self, resource: Resource, place: Place) -> Result<(), ManifestError> {
        if self.manifests.resources.len() >= MAX_DOCUMENTS {
            return Err(ManifestError::Limit { name: place.name, limit: MAX_DOCUMENTS, what: "objects" });
        }
        if let Some(first) = self.seen.insert(resource.identity(), place.clone()) {
            return Err(ManifestError::Twice { resource: resource.to_string(), first, second: place });
        }
        self.manifests.resources.push(resource);
        Ok(())
    }

    /// Appends a document, with a separator that every reader of multi-document YAML takes.
    fn append(&mut self, document: &str) {
        let text = &mut self.manifests.text;
        if !text.is_empty() {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str("---\n");
        }
        // Where files were put together, a byte order mark may stand in the middle.
        text.push_str(document.trim_start_matches('\u{feff}'));
    }
}

fn count(node: &Node) -> usize {
    match &node.kind {
        Kind::Sequence(items) => 1 + items.iter().map(count).sum::<usize>(),
        Kind::Mapping(entries) => 1 + entries.iter().map(|entry| count(&entry.value)).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
