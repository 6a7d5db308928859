//! The cancel watcher: one task that asks, for all running executions at once, whether they may go on.
//!
//! In: executions that [`Watcher::watch`] registered, each with its [`Cancel`]. Out: that token cancelled with
//! [`CancelCause::Requested`], [`CancelCause::Deadline`] or [`CancelCause::LeaseLost`]. Invariants: no request while nothing runs; one request
//! at a time however much runs; an execution is cancelled once.
//!
//! A source that cannot be reached stops nothing, however long: the results are kept until it can, and whether a lease expired
//! meanwhile is the source's to decide (it fences the writes of the execution then).
//!
//! Started by the agent; the running table registers executions.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::{
    job::{CancelCause, ExecutionId, JobId},
    retry::{Backoff, Policy},
    shutdown::Cancel,
    source::{Source, Standing},
};

/// How long an execution runs until it is asked about: short jobs are over by then, and asking anew for each of them would cost more
/// requests than running them.
const SETTLE: Duration = Duration::from_millis(250);

/// Shortest time between two questions, for sources that answer at once.
const SPACING: Duration = Duration::from_secs(1);

type Running = BTreeMap<ExecutionId, Entry>;

/// One execution.
#[derive(Debug)]
struct Entry {
    job: JobId,
    cancel: Cancel,
    /// When it is to be asked about, from then on.
    due: Instant,
}

#[derive(Debug, Default)]
struct Table {
    running: Mutex<Running>,
    /// Counts the changes of `running`.
    changes: watch::Sender<u64>,
}

impl Table {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers executions. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Watcher(Arc<Table>);

/// Keeps one execution registered while it lives.
#[derive(Debug)]
pub struct Watched {
    table: Arc<Table>,
    execution: ExecutionId,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.table.running().remove(&self.execution);
        self.table.changes.send_modify(|changes| *changes += 1);
    }
}

impl Watcher {
    /// Nothing runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, and until the answer is dropped, `cancel` fires when the source does not want `execution` to go on.
    #[must_use]
    pub fn watch(&self, job: JobId, execution: ExecutionId, cancel: Cancel) -> Watched {
        self.0.running().insert(execution.clone(), Entry { job, cancel, due: Instant::now() + SETTLE });
        self.0.changes.send_modify(|changes| *changes += 1);
        Watched { table: Arc::clone(&self.0), execution }
    }

    /// Watches until `stop` is cancelled.
    pub async fn run(&self, source: Arc<dyn Source>, stop: &Cancel) {
        // Cancelled is all it can be.
        let _ = stop.run(self.watch_all(source.as_ref(), stop)).await;
    }

