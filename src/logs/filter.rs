//! From raw output to text that may be seen: plain, then redacted.

use std::sync::Arc;

use super::{plain::Plain, redact::Redactor, secrets::Secrets};

/// The filter of one stream. What comes out depends on the bytes alone, not on how they were cut.
#[derive(Debug)]
pub struct Filter {
    secrets: Arc<Secrets>,
    plain: Plain,
    redactor: Redactor,
    scratch: Vec<u8>,
}

impl Filter {
    pub(super) fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets, plain: Plain::default(), redactor: Redactor::default(), scratch: Vec::new() }
    }

    /// Appends to `out` what is certain of the next bytes.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.scratch.clear();
        self.plain.push(bytes, &mut self.scratch);
        self.redactor.push(&self.secrets.patterns(), &self.scratch, out);
    }

    /// The stream is over: appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.redactor.finish(&self.secrets.patterns(), out);
    }
}
