//! Reading what `docker build` prints: BuildKit's plain progress, or the first builder's steps.
//!
//! ```text
//! #5 [build 2/3] RUN make        Step 2/3 : RUN make
//! #5 CACHED                       ---> Using cache
//! #5 1.234 a line of output      a line of output
//! #5 ERROR: …
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    digest::Digest,
    executor::docker_build::{Steps, last_lines::LastLines},
    logs::JobLog,
    process::Tap,
};

/// Most steps that are remembered.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
struct Seen {
    /// BuildKit: number of the vertex to instruction.
    vertices: BTreeMap<u64, String>,
    steps: Steps,
    failed: Option<String>,
    current: Option<String>,
    bases: BTreeMap<String, Digest>,
    last: LastLines,
}

/// Follows one build.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    seen: Arc<Mutex<Seen>>,
    log: JobLog,
}

impl Progress {
    pub(super) fn new(log: &JobLog) -> Self {
        Self { seen: Arc::default(), log: log.clone() }
    }

    /// What is to see its output.
    pub(super) fn tap(&self) -> Tap {
        let this = self.clone();
        Tap::new(move |_, line| this.seen.lock().unwrap_or_else(PoisonError::into_inner).line(line))
    }

    /// Steps so far.
    pub(super) fn steps(&self) -> Steps {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).steps
    }

    /// Base images that BuildKit resolved itself.
    pub(super) fn bases(&self) -> BTreeMap<String, Digest> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).bases.clone()
    }

    /// The instruction that failed or was under way, and the last lines, redacted.
    pub(super) fn evidence(&self) -> (Option<String>, Vec<String>) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.failed.clone().or_else(|| seen.current.clone()), seen.last.redacted(&self.log))
    }
}

impl Seen {
    fn line(&mut self, line: &str) {
        if let Some((number, rest)) = vertex(line) {
            self.vertex(number, rest);
        } else if let Some((_, instruction)) = line.strip_prefix("Step ").and_then(|rest| rest.split_once(" : ")) {
            self.steps.total += 1;
            self.current = Some(instruction.to_owned());
            self.last.clear();
        } else if line.trim() == "---> Using cache" {
            self.steps.cached += 1;
        } else if !["------", " > ", " --->"].iter().any(|lead| line.starts_with(lead)) {
            self.last.push(line);
        }
    }

    fn vertex(&mut self, number: u64, rest: &str) {
        if let Some(instruction) = instruction(rest) {
            if self.vertices.len() < MOST && self.vertices.insert(number, instruction.to_owned()).is_none() {
                self.steps.total += 1;
                if let Some((image, digest)) = instruction.strip_prefix("FROM ").and_then(|image| image.split_once('@'))
                    && let Ok(digest) = digest.split_whitespace().next().unwrap_or_default().parse()
                {
                    self.bases.insert(image.to_owned(), digest);
                }
            }
        } else if rest == "CACHED" {
            self.steps.cached += u64::from(self.vertices.contains_key(&number));
        } else if let Some(error) = rest.strip_prefix("ERROR: ") {
            self.failed = self.vertices.get(&number).cloned();
            self.last.push(error);
        } else if let Some((time, said)) = rest.split_once(' ')
            && time.parse::<f64>().is_ok()
        {
            self.last.push(said);
        }
    }
}

/// Number and rest of a line of BuildKit's.
fn vertex(line: &str) -> Option<(u64, &str)> {
    let (number, rest) = line.strip_prefix('#')?.split_once(' ')?;
    Some((number.parse().ok()?, rest))
}

/// The instruction in `[build 2/3] RUN make`; BuildKit's own work (`[internal] …`) has no number.
fn instruction(rest: &str) -> Option<&str> {
    let (label, instruction) = rest.strip_prefix('[')?.split_once("] ")?;
    let place = label.rsplit(' ').next()?;
    let (number, total) = place.split_once('/')?;
    (number.parse::<u32>().is_ok() && total.parse::<u32>().is_ok()).then_some(instruction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(text: &str) -> Progress {
        let progress = Progress::new(&JobLog::discard());
        text.lines().for_each(|line| progress.seen.lock().expect("nobody panics").line(line));
        progress
    }

    #[test]
    fn buildkit_and_the_first_builder_are_understood() {
        let zeros = "0".repeat(64);
        let buildkit = follow(&format!(
            "#1 [internal] load build definition from Dockerfile\n#4 [build 1/2] FROM h:1/base:1@sha256:{zeros}\n#4 CACHED\n\
             #5 [2/2] RUN echo one; exit 7\n#5 0.113 one\n#5 ERROR: executor failed running [/bin/sh -c exit 7]: exit code: 7\n------\n > x\n"
        ));
        assert_eq!(buildkit.steps(), Steps { total: 2, cached: 1 });
        assert_eq!(buildkit.bases().keys().collect::<Vec<_>>(), ["h:1/base:1"]);
        let (instruction, last) = buildkit.evidence();
        assert_eq!((instruction.as_deref(), last.len(), last[0].as_str()), (Some("RUN echo one; exit 7"), 2, "one"));

        let first = follow("Step 1/2 : FROM scratch\n ---> \nStep 2/2 : RUN x\n ---> Using cache\nout\n");
        assert_eq!(first.steps(), Steps { total: 2, cached: 1 });
        assert_eq!(first.evidence(), (Some("RUN x".to_owned()), vec!["out".to_owned()]));
    }
}
