//! The log's way to the source, batch by batch, from the log's folder.

use std::{io, sync::Arc};

use super::{DeliveryJob, Shared};
use crate::{
    journal::Entry,
    logs::{Follower, Record},
    retry::Advice,
    source::{Error, LogContext},
};

/// Bytes of a batch, as they lie on disk.
const BATCH: usize = 256 << 10;

/// Records of a batch.
const RECORDS: usize = 2000;

/// What came of one try.
#[derive(Debug)]
pub(super) enum Shipped {
    /// The source has one batch more; there may be another.
    Some,
    /// The source has all there is.
    All,
    /// Not now, and when to try again.
    NotNow(Advice),
}

/// Sends one log.
#[derive(Debug)]
pub(super) struct Shipper {
    shared: Arc<Shared>,
    job: DeliveryJob,
    context: LogContext,
    /// The last record the source has.
    sent: u64,
    /// Where it reads; gone while a batch is under way, so that a batch that did not arrive is read again.
    follower: Option<Follower>,
    /// The source takes no more of it, or it cannot be read.
    over: bool,
    /// The last try failed.
    failing: bool,
}

impl Shipper {
    pub(super) fn new(shared: Arc<Shared>, job: &DeliveryJob) -> Self {
        let context = LogContext {
            job: job.job.clone(),
            job_type: job.job_type.clone(),
            execution: job.execution.clone(),
            stream: job.log_stream.clone(),
        };
        let over = job.log_stream.is_empty();
        Self { shared, context, sent: job.logs_sent, follower: None, over, failing: false, job: job.clone() }
    }

    /// One batch. Cancel-safe: a batch whose answer was not waited for is sent again.
    pub(super) async fn ship(&mut self) -> Shipped {
        if self.over {
            return Shipped::All;
        }
        // Held while reading, too: that bounds the memory of all batches together. Never closed.
        let shared = Arc::clone(&self.shared);
        let _permit = shared.uploads.acquire().await;
        let (follower, records) = match self.read().await {
            Ok(read) => read,
            Err(error) => {
                self.give_up(&format_args!("it cannot be read: {error}"));
                return Shipped::All;
            }
        };
        let Some(last) = records.iter().map(|record| record.seq).max() else {
            self.follower = Some(follower);
            return Shipped::All;
        };
        match self.shared.source.logs(&self.context, &records).await {
            Ok(()) => {
                self.follower = Some(follower);
                self.sent = self.sent.max(last);
                let bytes: usize = records.iter().map(|record| record.text.len()).sum();
                self.shared.metrics.logs_sent(records.len() as u64, bytes as u64);
                self.shared.journal.note(Entry::LogsSent { execution: self.job.execution.clone(), seq: self.sent });
                if std::mem::take(&mut self.failing) {
                    tracing::info!(execution = %self.job.execution, "the control plane takes the job's log again");
                }
                Shipped::Some
            }
            Err(error) => self.not_taken(&error),
        }
    }

    /// The last record, of what the log could not say because its disk was full; after everything else, when the execution is over.
    pub(super) async fn ship_untold(&mut self) -> Shipped {
        let Some(untold) = self.job.bell.untold().filter(|_| !self.over) else { return Shipped::All };
        match self.shared.source.logs(&self.context, &[Record { seq: self.sent + 1, ..untold }]).await {
            Ok(()) => {
                self.over = true;
                Shipped::All
            }
            Err(error) => self.not_taken(&error),
        }
    }

    fn not_taken(&mut self, error: &Error) -> Shipped {
        match error.advice() {
            Advice::GiveUp if *error != Error::Cancelled => {
                self.give_up(error);
                Shipped::All
            }
            Advice::GiveUp => Shipped::NotNow(Advice::Retry),
            advice => {
                self.shared.metrics.delivery_retried("logs");
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(execution = %self.job.execution, %error, "the job's log cannot be sent now; it is kept and tried again");
                }
                Shipped::NotNow(advice)
            }
        }
    }

    /// The log is not worth the outcome.
    fn give_up(&mut self, why: &dyn std::fmt::Display) {
        let execution = &self.job.execution;
        tracing::warn!(job = %self.job.job, %execution, after = self.sent, "the rest of the job's log is not delivered: {why}");
        self.over = true;
    }

    async fn read(&mut self) -> io::Result<(Follower, Vec<Record>)> {
        let (follower, folder, sent) = (self.follower.take(), self.job.folder.clone(), self.sent);
        let read = move || {
            let mut follower = match follower {
                Some(follower) => follower,
                None => Follower::open(&folder, sent)?,
            };
            let records = follower.next_batch(BATCH, RECORDS)?;
            Ok((follower, records))
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}
