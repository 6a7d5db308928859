//! The steps of a build, by the digest that BuildKit knows them by.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::event::Vertex;
use crate::logs::Pipe;

/// Most steps that are followed; a build with more is shown in part.
const MOST: usize = 20_000;
/// Bytes of a step's last output that are kept for a failure.
const TAIL: usize = 16 << 10;
/// Longest name that is shown.
const NAME: usize = 200;

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) started: Option<Timestamp>,
    pub(super) cached: bool,
    pub(super) over: bool,
    /// Its output on its way to the log; streams 1 and 2.
    pub(super) pipes: BTreeMap<u8, Pipe>,
    pub(super) tail: VecDeque<u8>,
}

impl Step {
    /// BuildKit's own doings are not in the Dockerfile.
    pub(super) fn is_internal(&self) -> bool {
        self.name.starts_with("[internal]") || self.name.starts_with("[auth]") || !self.name.starts_with('[')
    }

    /// Whether it lists what is in the image, which no instruction asked for.
    pub(super) fn is_scan(&self) -> bool {
        is_scan(&self.name)
    }

    /// The base image it stands for: what follows `FROM`, digest included.
    pub(super) fn base_image(&self) -> Option<&str> {
        let (_, instruction) = self.name.strip_prefix('[')?.split_once("] ")?;
        instruction.strip_prefix("FROM ").map(str::trim)
    }

    pub(super) fn remember(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
        let surplus = (self.tail.len() + bytes.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.tail.extend(bytes);
    }
}

/// All steps, in the order in which they were first heard of.
#[derive(Debug, Default)]
pub(super) struct Steps {
    all: BTreeMap<String, Step>,
}

impl Steps {
    /// The step of that vertex, new ones numbered.
    pub(super) fn of(&mut self, vertex: &Vertex) -> Option<&mut Step> {
        if !self.all.contains_key(&vertex.digest) {
            if self.all.len() >= MOST {
                return None;
            }
            let step = Step {
                number: self.all.len() + 1,
                name: one_line(&vertex.name),
                started: None,
                cached: false,
                over: false,
                pipes: BTreeMap::new(),
                tail: VecDeque::new(),
            };
            self.all.insert(vertex.digest.clone(), step);
        }
        self.all.get_mut(&vertex.digest)
    }

    /// A step that was heard of.
    pub(super) fn get(&mut self, digest: &str) -> Option<&mut Step> {
        self.all.get_mut(digest)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Step> {
        self.all.values()
    }

    /// Ends every stream of output.
    pub(super) fn close(&mut self) {
        self.all.values_mut().for_each(|step| step.pipes.clear());
    }
}

/// Whether that is the name of a generator's run (buildkit `frontend/attestations/sbom/sbom.go`).
pub(super) fn is_scan(name: &str) -> bool {
    name.starts_with('[') && name.contains("] generating sbom using ")
}

/// The first line of a name, cut: here-documents make names of many lines.
fn one_line(name: &str) -> String {
    let first = name.lines().next().unwrap_or_default();
    let cut: String = first.chars().take(NAME).collect();
    if cut.len() < name.len() { format!("{cut} …") } else { cut }
}
