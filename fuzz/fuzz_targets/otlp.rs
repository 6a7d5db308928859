//! A log batch from the network: no panic, and never more lines or text than the limits allow.
#![no_main]

use build_runner::source::control_plane::otlp::{Coding, decode, gzip};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    let plain = decode(bytes, Coding::Identity, LIMIT);
    if let Ok(lines) = &plain {
        assert!(lines.len() * 2 <= LIMIT, "{} lines", lines.len());
        // A byte that is not text becomes a replacement character of three.
        let text: usize = lines.iter().map(|line| line.text.len()).sum();
        assert!(text <= 3 * LIMIT, "{text} bytes of text");
        assert!(lines.iter().all(|line| !line.text.contains(|c: char| c.is_control() && c != '\t')));
    }
    let packed = gzip(bytes).expect("memory can be written to");
    assert_eq!(decode(&packed, Coding::Gzip, LIMIT), plain, "compression changes nothing");
    let _ = decode(bytes, Coding::Gzip, LIMIT);
});
