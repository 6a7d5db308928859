//! Reading what buildah prints: which step is under way, how long steps take, what comes out of the cache.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::{
    executor::docker_build::{Steps, last_lines::LastLines},
    logs::JobLog,
    process::Tap,
};

/// What has been seen.
#[derive(Debug, Default)]
struct Seen {
    steps: Steps,
    /// The step under way: its place (`3/6`), instruction and beginning.
    current: Option<(String, String, Instant)>,
    cached: bool,
    last: LastLines,
}

/// Follows one run of buildah.
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
        Tap::new(move |_, line| this.line(line))
    }

    /// Steps so far.
    pub(super) fn steps(&self) -> Steps {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).steps
    }

    /// The instruction under way, and the last lines, redacted.
    pub(super) fn evidence(&self) -> (Option<String>, Vec<String>) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.current.as_ref().map(|(_, instruction, _)| instruction.clone()), seen.last.redacted(&self.log))
    }

    /// Ends the last step.
    pub(super) fn finish(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = seen.current.take();
        self.tell(ended, std::mem::take(&mut seen.cached));
    }

    fn line(&self, line: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((place, instruction)) = step(line) {
            let ended = seen.current.replace((place.to_owned(), instruction.to_owned(), Instant::now()));
            let cached = std::mem::take(&mut seen.cached);
            seen.steps.total += 1;
            seen.last.clear();
            self.tell(ended, cached);
        } else if line.starts_with("--> Using cache") || line.contains("] --> Using cache") {
            seen.steps.cached += 1;
            seen.cached = true;
        } else if !line.starts_with("subprocess exited with status") {
            seen.last.push(&brief(line));
        }
    }

    fn tell(&self, ended: Option<(String, String, Instant)>, cached: bool) {
        if let Some((place, _, begun)) = ended {
            let from = if cached { " (from the cache)" } else { "" };
            self.log.info(format_args!("step {place} took {:.1} s{from}", begun.elapsed().as_secs_f64()));
        }
    }
}

/// The line without what buildah was asked to copy, which it prints in full before it says what was wrong.
fn brief(line: &str) -> Cow<'_, str> {
    match (line.find(" for copier.request{"), line.rfind("}: copier: ")) {
        (Some(begin), Some(end)) if begin < end => Cow::Owned(format!("{}{}", &line[..begin], &line[end + 1..])),
        _ => Cow::Borrowed(line),
    }
}

/// Place and instruction of a line that begins a step: `STEP 3/6: RUN true`, with `[1/2] ` before it for stages and `[linux/arm64] ` for platforms.
fn step(line: &str) -> Option<(&str, &str)> {
    let mut rest = line;
    while let Some(inner) = rest.strip_prefix('[') {
        let (label, after) = inner.split_once("] ")?;
        if label.contains(char::is_whitespace) {
            return None;
        }
        rest = after;
    }
    let (place, instruction) = rest.strip_prefix("STEP ")?.split_once(": ")?;
    let (number, total) = place.split_once('/')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(number) && is_number(total)).then_some((place, instruction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::docker_build::last_lines::LINES;

    #[test]
    fn steps_are_counted_and_the_last_lines_are_those_of_the_step() {
        let progress = Progress::new(&JobLog::discard());
        progress.log.add_secret("hunter2hunter2");
        for line in ["[1/2] STEP 1/2: FROM scratch AS a", "--> Using cache 6c7a", "old", "[linux/arm64] STEP 2/2: RUN x", "STEP x/2: y"] {
            progress.line(line);
        }
        for number in 0..LINES {
            progress.line(&format!("{number} hunter2hunter2"));
        }
        progress.line("subprocess exited with status 7");
        assert_eq!(progress.steps(), Steps { total: 2, cached: 1 });
        let (instruction, last) = progress.evidence();
        assert_eq!(instruction.as_deref(), Some("RUN x"));
        assert_eq!((last.len(), last[LINES - 1].contains("hunter2")), (LINES, false));
        assert!(last[0].starts_with("0 "), "{last:?}");
        progress.line("Error: building: bulk transfer for copier.request{Root:\"/\", Excludes:[]string(nil)}: copier: get: no such file");
        assert_eq!(progress.evidence().1.last().map(String::as_str), Some("Error: building: bulk transfer: copier: get: no such file"));
        progress.finish();
        assert_eq!(progress.evidence().0, None);
    }
}
