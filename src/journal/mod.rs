//! The crash ledger and outbox: what the runner has begun and what it still owes its control plane, on disk before it counts.
//!
//! One append-only file `<state>/journal/journal.log`, one JSON entry a line with a checksum, written by one thread that syncs once for
//! all entries that came in meanwhile. [`Journal::open`] takes the lock, folds the entries into one [`Recovered`] per execution that is not
//! closed, and compacts the file. Entries hold no secrets: names, ids, phases, and receipts after redaction.
//!
//! Invariants: an entry that [`Journal::write`] called durable is there after a kill or a power cut; a torn last line is dropped, never
//! the lines before it; a full disk never stops a job (the entry is kept in memory, tried again, and [`Journal::trouble`] says so).
//!
//! Called by the agent.

mod entry;

pub use entry::{Entry, Recovered, RecoveredExecution};
