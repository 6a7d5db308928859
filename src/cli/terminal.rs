//! What people see of a running job: on a terminal one live line with step, time and bytes under the log; elsewhere plain lines.

use std::{
    fmt::Write as _,
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Console;
use crate::{
    agent::Job,
    job::{Receipt, ReceiptOutcome},
    logs::{Progress, Record, Sink, Snapshot},
};

/// How often the live line is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// The display of one job.
pub(super) struct Screen {
    bar: ProgressBar,
    painter: Option<std::thread::JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    started: Instant,
}

impl Screen {
    /// Announces the job and begins to show its progress.
    pub(super) fn open(job: &Job, progress: &Progress) -> Self {
        let live = std::io::stderr().is_terminal();
        let bar = if live { ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        let screen = Self { bar, painter: None, stop: Arc::default(), started: Instant::now() };
        screen.say(&format!("{} {}", job.job_type, job.id));
        if live { screen.paint(progress.clone()) } else { screen }
    }

    fn paint(mut self, progress: Progress) -> Self {
        let (bar, stop, started) = (self.bar.clone(), Arc::clone(&self.stop), self.started);
        let painter = std::thread::Builder::new().name("painter".into()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                bar.set_message(live_line(&progress.snapshot(), started.elapsed()));
                bar.tick();
                std::thread::park_timeout(FRAME);
            }
        });
        self.painter = painter.ok();
        self
    }

    /// Where the job's log goes.
    pub(super) fn sink(&self) -> Box<dyn Sink> {
        Box::new(Lines { bar: self.bar.clone() })
    }

    fn say(&self, text: &str) {
        Lines { bar: self.bar.clone() }.print(text);
    }

    /// Takes the live line away and says how the job ended.
    pub(super) fn close(mut self, receipt: &Receipt) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(painter) = self.painter.take() {
            painter.thread().unpark();
            let _ = painter.join();
        }
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        let console = Console;
        for artifact in &receipt.outputs.artifacts {
            console.note(format_args!("pushed {}:{} {} {}", artifact.repository, artifact.tag, HumanBytes(artifact.size), artifact.digest));
        }
        let end = match receipt.outcome {
            ReceiptOutcome::Succeeded => "succeeded",
            ReceiptOutcome::Failed => "failed",
            ReceiptOutcome::Cancelled => "cancelled; everything it made on the way was removed",
            ReceiptOutcome::TimedOut => "timed out",
            ReceiptOutcome::NotAttempted => "not attempted",
        };
        console.note(format_args!("{} {} {end} in {seconds:.1} s", receipt.job_type, receipt.id));
        if let Some(failure) = &receipt.failure {
            for evidence in &failure.evidence {
                console.note(format_args!("  {}: {}", evidence.from, evidence.text));
            }
            let step = if failure.step.is_empty() { String::new() } else { format!(" in step {}", failure.step) };
            console.error(format_args!("{}{step}: {}", failure.kind, failure.message));
        }
    }
}

/// Log lines to standard error, above the live line if there is one.
struct Lines {
    bar: ProgressBar,
}

impl Lines {
    fn print(&self, text: &str) {
        self.bar.suspend(|| Console.note(text));
    }
}

impl Sink for Lines {
    fn record(&mut self, record: &Record) {
        self.print(&record.text);
    }
}

/// `push 3.2 s  12.0 MiB of 256.0 MiB  (3 under way)`.
fn live_line(now: &Snapshot, elapsed: Duration) -> String {
    let seconds = now.since.elapsed().as_secs_f64();
    let done: u64 = now.meters.iter().map(|(_, done, _)| done).sum();
    let total: u64 = now.meters.iter().map(|(_, _, total)| total).sum();
    let step = if now.step.is_empty() { "starting" } else { now.step };
    let mut line = format!("{step} {seconds:.1} s");
    if total > 0 {
        let _ = write!(line, "  {} of {}", HumanBytes(done), HumanBytes(total));
    } else if done > 0 {
        let _ = write!(line, "  {}", HumanBytes(done));
    }
    if now.meters.len() > 1 {
        let _ = write!(line, "  ({} under way)", now.meters.len());
    }
    let _ = write!(line, "  [{:.0} s]", elapsed.as_secs_f64());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_live_line_tells_step_and_bytes() {
        let progress = Progress::default();
        progress.step("push");
        let meter = progress.meter("layer", 2 << 20);
        meter.add(1 << 20);
        let line = live_line(&progress.snapshot(), Duration::from_secs(3));
        assert!(line.starts_with("push 0.0 s  1.00 MiB of 2.00 MiB"), "{line}");
        assert!(line.ends_with("[3 s]"), "{line}");
    }
}
