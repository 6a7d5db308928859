//! The heartbeat: a thread of its own, so that nothing the runner does can delay it.
//!
//! In: a [`Source`], the interval, a way to tell of changes. Out: `source.heartbeat` at once, then once per interval (a tenth earlier or later),
//! until [`Heart::stop`]. Invariants: a failure is never fatal, is logged once when the state changes, and the next beat is tried when it is due;
//! a beat that hangs does not swallow the ones after it.
//!
//! The source has to be one that nothing else uses: an HTTP client shared with the job work would have its connections driven by the
//! runtime that this thread is to be independent of.
//!
//! Called by the agent, which starts it before it recovers anything and stops it when nothing is left to deliver.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    retry::Advice,
    shutdown::Cancel,
    source::{Error, Source},
};

/// Longest time for one beat: shorter than any lease.
const BEAT_LIMIT: Duration = Duration::from_secs(10);

/// Bounds of the interval, whatever the settings say.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_mins(5);

/// How the last beat went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulse {
    /// The source took it.
    Alive,
    /// It did not, and why: the first error since the last good beat.
    Failing(Error),
}

/// Hears of every change of the [`Pulse`], on the heart's thread: it must not block.
pub type OnPulse = Box<dyn FnMut(&Pulse) + Send>;

/// A running heart.
#[derive(Debug)]
pub struct Heart {
    interval: watch::Sender<Duration>,
    stop: Cancel,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Heart {
    /// Starts beating.
    ///
    /// # Errors
    /// When no thread or no runtime can be had.
    pub fn start(source: Arc<dyn Source>, interval: Duration, on_pulse: OnPulse) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, receiver) = watch::channel(interval);
        let stop = Cancel::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("heart".to_owned())
            .spawn(move || runtime.block_on(beat(source, receiver, &stopped, on_pulse)))?;
        Ok(Self { interval: sender, stop, thread: Some(thread) })
    }

    /// From the next beat on, the source wants them this far apart.
    pub fn set_interval(&self, interval: Duration) {
        self.interval.send_if_modified(|old| std::mem::replace(old, interval) != interval);
    }

    /// The last beat was the last one. Waits for the thread, for a beat under way at most an instant.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.cancel(crate::job::CancelCause::Shutdown);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the heartbeat's thread panicked; this is a defect of build-runner, please report it");
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.end();
    }
}

/// Beats until told to stop.
async fn beat(source: Arc<dyn Source>, mut interval: watch::Receiver<Duration>, stop: &Cancel, mut on_pulse: OnPulse) {
    let born = Instant::now();
    let mut last = None;
    loop {
        let began = tokio::time::Instant::now();
        let attempt = tokio::time::timeout(BEAT_LIMIT, source.heartbeat(born.elapsed()));
        let Ok(result) = stop.run(attempt).await else { return };
        let result = result.unwrap_or_else(|_| {
            let message = format!("no answer to a heartbeat within {} s", BEAT_LIMIT.as_secs());
            Err(Error::Unavailable { message, retry_after: None })
        });
        let asked = result.as_ref().err().map_or(Duration::ZERO, |error| match error.advice() {
            Advice::RetryAfter(wait) => wait,
            Advice::Retry | Advice::GiveUp => Duration::ZERO,
        });
        note(&mut last, result, &mut on_pulse);
        loop {
            let period = interval.borrow_and_update().clamp(SHORTEST, LONGEST);
            let due = began + jittered(period).max(asked.min(BEAT_LIMIT));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(due) => break,
                // A heart whose owner is gone is being stopped.
                Ok(()) = interval.changed() => {}
            }
        }
    }
}

