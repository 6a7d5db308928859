//! Work on many small things that are still being found: one thread looks for them, others do what is to be done, results come in order.
//!
//! In: a search, and the work on one thing. Out: the results in the order in which the things were found. Invariants: what waits is bounded;
//! of several errors the one of the first thing is given, whichever thread met it first; few things need no second thread.
//! Blocking. Called where a folder is read: by `workspace` for its copy, by executors that look into every file.

use std::{
    collections::VecDeque,
    num::NonZero,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Things that are worth a thread.
const CHUNK: usize = 64;
/// Chunks that wait.
const QUEUE: usize = 16;
/// Threads, the searching one among them.
const MOST: usize = 4;

/// Some things, and how many chunks were found before.
type Chunk<T> = (usize, Vec<T>);
/// What became of a chunk.
type Done<R, E> = (usize, Result<Vec<R>, E>);

/// Chunks that nobody has begun with.
struct Queue<T> {
    state: Mutex<(VecDeque<Chunk<T>>, bool)>,
    changed: Condvar,
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<Chunk<T>>, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a chunk; gives back the oldest one if there are too many.
    fn push(&self, chunk: Chunk<T>) -> Option<Chunk<T>> {
        let mut state = self.lock();
        state.0.push_back(chunk);
        self.changed.notify_one();
        if state.0.len() > QUEUE { state.0.pop_front() } else { None }
    }

    /// The oldest chunk, once there is one; `None` when there will be none.
    fn next(&self) -> Option<Chunk<T>> {
        let mut state = self.changed.wait_while(self.lock(), |(chunks, closed)| chunks.is_empty() && !*closed);
        state.as_mut().map_or_else(|poisoned| poisoned.get_mut().0.pop_front(), |state| state.0.pop_front())
    }
}

/// Tells the others that nothing more comes, also when the search panics.
struct Close<'a, T>(&'a Queue<T>);

impl<T> Drop for Close<'_, T> {
    fn drop(&mut self) {
        self.0.lock().1 = true;
        self.0.changed.notify_all();
    }
}

/// Does `work` for everything that `find` hands over.
///
/// # Errors
/// That of the first thing whose work failed; else that of the search, which goes on when work fails.
pub(crate) fn each_found<T: Send, R: Send, E: Send>(
    find: impl FnOnce(&mut dyn FnMut(T)) -> Result<(), E>,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let queue = Queue { state: Mutex::new((VecDeque::new(), false)), changed: Condvar::new() };
    let failed = AtomicBool::new(false);
    let one = |(number, chunk): Chunk<T>| -> Done<R, E> {
        let result = chunk.into_iter().map(&work).collect();
        failed.fetch_or(Result::is_err(&result), Ordering::Relaxed);
        (number, result)
    };
    // Chunks are begun in their order: whatever waits behind a failure comes after it.
    let rest = || {
        let mut done = Vec::new();
        while let Some(chunk) = queue.next() {
            if !failed.load(Ordering::Relaxed) {
                done.push(one(chunk));
            }
        }
        done
    };
    let most = thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    let (found, mut done) = thread::scope(|scope| {
        let (mut helpers, mut done, mut chunk, mut number) = (Vec::new(), Vec::new(), Vec::with_capacity(CHUNK), 0);
        let close = Close(&queue);
        let found = find(&mut |thing| {
            chunk.push(thing);
            if chunk.len() < CHUNK || failed.load(Ordering::Relaxed) {
                // After a failure nobody asks for them.
                chunk.truncate(CHUNK);
                return;
            }
            if helpers.len() + 1 < most {
                helpers.push(scope.spawn(rest));
            }
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
            done.extend(queue.push((number, full)).map(one));
            number += 1;
        });
        done.extend(queue.push((number, chunk)).map(one));
        drop(close);
        done.extend(rest());
        done.extend(helpers.into_iter().flat_map(|helper| helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))));
        (found, done)
    });
    done.sort_by_key(|(number, _)| *number);
    let mut all = Vec::new();
    for (_, results) in done {
        all.append(&mut results?);
    }
    found.map(|()| all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> impl FnOnce(&mut dyn FnMut(usize)) -> Result<(), String> {
        move |emit| {
            (0..count).for_each(emit);
            Ok(())
        }
    }

    #[test]
    fn results_come_in_the_order_of_the_search() {
        for count in [0, 1, CHUNK, CHUNK + 1, 100 * CHUNK + 7] {
            let doubled = each_found(numbers(count), |number| Ok::<_, String>(2 * number)).expect("nothing fails");
            assert_eq!(doubled, (0..count).map(|number| 2 * number).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_wins_whoever_met_it() {
        for _ in 0..50 {
            let work = |number: usize| if number >= 3 * CHUNK && number % 2 == 1 { Err(number.to_string()) } else { Ok(()) };
            let error = each_found(numbers(40 * CHUNK), work).expect_err("many fail");
            assert_eq!(error, (3 * CHUNK + 1).to_string());
        }
        let search = |emit: &mut dyn FnMut(usize)| {
            (0..200).for_each(emit);
            Err("the search".to_owned())
        };
        assert_eq!(each_found(search, Ok).expect_err("the search failed"), "the search");
        assert_eq!(each_found(search, |number: usize| Err::<(), _>(number.to_string())).expect_err("both failed"), "0");
    }

    #[test]
    fn a_panic_of_the_search_ends_everybody() {
        let panicked = std::panic::catch_unwind(|| {
            each_found(
                |emit: &mut dyn FnMut(usize)| {
                    (0..10 * CHUNK).for_each(emit);
                    panic!("the search")
                },
                Ok::<_, String>,
            )
        });
        assert!(panicked.is_err());
    }
}
