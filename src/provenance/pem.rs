//! PEM (RFC 7468): the blocks of a text, and a block as text.
//!
//! Inputs: text from files of people. Outputs: labels and bytes. Invariant: nothing of a block is shown in a message; it may be a private key.
//!
//! Called for keys, and for certificates of foreign signatures.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// Most characters that are read: the largest bundles of certificates in use have a quarter of it.
pub(crate) const MAX_TEXT: usize = 1 << 20;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// One block.
pub struct Block {
    /// What it says it is: `PUBLIC KEY`, `CERTIFICATE` …
    pub label: String,
    /// Whether its headers say that it is encrypted (RFC 1421, as OpenSSL writes old private keys).
    pub encrypted: bool,
    /// The decoded content.
    pub content: Zeroizing<Vec<u8>>,
}

/// Why a text is not PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No block begins in it.
    #[error("there is no '-----BEGIN' line in it")]
    NoBlock,
    /// Bytes that no text has.
    #[error("it is not text; `openssl pkey -inform DER` makes PEM of a key in DER, with -pubin of a public one")]
    NotText,
    /// A block that never ends, or ends as something else than it began.
    #[error("the block that begins in line {0} has no '-----END' line of the same name")]
    NoEnd(usize),
    /// Not base64 between the lines.
    #[error("the block that begins in line {0} is damaged: its content is not base64")]
    NotBase64(usize),
    /// More than anybody has a use for.
    #[error("it is longer than 1 MiB")]
    TooLong,
}

/// Every block of `text`, in order. What stands between blocks is for people.
///
/// # Errors
/// When there is none, or one is damaged.
pub fn blocks(text: &str) -> Result<Vec<Block>, PemError> {
    if text.len() > MAX_TEXT {
        return Err(PemError::TooLong);
    }
    if text.contains('\0') {
        return Err(PemError::NotText);
    }
    let mut blocks = Vec::new();
    // Editors of other systems begin a file with a byte order mark.
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) else { continue };
        let (mut encoded, mut encrypted, mut ended) = (Zeroizing::new(String::new()), false, false);
        for (_, line) in lines.by_ref() {
            if let Some(rest) = line.strip_prefix(END) {
                ended = rest.strip_suffix(DASHES) == Some(label);
                break;
            }
            // Headers of RFC 1421, which base64 never looks like.
            match line.split_once(':') {
                Some((name, value)) => encrypted |= name == "Proc-Type" && value.contains("ENCRYPTED"),
                None => encoded.push_str(line),
            }
        }
        if !ended {
            return Err(PemError::NoEnd(index + 1));
        }
        // The parameters of an encrypted block may go over several lines; its content is of no use here anyway.
        let content =
            if encrypted { Vec::new() } else { STANDARD.decode(encoded.as_bytes()).map_err(|_| PemError::NotBase64(index + 1))? };
        blocks.push(Block { label: label.to_owned(), encrypted, content: Zeroizing::new(content) });
    }
    if blocks.is_empty() { Err(PemError::NoBlock) } else { Ok(blocks) }
}

/// One block as text.
#[must_use]
pub fn block(label: &str, content: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(content));
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / 64 + 2 * label.len() + 40));
    for part in [BEGIN, label, DASHES, "\n"] {
        text.push_str(part);
    }
    for line in encoded.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    for part in [END, label, DASHES, "\n"] {
        text.push_str(part);
    }
    text
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block").field("label", &self.label).field("encrypted", &self.encrypted).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_among_other_text() {
        let text = format!("for people\n{}\r\n-----BEGIN B-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END B-----", *block("A", &[7; 100]));
        let found = blocks(&text).expect("two blocks");
        assert_eq!(blocks(&format!("\u{feff}{}", *block("A", &[7]))).map(|found| found.len()).ok(), Some(1), "a byte order mark");
        assert_eq!((found[0].label.as_str(), found[0].content.as_slice(), found[0].encrypted), ("A", [7; 100].as_slice(), false));
        assert_eq!((found[1].label.as_str(), found[1].encrypted), ("B", true));
        assert!(!format!("{found:?}").contains("[7"), "content may be secret");
    }

    #[test]
    fn damage_is_named_with_its_line() {
        for (text, expected) in [
            ("", PemError::NoBlock),
            ("0Y0\u{13}\0", PemError::NotText),
            ("x\n-----BEGIN A-----\nAAAA", PemError::NoEnd(2)),
            ("-----BEGIN A-----\nAAAA\n-----END B-----", PemError::NoEnd(1)),
            ("-----BEGIN A-----\nA*\n-----END A-----", PemError::NotBase64(1)),
        ] {
            assert_eq!(blocks(text).expect_err(text), expected, "{text}");
        }
        assert_eq!(blocks(&"x".repeat(MAX_TEXT + 1)).expect_err("long"), PemError::TooLong);
    }

    proptest::proptest! {
        #[test]
        fn any_content_comes_back(content in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let found = blocks(&block("PUBLIC KEY", &content)).expect("one block");
            proptest::prop_assert_eq!(found[0].content.as_slice(), content.as_slice());
        }

        #[test]
        fn no_text_is_too_strange(text in "(-----(BEGIN|END) [A-Z]{1,2}-----\n|[A-Za-z:=\n ]{0,9}){0,12}") {
            let _ = blocks(&text);
        }
    }
}
