//! The secrets of one execution, compiled into one automaton that is swapped whenever one is added.

use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{
    encodings::{basic, forms},
    redact::Redactor,
};

/// All forms of all secrets at one moment.
#[derive(Default)]
pub(super) struct Patterns {
    /// Sorted, without repeats.
    texts: Vec<Vec<u8>>,
    automaton: Option<AhoCorasick>,
    /// Which bytes a form may begin with.
    first: Vec<bool>,
    longest: usize,
}

impl Patterns {
    fn new(texts: Vec<Vec<u8>>) -> Self {
        let mut first = vec![false; 256];
        for text in &texts {
            first[usize::from(text[0])] = true;
        }
        let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
        // Overlapping search needs the standard kind; the contiguous automaton stays small for keys of many kilobytes.
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&texts)
            .ok()
            .filter(|_| !texts.is_empty());
        Self { texts, automaton, first, longest }
    }

    /// Whether there is nothing to hide.
    pub(super) fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    /// Where secrets are in `text`: ranges that do not overlap, in order. Overlapping finds are one range.
    pub(super) fn ranges(&self, text: &[u8], ranges: &mut Vec<(usize, usize)>) {
        ranges.clear();
        let Some(automaton) = &self.automaton else { return };
        // Finds come ordered by their ends; a longer one may begin before earlier, shorter ones.
        for found in automaton.find_overlapping_iter(text) {
            let (mut start, end) = (found.start(), found.end());
            while let Some(&(last_start, last_end)) = ranges.last()
                && last_end > start
            {
                start = start.min(last_start);
                ranges.pop();
            }
            ranges.push((start, end));
        }
    }

    /// Where the longest end of `text` begins that may yet become a secret; the length of `text` when none may.
    pub(super) fn hold(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.longest.saturating_sub(1));
        (from..text.len()).find(|&start| self.first[usize::from(text[start])] && self.begins_longer(&text[start..])).unwrap_or(text.len())
    }

    /// Whether some form is longer than `text` and begins with it.
    fn begins_longer(&self, text: &[u8]) -> bool {
        let at = self.texts.partition_point(|form| form.as_slice() <= text);
        self.texts.get(at).is_some_and(|form| form.starts_with(text))
    }
}

/// What became of a secret that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is hidden from now on.
    Hidden,
    /// It is shorter than four characters: hiding it would black out half of every log.
    TooShort,
}

/// The secrets of one execution.
#[derive(Default)]
pub struct Secrets(RwLock<Arc<Patterns>>);

impl Secrets {
    pub(super) fn patterns(&self) -> Arc<Patterns> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hides `secret` and its usual encodings from now on.
    pub fn add(&self, secret: &str) -> Added {
        let forms = forms(secret);
        if forms.is_empty() {
            return Added::TooShort;
        }
        self.insert(forms);
        Added::Hidden
    }

    /// Hides the header that carries `user` and `secret`; the secret alone still has to be added.
    pub fn add_basic(&self, user: &str, secret: &str) {
        self.insert(basic(user, secret));
    }

    fn insert(&self, forms: Vec<Vec<u8>>) {
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = forms.iter().all(|form| slot.texts.binary_search(form).is_ok());
        if !known {
            let mut texts = slot.texts.clone();
            texts.extend(forms);
            texts.sort_unstable();
            texts.dedup();
            *slot = Arc::new(Patterns::new(texts));
        }
    }

    /// `text` with every secret in it replaced by `***`.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let patterns = self.patterns();
        if patterns.is_empty() {
            return text.to_owned();
        }
        let mut out = Vec::with_capacity(text.len());
        let mut redactor = Redactor::default();
        redactor.push(&patterns, text.as_bytes(), &mut out);
        redactor.finish(&patterns, &mut out);
        // Forms are cut at character boundaries except inside encodings, which are ASCII.
        String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Secrets").field(&self.patterns().texts.len()).finish()
    }
}
