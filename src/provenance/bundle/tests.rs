use proptest::prelude::*;

use super::*;
use crate::provenance::{SigningKey, dsse::IN_TOTO};

fn signed() -> (Envelope, SigningKey) {
    let key = SigningKey::generate().expect("a key");
    (Envelope::sign(IN_TOTO, br#"{"a":1}"#.to_vec(), &key).expect("signed"), key)
}

#[test]
fn what_is_written_is_read() {
    let (envelope, key) = signed();
    let bundle = Bundle::parse(&document(&envelope, key.public())).expect("reads");
    assert_eq!(bundle, Bundle::of_key(envelope, key.public()));
    assert!(bundle.envelope().is_some_and(|envelope| envelope.verify(key.public())));
}

/// The shape of what cosign 3 writes for a keyless signature, with short values.
const KEYLESS: &str = r#"{
  "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.2",
  "verificationMaterial": {
    "x509CertificateChain": {"certificates": [{"rawBytes": "AQ=="}, {"rawBytes": "Ag=="}]},
    "tlogEntries": [{
      "logIndex": "7", "logId": {"keyId": "Aw=="}, "kindVersion": {"kind": "hashedrekord", "version": "0.0.1"},
      "integratedTime": "1700000000", "inclusionPromise": {"signedEntryTimestamp": "BA=="},
      "inclusionProof": {"logIndex": 5, "rootHash": "BQ==", "treeSize": "9", "hashes": ["Bg=="], "checkpoint": {"envelope": "log\n9\n"}},
      "canonicalizedBody": "e30="
    }],
    "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": "Bw=="}]}
  },
  "messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": "CA=="}, "signature": "CQ=="}
}"#;

#[test]
fn certificates_log_entries_and_message_signatures_are_read() {
    let bundle = Bundle::parse(KEYLESS.as_bytes()).expect("reads");
    let proof = InclusionProof { log_index: 5, root_hash: vec![5], tree_size: 9, hashes: vec![vec![6]], checkpoint: "log\n9\n".into() };
    let entry = LogEntry {
        log_index: 7,
        log_id: vec![3],
        kind: "hashedrekord".into(),
        kind_version: "0.0.1".into(),
        integrated_time: 1_700_000_000,
        promise: Some(vec![4]),
        proof: Some(proof),
        body: b"{}".to_vec(),
    };
    let content = MessageSignature { algorithm: "SHA2_256".into(), digest: vec![8], signature: vec![9] };
    let expected = Bundle {
        version: Version::V0_2,
        signer: Signer::Certificates(vec![vec![1], vec![2]]),
        log_entries: vec![entry],
        timestamps: vec![vec![7]],
        content: Content::Message(content),
    };
    assert_eq!(bundle, expected);
    let leaf = KEYLESS
        .replace(
            r#""x509CertificateChain": {"certificates": [{"rawBytes": "AQ=="}, {"rawBytes": "Ag=="}]}"#,
            r#""certificate": {"rawBytes": "AQ"}"#,
        )
        .replace("bundle+json;version=0.2", "bundle.v0.3+json");
    let bundle = Bundle::parse(leaf.as_bytes()).expect("reads");
    assert_eq!((bundle.version, bundle.signer), (Version::V0_3, Signer::Certificates(vec![vec![1]])));
}

#[test]
fn nulls_and_unknown_fields_are_nothing() {
    let text = r#"{"mediaType":"application/vnd.dev.sigstore.bundle+json; version=0.1","verificationMaterial":{"publicKey":{"hint":null},
        "tlogEntries":null,"timestampVerificationData":null,"certificate":null},"messageSignature":{"signature":""},"dsseEnvelope":null,"x":{}}"#;
    let bundle = Bundle::parse(text.as_bytes()).expect("reads");
    assert_eq!((bundle.version, bundle.signer), (Version::V0_1, Signer::PublicKey { hint: String::new() }));
}

#[test]
fn what_is_no_bundle_says_why() {
    let (envelope, key) = signed();
    let good = String::from_utf8(document(&envelope, key.public()).to_vec()).expect("text");
    let many = vec!["{\"rawBytes\":\"\"}"; 129].join(",");
    for (text, expected) in [
        ("", "the bundle is damaged"),
        ("[]", "the bundle is damaged"),
        ("{}", "'' is not a media type"),
        (&good.replace("v0.3", "v0.4"), "bundle.v0.4+json' is not a media type of Sigstore bundles up to version 0.3"),
        (&good.replace("verificationMaterial", "other"), "no verificationMaterial"),
        (&good.replace("publicKey", "other"), "no public key or certificate"),
        (&good.replace("dsseEnvelope", "other"), "no dsseEnvelope or messageSignature"),
        (&good.replace(r#""sig":""#, r#""sig":"*"#), "not base64"),
        (&KEYLESS.replace(r#"{"rawBytes": "AQ=="}"#, &many), "more than 128 certificates"),
        (&KEYLESS.replace(r#""certificates": ["#, r#""other": ["#), "no public key or certificate"),
        (
            &KEYLESS
                .replace(r#""messageSignature""#, r#""dsseEnvelope":{"payload":"","payloadType":"","signatures":[]},"messageSignature""#),
            "more than one",
        ),
        (&KEYLESS.replace(r#""7""#, r#""x""#), "expected a 64-bit number"),
        (&" ".repeat(usize::try_from(MAX_BUNDLE).expect("small") + 1), "more than the"),
    ] {
        let error = Bundle::parse(text.as_bytes()).expect_err("no bundle").to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

proptest! {
    #[test]
    fn damage_is_refused_or_seen_by_the_signature(at in 0usize..600, byte: u8) {
        let (envelope, key) = signed();
        let mut bytes = document(&envelope, key.public()).to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(bundle) = Bundle::parse(&bytes)
            && let Some(read) = bundle.envelope().filter(|read| read.verify(key.public()))
        {
            prop_assert_eq!((&read.payload, &read.payload_type), (&envelope.payload, &envelope.payload_type));
        }
    }
}
