//! Digests, tags, references and challenges: what is accepted is written as it was read.
#![no_main]

use build_runner::digest::Digest;
use build_runner::oci::{Reference, auth::parse_challenges};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.as_str(), text);
        assert!(text.ends_with(digest.hex()));
    }
    assert!(parse_challenges(text).iter().all(|challenge| !challenge.scheme.is_empty()));
    match text.parse::<Reference>() {
        Ok(reference) => assert_eq!(reference.to_string(), text),
        Err(error) => assert!(error.to_string().len() < 1024),
    }
});