/// Tells of a change, once.
fn note(last: &mut Option<Pulse>, result: Result<(), Error>, on_pulse: &mut OnPulse) {
    let pulse = result.map_or_else(Pulse::Failing, |()| Pulse::Alive);
    let changed = match (last.as_ref(), &pulse) {
        (None, _) | (Some(Pulse::Alive), Pulse::Failing(_)) | (Some(Pulse::Failing(_)), Pulse::Alive) => true,
        (Some(Pulse::Alive), Pulse::Alive) | (Some(Pulse::Failing(_)), Pulse::Failing(_)) => false,
    };
    if !changed {
        return;
    }
    match &pulse {
        Pulse::Alive if last.is_some() => tracing::info!("the control plane hears the heartbeat again"),
        Pulse::Alive => tracing::debug!("the control plane hears the heartbeat"),
        Pulse::Failing(error) => tracing::warn!(%error, "the heartbeat does not reach the control plane; work goes on, results are kept"),
    }
    on_pulse(&pulse);
    *last = Some(pulse);
}

/// A tenth more or less, so that a thousand runners started together do not beat together.
fn jittered(period: Duration) -> Duration {
    let mut random = [0_u8; 2];
    // Without randomness they beat together, which is not worth more than this.
    let _ = getrandom::fill(&mut random);
    let share = f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX);
    period.mul_f64(0.9 + share * 0.2)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::agent::scripted_source::{ScriptedSource, at_once, away};

    struct Bench {
        source: Arc<ScriptedSource>,
        interval: watch::Sender<Duration>,
        pulses: mpsc::Receiver<Pulse>,
        _task: tokio::task::JoinSet<()>,
    }

    /// A heart on the test's own runtime, whose time is paused.
    fn bench() -> Bench {
        let (source, (interval, changes), (sender, pulses)) =
            (Arc::<ScriptedSource>::default(), watch::channel(Duration::from_secs(5)), mpsc::channel());
        let mut task = tokio::task::JoinSet::new();
        let beating = Arc::clone(&source);
        task.spawn(async move { beat(beating, changes, &Cancel::new(), Box::new(move |pulse| drop(sender.send(pulse.clone())))).await });
        Bench { source, interval, pulses, _task: task }
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn beats_at_once_and_then_at_its_interval() {
        let bench = bench();
        tokio::task::yield_now().await;
        assert_eq!(bench.source.count("heartbeat"), 1);
        pass(100).await;
        assert!((19..=24).contains(&bench.source.count("heartbeat")), "{}", bench.source.count("heartbeat"));
        bench.interval.send_replace(Duration::from_mins(1));
        let before = bench.source.count("heartbeat");
        pass(600).await;
        assert!((9..=12).contains(&(bench.source.count("heartbeat") - before)), "{}", bench.source.count("heartbeat") - before);
    }

    #[tokio::test(start_paused = true)]
    async fn tells_of_changes_only() {
        let bench = bench();
        bench.source.on("heartbeat", |number| at_once(if (3..9).contains(&number) { Err(away()) } else { Ok(()) }));
        pass(100).await;
        assert_eq!(bench.pulses.try_iter().collect::<Vec<_>>(), [Pulse::Alive, Pulse::Failing(away()), Pulse::Alive]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_that_hangs_is_given_up_and_the_next_one_tried() {
        let bench = bench();
        bench.source.on("heartbeat", |number| (Duration::from_secs(if number < 3 { 1000 } else { 0 }), Ok(())));
        pass(60).await;
        let pulses: Vec<_> = bench.pulses.try_iter().collect();
        assert!(matches!(pulses[..], [Pulse::Failing(Error::Unavailable { .. }), Pulse::Alive]), "{pulses:?}");
    }

    #[test]
    fn a_started_heart_needs_no_runtime_of_anybody_and_stops() {
        let (source, (sender, pulses)) = (Arc::<ScriptedSource>::default(), mpsc::channel());
        let on_pulse = Box::new(move |pulse: &Pulse| drop(sender.send(pulse.clone())));
        let heart = Heart::start(source.clone(), Duration::from_mins(1), on_pulse).expect("started");
        assert_eq!(pulses.recv_timeout(Duration::from_secs(30)), Ok(Pulse::Alive));
        heart.set_interval(SHORTEST);
        while source.count("heartbeat") < 3 {
            std::thread::yield_now();
        }
        heart.stop();
        assert_eq!(pulses.recv_timeout(Duration::from_secs(30)), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
