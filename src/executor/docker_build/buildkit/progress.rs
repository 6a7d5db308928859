//! From BuildKit's events to log lines, live: a step's name when it begins, its output, its time or `CACHED` when it is over.
//!
//! A step's output goes to the log as it comes, each stream through a pipe of its own, so that a secret cut by two events is still hidden.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    super::Steps as Counted,
    event::{Chunk, Event, Vertex},
    steps::Steps,
};
use crate::{
    digest::Digest,
    executor::Context,
    logs::{JobLog, Stream},
    provenance::Material,
};

/// Most lines of buildctl itself that are kept, and of how many characters: the excerpt of the Dockerfile and the error.
const MOST_LINES: usize = 200;
const WIDTH: usize = 2000;

/// The step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) name: String,
    pub(super) error: String,
    /// Its last output.
    pub(super) tail: Vec<u8>,
}

/// What is known when the build is over.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) steps: Counted,
    pub(super) materials: Vec<Material>,
    pub(super) failed: Option<Failed>,
    /// What buildctl said besides.
    pub(super) lines: Vec<String>,
}

/// Follows one build.
#[derive(Debug)]
pub(super) struct Progress {
    log: JobLog,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    steps: Steps,
    failed: Option<Failed>,
    lines: Vec<String>,
}

impl Progress {
    pub(super) fn new(cx: &Context) -> Self {
        Self { log: cx.log.clone(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next line of buildctl.
    pub(super) fn line(&self, line: &str) {
        let mut state = self.state();
        let Some(event) = Event::parse(line) else {
            if state.lines.len() < MOST_LINES && !line.starts_with("time=") {
                state.lines.push(line.chars().take(WIDTH).collect());
            }
            return;
        };
        for vertex in &event.vertexes {
            self.vertex(&mut state, vertex);
        }
        for chunk in &event.logs {
            self.output(&mut state, chunk);
        }
        for warning in &event.warnings {
            self.log.warn(warning.text());
        }
    }

    fn vertex(&self, state: &mut State, vertex: &Vertex) {
        let Some(step) = state.steps.of(vertex) else { return };
        let (number, internal) = (step.number, step.is_internal());
        if step.started.is_none() && vertex.started.is_some() {
            step.started = vertex.started;
            if !vertex.cached {
                self.log.info(format_args!("#{number} {}", step.name));
            }
        }
        if !vertex.error.is_empty() && !step.over {
            step.over = true;
            step.pipes.clear();
            // What another step's failure stopped did not fail itself.
            if !vertex.error.ends_with("context canceled") {
                self.log.info(format_args!("#{number} FAILED {}", vertex.error.lines().next().unwrap_or_default()));
                let tail = std::mem::take(&mut step.tail).into();
                let failed = Failed { name: step.name.clone(), error: vertex.error.clone(), tail };
                state.failed.get_or_insert(failed);
            }
            return;
        }
        if let Some(completed) = vertex.completed.filter(|_| !internal && !step.over) {
            step.over = true;
            step.cached = vertex.cached;
            step.pipes.clear();
            step.tail.clear();
            if vertex.cached {
                self.log.info(format_args!("#{number} {} CACHED", step.name));
            } else {
                let seconds = step
                    .started
                    .and_then(|started| completed.since(started).ok())
                    .map_or(0.0, |span| span.total(jiff::Unit::Second).unwrap_or(0.0));
                self.log.info(format_args!("#{number} DONE {seconds:.1} s"));
            }
        }
    }

    fn output(&self, state: &mut State, chunk: &Chunk) {
        let Some(step) = state.steps.get(&chunk.vertex) else { return };
        let bytes = chunk.bytes();
        step.remember(&bytes);
        let stream = if chunk.stream == 2 { Stream::Stderr } else { Stream::Stdout };
        step.pipes.entry(chunk.stream).or_insert_with(|| self.log.pipe(stream)).write(&bytes);
    }

    /// Ends the log's part and says what was seen.
    pub(super) fn finish(&self) -> Summary {
        let mut state = std::mem::take(&mut *self.state());
        state.steps.close();
        let mut summary = Summary { failed: state.failed.take(), lines: std::mem::take(&mut state.lines), ..Summary::default() };
        for step in state.steps.iter() {
            if let Some(image) = step.base_image() {
                summary.materials.extend(material(image));
            } else if !step.is_internal() && !step.is_scan() {
                summary.steps.total += 1;
                summary.steps.cached += u64::from(step.cached);
            }
        }
        summary.materials.sort_by(|a, b| a.uri.cmp(&b.uri));
        summary.materials.dedup();
        summary
    }
}

/// A base image by the digest it was resolved to; `scratch` and stages have none.
fn material(image: &str) -> Option<Material> {
    let image = image.split_whitespace().next()?;
    let (name, digest) = image.split_once('@')?;
    let digest: Digest = digest.parse().ok()?;
    Some(Material::content(format!("oci://{name}"), &digest, "base image"))
}
