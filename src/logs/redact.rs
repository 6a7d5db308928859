//! Redaction of a stream, however it is cut into pieces.
//!
//! aho-corasick's own streaming replaces the first match that ends, so a short secret would expose the end of a longer one that
//! overlaps it. Here all overlapping finds are looked for, merged into ranges, and the longest end of the text that may yet become a secret
//! is held back: exactly that, so ordinary text goes out at once.
//!
//! Invariant (tested by property): the output depends on the text alone, never on how it was cut.

use super::secrets::Patterns;

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// An unfinished secret at the very end is hidden from this length on.
const PARTIAL: usize = 8;

/// The state of one stream: bytes that may be part of a secret.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    held: Vec<u8>,
    /// How many of the held bytes belong to a secret whose mask is out already.
    masked: usize,
    ranges: Vec<(usize, usize)>,
}

impl Redactor {
    /// Takes the next bytes and appends to `out` what is certain.
    pub(super) fn push(&mut self, patterns: &Patterns, bytes: &[u8], out: &mut Vec<u8>) {
        if patterns.is_empty() && self.held.is_empty() {
            out.extend_from_slice(bytes);
            return;
        }
        self.held.extend_from_slice(bytes);
        let hold = patterns.hold(&self.held);
        patterns.ranges(&self.held, &mut self.ranges);
        self.emit(hold, out);
    }

    /// The stream is over: what was held back goes out, an unfinished secret of some length as a mask.
    pub(super) fn finish(&mut self, patterns: &Patterns, out: &mut Vec<u8>) {
        let end = self.held.len();
        let hold = patterns.hold(&self.held);
        patterns.ranges(&self.held, &mut self.ranges);
        if end - hold >= PARTIAL {
            let mut start = hold;
            while let Some(&(last_start, last_end)) = self.ranges.last()
                && last_end > start
            {
                start = start.min(last_start);
                self.ranges.pop();
            }
            self.ranges.push((start, end));
        }
        self.emit(end, out);
        self.masked = 0;
    }

    /// Puts out everything before `hold`, each range as one mask.
    fn emit(&mut self, hold: usize, out: &mut Vec<u8>) {
        let mut at = self.masked.min(hold);
        let mut masked = self.masked;
        for &(start, end) in &self.ranges {
            if start >= hold {
                break;
            }
            if start < masked {
                // The same secret, or one overlapping it: its mask is out.
                masked = masked.max(end);
            } else {
                out.extend_from_slice(&self.held[at..start]);
                out.extend_from_slice(MASK.as_bytes());
                masked = end;
            }
            at = masked.min(hold);
        }
        out.extend_from_slice(&self.held[at..hold]);
        self.held.drain(..hold);
        self.masked = masked.saturating_sub(hold);
    }
}

#[cfg(test)]
mod tests {
    use super::super::secrets::Secrets;
    use super::*;
    use proptest::prelude::*;

    fn secrets(texts: &[&str]) -> Secrets {
        let secrets = Secrets::default();
        for text in texts {
            secrets.add(text);
        }
        secrets
    }

    fn in_pieces(secrets: &Secrets, text: &[u8], cuts: &[usize]) -> String {
        let patterns = secrets.patterns();
        let (mut redactor, mut out, mut at) = (Redactor::default(), Vec::new(), 0);
        for &cut in cuts {
            let cut = cut.clamp(at, text.len());
            redactor.push(&patterns, &text[at..cut], &mut out);
            at = cut;
        }
        redactor.push(&patterns, &text[at..], &mut out);
        redactor.finish(&patterns, &mut out);
        String::from_utf8(out).expect("text in, text out")
    }

    /// The definition, without cleverness: a byte is hidden if any occurrence of any form covers it; overlapping occurrences are one mask.
    fn by_definition(forms: &[&str], text: &str) -> String {
        let mut finds: Vec<(usize, usize)> = (0..text.len())
            .flat_map(|start| {
                forms.iter().filter(move |form| text[start..].starts_with(**form)).map(move |form| (start, start + form.len()))
            })
            .collect();
        finds.sort_unstable();
        let (mut out, mut at, mut end) = (String::new(), 0, 0);
        for (start, stop) in finds {
            if start >= end {
                out.push_str(&text[at..start]);
                out.push_str(MASK);
            }
            end = end.max(stop);
            at = end;
        }
        out + &text[at..]
    }

