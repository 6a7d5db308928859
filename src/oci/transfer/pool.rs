//! Many blobs at a time, and how many that is.
//!
//! One loop owns the count: it starts transfers while there is room, and learns from each that ends. Success makes room for one
//! more; a registry that throttles halves it (additive increase, multiplicative decrease), while the registry client sees to the pause
//! itself.

use std::{collections::VecDeque, sync::Arc};

use tokio::task::JoinSet;

use super::{Tally, engine::Engine, job::Job};
use crate::oci::{Descriptor, Error, Stored};

/// Transfers begun before anything is known about the registry. Every one costs a connection to each side, which a near registry
/// takes longer to accept than to use again.
const START: usize = 16;
/// Blobs below this size are over in a round trip: twice as many of them may be under way.
const TINY: u64 = 1 << 20;
/// Blobs below this size cost round trips rather than bandwidth.
pub(super) const SMALL: u64 = 4 << 20;
/// Most blobs of at least [`SMALL`] bytes in flight: enough to fill a link, few enough to keep buffers small.
const LARGE_AT_ONCE: usize = 10;

/// How much is in flight.
#[derive(Debug)]
struct Room {
    limit: usize,
    ceiling: usize,
    small: usize,
    large: usize,
    refusals: u64,
}

impl Room {
    fn new(ceiling: usize, refusals: u64) -> Self {
        let ceiling = ceiling.max(1);
        Self { limit: START.min(ceiling), ceiling, small: 0, large: 0, refusals }
    }

    fn take(&mut self, size: u64) -> bool {
        let large = size >= SMALL;
        let limit = if size < TINY { (self.limit * 2).min(self.ceiling) } else { self.limit };
        let free = self.small + self.large < limit && !(large && self.large >= LARGE_AT_ONCE);
        if free {
            *if large { &mut self.large } else { &mut self.small } += 1;
        }
        free
    }

    /// One transfer ended; `refusals` is how often the registry has throttled anybody so far.
    fn give_back(&mut self, large: bool, refusals: u64) {
        *if large { &mut self.large } else { &mut self.small } -= 1;
        if refusals > self.refusals {
            self.refusals = refusals;
            self.limit = (self.limit / 2).max(1);
        } else {
            self.limit = (self.limit + 1).min(self.ceiling);
        }
    }
}

/// Sends all `blobs`, small ones first. The first error stops the others.
pub(super) async fn send(engine: &Engine, job: &Arc<Job>, blobs: Vec<Descriptor>) -> Result<Tally, Error> {
    let mut waiting: VecDeque<Descriptor> = {
        let mut blobs = blobs;
        blobs.sort_by(|a, b| (a.size, &a.digest).cmp(&(b.size, &b.digest)));
        blobs.into()
    };
    job.expect_small(waiting.front().is_some_and(|first| first.size < SMALL));
    let mut room = Room::new(engine.ceiling(), engine.refusals());
    let mut running = JoinSet::new();
    let mut tally = Tally::default();
    loop {
        while let Some(blob) = waiting.pop_front() {
            let large = blob.size >= SMALL;
            if !room.take(blob.size) {
                waiting.push_front(blob);
                break;
            }
            let job = Arc::clone(job);
            running.spawn(async move { (large, blob.size, job.send(&blob).await) });
        }
        let Some(done) = engine.cx().cancel.run(running.join_next()).await? else { return Ok(tally) };
        let (large, size, stored) = match done {
            Ok(done) => done,
            // Only a panic gets here: nothing aborts these tasks but dropping the set.
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        room.give_back(large, engine.refusals());
        match stored? {
            Stored::Uploaded => {
                tally.uploaded += 1;
                tally.bytes += size;
            }
            Stored::Mounted => tally.mounted += 1,
            Stored::Present => tally.present += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_grows_by_one_and_is_halved() {
        let mut room = Room::new(32, 0);
        assert_eq!((0..100).filter(|_| room.take(TINY)).count(), START);
        for _ in 0..START {
            room.give_back(false, 0);
        }
        assert_eq!(room.limit, 32);
        assert!(room.take(SMALL));
        room.give_back(true, 3);
        assert_eq!(room.limit, 16);
        room.take(SMALL);
        room.give_back(true, 3);
        assert_eq!(room.limit, 17, "one refusal is one refusal");
        assert_eq!((0..40).filter(|_| room.take(SMALL)).count(), LARGE_AT_ONCE);
        assert!(room.take(TINY));
    }

    #[test]
    fn tiny_blobs_go_in_larger_numbers() {
        let mut room = Room::new(64, 0);
        assert_eq!((0..100).filter(|_| room.take(TINY - 1)).count(), 2 * START);
        let mut narrow = Room::new(4, 0);
        assert_eq!((0..100).filter(|_| narrow.take(TINY - 1)).count(), 4, "never more than is allowed");
    }

    #[test]
    fn room_never_closes() {
        let mut room = Room::new(0, 0);
        for refusals in 1..5 {
            assert!(room.take(SMALL));
            room.give_back(true, refusals);
        }
    }
}
