//! Counting what goes into the decompressor and what comes out, and stopping where it gets absurd.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use super::Error;

/// Unpacked bytes before the ratio counts: small archives of zeros are no bombs.
const FREE: u64 = 1 << 20;
/// Bytes that may be read for one entry's headers: the `tar` crate keeps long names and PAX records in memory.
const HEADER: u64 = 1 << 20;

/// What two readers, in front of and behind the decompressor, share.
#[derive(Debug, Clone)]
pub(super) struct Budget(Rc<State>);

#[derive(Debug)]
struct State {
    packed: Cell<u64>,
    unpacked: Cell<u64>,
    /// Bytes left for headers; `None` while contents are read.
    header: Cell<Option<u64>>,
    ratio: u64,
    exceeded: Cell<Option<Exceeded>>,
}

#[derive(Debug, Clone, Copy)]
enum Exceeded {
    Ratio(u64),
    Header,
}

impl Budget {
    pub(super) fn new(ratio: u64) -> Self {
        let (packed, unpacked) = (Cell::new(0), Cell::new(0));
        Self(Rc::new(State { packed, unpacked, header: Cell::new(None), ratio, exceeded: Cell::new(None) }))
    }

    /// The archive as it is stored.
    pub(super) fn packed<R>(&self, inner: R) -> Metered<R> {
        Metered { inner, budget: self.clone(), is_packed: true }
    }

    /// The archive after decompression.
    pub(super) fn unpacked<R>(&self, inner: R) -> Metered<R> {
        Metered { inner, budget: self.clone(), is_packed: false }
    }

    /// From now on headers are read.
    pub(super) fn allow_header(&self) {
        self.0.header.set(Some(HEADER));
    }

    /// From now on contents are read; their size is checked elsewhere.
    pub(super) fn allow_content(&self) {
        self.0.header.set(None);
    }

    /// What an error of the readers was about.
    pub(super) fn explain(&self, error: io::Error) -> Error {
        match self.0.exceeded.get() {
            Some(Exceeded::Ratio(limit)) => Error::Limit { what: "bytes unpacked per byte packed", limit },
            Some(Exceeded::Header) => Error::Limit { what: "bytes in one header", limit: HEADER },
            None => Error::Malformed(error),
        }
    }

    fn count(&self, count: u64, is_packed: bool) -> io::Result<()> {
        let state = &*self.0;
        let counter = if is_packed { &state.packed } else { &state.unpacked };
        counter.set(counter.get().saturating_add(count));
        if is_packed {
            return Ok(());
        }
        if state.unpacked.get() > FREE && state.unpacked.get() / state.ratio.max(1) > state.packed.get() {
            state.exceeded.set(Some(Exceeded::Ratio(state.ratio)));
        }
        if let Some(left) = state.header.get() {
            state.header.set(Some(left.saturating_sub(count)));
            if count > left {
                state.exceeded.set(Some(Exceeded::Header));
            }
        }
        if state.exceeded.get().is_some() { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
    }
}

/// A reader that is counted.
#[derive(Debug)]
pub(super) struct Metered<R> {
    inner: R,
    budget: Budget,
    is_packed: bool,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.budget.count(count as u64, self.is_packed)?;
        Ok(count)
    }
}
