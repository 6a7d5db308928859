//! Bundles, envelopes and keys of strangers: read or refused, never more; what was read says the same when written again.
#![no_main]

use build_runner::provenance::{PublicKey, SigningKey, Statement, bundle, dsse::Envelope, pem};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(bundle) = bundle::Bundle::parse(bytes)
        && let Some(envelope) = bundle.envelope()
    {
        let written = serde_json::to_vec(envelope).expect("strings are JSON");
        assert_eq!(serde_json::from_slice::<Envelope>(&written).expect("what we write we can read"), *envelope);
    }
    if let Ok(statement) = Statement::parse(bytes) {
        let _ = (statement.builder(), statement.build_type(), statement.materials().len(), statement.source(), statement.metadata());
    }
    let _ = PublicKey::from_der(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = (pem::blocks(text), SigningKey::from_pem(text));
    if let Ok(key) = PublicKey::from_pem(text) {
        assert_eq!(PublicKey::from_pem(&key.to_pem()).expect("what we write we can read"), key);
    }
});