    async fn watch_all(&self, source: &dyn Source, stop: &Cancel) {
        let mut changes = self.0.changes.subscribe();
        let mut backoff = Backoff::new(Policy::FOR_EVER);
        let mut failing = false;
        loop {
            let Some(due) = self.next_due(|_| true) else {
                // The sender is ours.
                let _ = changes.changed().await;
                continue;
            };
            tokio::time::sleep_until(due).await;
            let asked = self.asked_about();
            if asked.is_empty() {
                continue;
            }
            let began = Instant::now();
            let answer = tokio::select! {
                answer = source.standings(&asked, stop) => answer,
                () = self.outgrown(&asked, &mut changes) => continue,
            };
            let wait = match answer {
                Ok(standings) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the control plane can be asked about cancelled jobs again");
                    }
                    backoff.reset();
                    if self.apply(&standings) { Duration::ZERO } else { SPACING.saturating_sub(began.elapsed()) }
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the control plane cannot be asked about cancelled jobs; they go on");
                    }
                    // An answer that is final for this question may be another one for the next.
                    let advice = match error.advice() {
                        crate::retry::Advice::GiveUp => crate::retry::Advice::Retry,
                        advice => advice,
                    };
                    backoff.next(advice).unwrap_or(Policy::FOR_EVER.max_delay)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// What has been running for a while and was not told to stop.
    fn asked_about(&self) -> Vec<(JobId, ExecutionId)> {
        let now = Instant::now();
        let running = self.0.running();
        let going = running.iter().filter(|(_, entry)| !entry.cancel.is_cancelled() && entry.due <= now);
        going.map(|(execution, entry)| (entry.job.clone(), execution.clone())).collect()
    }

    /// When the first of those that `counts` and were not told to stop is to be asked about.
    fn next_due(&self, counts: impl Fn(&ExecutionId) -> bool) -> Option<Instant> {
        let running = self.0.running();
        running.iter().filter(|(execution, entry)| !entry.cancel.is_cancelled() && counts(execution)).map(|(_, entry)| entry.due).min()
    }

    /// Resolves when the question does not fit any more: nothing of it runs, or something else has been running for a while.
    async fn outgrown(&self, asked: &[(JobId, ExecutionId)], changes: &mut watch::Receiver<u64>) {
        let is_asked = |execution: &ExecutionId| asked.iter().any(|(_, asked)| asked == execution);
        while self.next_due(is_asked).is_some() {
            let newer = self.next_due(|execution| !is_asked(execution));
            let due = async {
                match newer {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Only a change can make it sooner than it is now.
                _ = changes.changed() => {}
                () = due => return,
            }
        }
    }

    /// Cancels what the source does not want any more. Returns whether that was anything.
    fn apply(&self, standings: &[(ExecutionId, Standing)]) -> bool {
        let running = self.0.running();
        let mut any = false;
        for (execution, standing) in standings {
            let cause = match standing {
                Standing::Running => continue,
                Standing::CancelRequested => CancelCause::Requested,
                Standing::TimedOut => CancelCause::Deadline,
                Standing::Lost => CancelCause::LeaseLost,
            };
            if let Some(Entry { job, cancel, .. }) = running.get(execution)
                && !cancel.is_cancelled()
            {
                tracing::info!(%job, %execution, ?cause, "stopped by the control plane");
                cancel.cancel(cause);
                any = true;
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::scripted_source::{ScriptedSource, at_once, away};

    struct Bench {
        source: Arc<ScriptedSource>,
        watcher: Watcher,
        stop: Cancel,
        task: tokio::task::JoinSet<()>,
    }

    fn bench() -> Bench {
        let (source, watcher, stop, mut task) =
            (Arc::<ScriptedSource>::default(), Watcher::new(), Cancel::new(), tokio::task::JoinSet::new());
        let (watching, asked, stopped) = (watcher.clone(), Arc::clone(&source), stop.clone());
        task.spawn(async move { watching.run(asked, &stopped).await });
        Bench { source, watcher, stop, task }
    }

    fn execution(number: usize) -> ExecutionId {
        format!("run{number}").parse().expect("an id")
    }

    impl Bench {
        fn begin(&self, number: usize) -> (Watched, Cancel) {
            let cancel = Cancel::new();
            let job = format!("job{number}").parse().expect("an id");
            (self.watcher.watch(job, execution(number), cancel.clone()), cancel)
        }
    }

    async fn pass(seconds: f64) {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_asked_about_nothing_nor_about_what_is_over_at_once() {
        let bench = bench();
        pass(100.0).await;
        for number in 0..100 {
            let _short = bench.begin(number);
            pass(0.01).await;
        }
        pass(100.0).await;
        assert_eq!(bench.source.count("standings"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn each_standing_stops_its_execution_with_its_cause_and_once() {
        let bench = bench();
        let running: Vec<_> = (0..4).map(|number| bench.begin(number)).collect();
        pass(1.0).await;
        assert_eq!(bench.source.calls(), ["standings 4"]);
        let standings = [Standing::CancelRequested, Standing::TimedOut, Standing::Lost, Standing::Running];
        for (number, standing) in standings.into_iter().enumerate().take(3) {
            bench.source.set_standing(&execution(number), standing);
            pass(0.6).await;
        }
        let causes: Vec<_> = running.iter().map(|(_, cancel)| cancel.cause()).collect();
        assert_eq!(causes, [Some(CancelCause::Requested), Some(CancelCause::Deadline), Some(CancelCause::LeaseLost), None]);
        assert_eq!(bench.source.calls().last().map(String::as_str), Some("standings 1"), "{:?}", bench.source.calls());
        pass(250.0).await;
        assert!(bench.source.count("standings") < 16, "a held question is not asked again: {}", bench.source.count("standings"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_begins_during_a_question_is_asked_about_soon() {
        let bench = bench();
        let (_first, _) = bench.begin(1);
        pass(5.0).await;
        let (second, cancel) = bench.begin(2);
        bench.source.set_standing(&execution(2), Standing::CancelRequested);
        pass(0.6).await;
        assert_eq!(cancel.cause(), Some(CancelCause::Requested));
        drop(second);
        let (_third, cancel) = bench.begin(3);
        pass(5.0).await;
        assert_eq!((cancel.cause(), bench.source.calls().last().map(String::as_str)), (None, Some("standings 2")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_is_away_stops_nothing_and_is_heard_when_it_is_back() {
        let mut bench = bench();
        let back = Instant::now() + Duration::from_mins(20);
        bench.source.on("standings", move |_| at_once(if Instant::now() < back { Err(away()) } else { Ok(()) }));
        bench.source.set_standing(&execution(1), Standing::Lost);
        let (_watched, cancel) = bench.begin(1);
        pass(1199.0).await;
        assert_eq!(cancel.cause(), None);
        assert!((30..120).contains(&bench.source.count("standings")), "{}", bench.source.count("standings"));
        pass(32.0).await;
        assert_eq!(cancel.cause(), Some(CancelCause::LeaseLost));
        bench.stop.cancel(CancelCause::Shutdown);
        bench.task.join_next().await.expect("a task").expect("it ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_answers_at_once_is_not_asked_without_end() {
        let bench = bench();
        let (_watched, _) = bench.begin(1);
        // A standing of something else does not count: the scripted source answers by what was asked.
        bench.source.set_standing(&execution(1), Standing::Running);
        pass(60.0).await;
        assert!((40..=60).contains(&bench.source.count("standings")), "{}", bench.source.count("standings"));
    }
}
