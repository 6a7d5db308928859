//! Manifests of strangers: refused with a sentence, or a text that reads back as the very same objects.
#![no_main]

use build_runner::{executor::kubernetes_manifest_build::manifests, shutdown::Cancel};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: Vec<&str>| {
    let sources = texts.iter().map(|text| ("fuzzed", *text));
    match manifests::read(sources, &Cancel::new()) {
        Ok(read) => {
            assert!(!read.resources.is_empty());
            let again = manifests::read([("again", read.text.as_str())], &Cancel::new()).expect("what was published can be read");
            assert_eq!(again.resources, read.resources);
            assert_eq!(again.text, read.text);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