    #[test]
    fn overlapping_secrets_are_one_mask() {
        let secrets = secrets(&["abcdef", "defghi", "cdef"]);
        assert_eq!(secrets.redact("xabcdefghiy"), "x***y");
        assert_eq!(secrets.redact("abcdefabcdef"), "******");
        assert_eq!(secrets.redact("abcde"), "abcde");
    }

    #[test]
    fn nothing_is_held_back_that_cannot_begin_a_secret() {
        let secrets = secrets(&["hunter2hunter2"]);
        let patterns = secrets.patterns();
        let (mut redactor, mut out) = (Redactor::default(), Vec::new());
        redactor.push(&patterns, b"Password? ", &mut out);
        assert_eq!(out, b"Password? ");
        redactor.push(&patterns, b"hunt", &mut out);
        assert_eq!(out, b"Password? ");
        redactor.push(&patterns, b"ing\n", &mut out);
        assert_eq!(out, b"Password? hunting\n");
    }

    #[test]
    fn an_endless_run_of_overlaps_stays_bounded() {
        let secrets = secrets(&["zzzz"]);
        let patterns = secrets.patterns();
        let (mut redactor, mut out) = (Redactor::default(), Vec::new());
        for _ in 0..10_000 {
            redactor.push(&patterns, &[b'z'; 100], &mut out);
            assert!(redactor.held.len() < 100);
        }
        redactor.finish(&patterns, &mut out);
        assert_eq!(out, b"***");
    }

    #[test]
    fn an_unfinished_secret_at_the_end_is_hidden() {
        assert_eq!(secrets(&["hunter2hunter2"]).redact("my hunter2hunt"), "my ***");
        assert_eq!(secrets(&["hunter2hunter2"]).redact("go hunt"), "go hunt");
    }

    #[test]
    fn a_secret_added_on_the_way_counts_from_then_on() {
        let secrets = secrets(&["first-secret"]);
        let (mut redactor, mut out) = (Redactor::default(), Vec::new());
        redactor.push(&secrets.patterns(), b"second-secret first-se", &mut out);
        secrets.add("second-secret");
        redactor.push(&secrets.patterns(), b"cret second-secret\n", &mut out);
        assert_eq!(out, b"second-secret *** ***\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_cut_gives_the_same(text in "[ab=\n]{0,60}", one in "[ab]{4,9}", two in "[ab\n]{4,12}", cuts in proptest::collection::vec(0_usize..60, 0..8)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let secrets = secrets(&[&one, &two]);
            prop_assert_eq!(in_pieces(&secrets, text.as_bytes(), &cuts), in_pieces(&secrets, text.as_bytes(), &[]));
        }

        #[test]
        fn masks_what_the_definition_says(text in "[ab]{0,40}#", one in "[ab]{4,7}", two in "[ab]{4,9}") {
            let secrets = secrets(&[&one, &two]);
            prop_assert_eq!(secrets.redact(&text), by_definition(&[&one, &two], &text));
        }

        #[test]
        fn no_form_of_a_secret_survives_any_cut(secret in "[!-~é ]{5,40}", before in "[a-z\n]{0,20}", cuts in proptest::collection::vec(0_usize..200, 0..6)) {
            prop_assume!(secret.trim().len() >= 5);
            let mut cuts = cuts;
            cuts.sort_unstable();
            let secrets = secrets(&[&secret]);
            for form in super::super::encodings::forms(&secret) {
                let text = [before.as_bytes(), &form, b"\n#"].concat();
                let out = in_pieces(&secrets, &text, &cuts);
                prop_assert!(!out.as_bytes().windows(form.len()).any(|window| window == form), "{} in {out}", String::from_utf8_lossy(&form));
            }
        }
    }
}
