//! Entries of transparency logs (Rekor): whether a log of the trusted root has this signature, and since when.
//!
//! An entry proves something only if its body names this certificate and this signature. The log's signature of its promise (the "signed
//! entry timestamp") vouches for body and time; a proof of inclusion vouches for the body alone, since the time is no part of
//! what is hashed, so it is checked where there is one and never taken for the time.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    digest::hex,
    provenance::{
        bundle::{InclusionProof, LogEntry},
        pem,
    },
};

use super::{certificate::Certificate, claim::Signed, trusted_root::Log};

/// Why an entry proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LogProblem {
    #[error("the log of its entry is not in the trusted root")]
    UnknownLog,
    #[error("the log of its entry was not trusted at that time")]
    Expired,
    #[error("its log entry is of a kind that is not understood")]
    UnknownKind,
    #[error("its log entry is of Rekor 2, which vouches for no time: that takes a timestamp of an authority in the trusted root")]
    Rekor2,
    #[error("its log entry is about another signature")]
    AnotherSignature,
    #[error("its log entry has no signed entry timestamp, and nothing else in it vouches for a time")]
    NoPromise,
    #[error("the log has not signed the entry timestamp of its log entry")]
    Promise,
    #[error("the proof that its entry is in the log is wrong")]
    Proof,
    #[error("the log has not signed the checkpoint of the proof")]
    Checkpoint,
}

impl LogProblem {
    /// Whether the entry is not merely of no use, but wrong: then nothing beside it is believed either.
    pub(super) const fn is_false(self) -> bool {
        matches!(self, Self::AnotherSignature | Self::Promise | Self::Proof | Self::Checkpoint)
    }
}

/// When the log says it took the entry.
pub(super) fn time(entry: &LogEntry, logs: &[Log], signed: &Signed, leaf: &[u8], signature: &[u8]) -> Result<Timestamp, LogProblem> {
    is_about(&entry.body, signed, leaf, signature)?;
    let mut known = logs.iter().filter(|log| log.id == entry.log_id).peekable();
    known.peek().ok_or(LogProblem::UnknownLog)?;
    let at = Timestamp::from_second(entry.integrated_time).map_err(|_| LogProblem::Promise)?;
    let log = known.find(|log| log.span.holds(at)).ok_or(LogProblem::Expired)?;
    if let Some(proof) = &entry.proof {
        included(&entry.body, proof, log)?;
    }
    let promise = entry.promise.as_ref().filter(|promise| !promise.is_empty()).ok_or(LogProblem::NoPromise)?;
    // Canonical JSON (RFC 8785) of Rekor's `pkg/api/entries.go`: keys in alphabetical order, no spaces.
    let body = STANDARD.encode(&entry.body);
    let (time, id, index) = (entry.integrated_time, hex(&entry.log_id), entry.log_index);
    let promised = format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{id}","logIndex":{index}}}"#);
    if time > 0 && log.key.verify(promised.as_bytes(), promise) { Ok(at) } else { Err(LogProblem::Promise) }
}

/// Whether the body of an entry names the signature, what it is of, and the certificate (Rekor `pkg/types/*/…_schema.json`).
fn is_about(body: &[u8], signed: &Signed, leaf: &[u8], signature: &[u8]) -> Result<(), LogProblem> {
    let entry: Value = serde_json::from_slice(body).map_err(|_| LogProblem::UnknownKind)?;
    let (spec, sig) = (&entry["spec"], STANDARD.encode(signature));
    let hashed = |bytes: &[u8]| hex(digest(&SHA256, bytes).as_ref());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let good = match (entry["kind"].as_str(), entry["apiVersion"].as_str(), signed) {
        (Some("hashedrekord"), Some("0.0.1"), signed) => {
            let (data, part) = (&spec["data"]["hash"], &spec["signature"]);
            data["algorithm"] == "sha256"
                && text(&data["value"]) == Some(hashed(&signed.message()))
                && text(&part["content"]).as_deref() == Some(sig.as_str())
                && names(&part["publicKey"]["content"], leaf)
        }
        (Some("dsse"), Some("0.0.1"), Signed::Statement(envelope)) => {
            let hash = &spec["payloadHash"];
            let has = |part: &Value| text(&part["signature"]).as_deref() == Some(sig.as_str()) && names(&part["verifier"], leaf);
            hash["algorithm"] == "sha256"
                && text(&hash["value"]) == Some(hashed(&envelope.payload))
                && spec["signatures"].as_array().is_some_and(|all| all.iter().any(has))
        }
        (Some("intoto"), Some("0.0.2"), Signed::Statement(envelope)) => {
            let (content, twice) = (&spec["content"], STANDARD.encode(&sig));
            let has = |part: &Value| text(&part["sig"]).as_deref() == Some(twice.as_str()) && names(&part["publicKey"], leaf);
            text(&content["payloadHash"]["value"]) == Some(hashed(&envelope.payload))
                && content["envelope"]["signatures"].as_array().is_some_and(|all| all.iter().any(has))
        }
        // sigstore/protobuf-specs, `rekor/v2/entry.proto`: the log signs no time.
        (Some("hashedrekord" | "dsse"), Some("0.0.2"), _) => return Err(LogProblem::Rekor2),
        _ => return Err(LogProblem::UnknownKind),
    };
    if good { Ok(()) } else { Err(LogProblem::AnotherSignature) }
}

/// Whether base64 of PEM is the certificate, or its key.
fn names(value: &Value, leaf: &[u8]) -> bool {
    let Some(decoded) = value.as_str().and_then(|text| STANDARD.decode(text).ok()) else { return false };
    let Some(blocks) = std::str::from_utf8(&decoded).ok().and_then(|text| pem::blocks(text).ok()) else { return false };
    let key = Certificate::parse(leaf).map(|certificate| certificate.key.der().to_vec());
    blocks.first().is_some_and(|block| block.content.as_slice() == leaf || Some(block.content.as_slice()) == key.as_deref())
}

/// Checks that the body is a leaf of the tree (RFC 9162, section 2.1.3.2), and that the log has signed the tree's root.
fn included(body: &[u8], proof: &InclusionProof, log: &Log) -> Result<(), LogProblem> {
    let (Ok(mut index), Ok(size)) = (u64::try_from(proof.log_index), u64::try_from(proof.tree_size)) else {
        return Err(LogProblem::Proof);
    };
    if index >= size {
        return Err(LogProblem::Proof);
    }
    let mut last = size - 1;
    let mut hash = digest(&SHA256, &[&[0], body].concat()).as_ref().to_vec();
    let join = |left: &[u8], right: &[u8]| digest(&SHA256, &[&[1], left, right].concat()).as_ref().to_vec();
    for sibling in &proof.hashes {
        if last == 0 {
            return Err(LogProblem::Proof);
        }
        if index % 2 == 1 || index == last {
            hash = join(sibling, &hash);
            while index % 2 == 0 && index > 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            hash = join(&hash, sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    if last != 0 || hash != proof.root_hash {
        return Err(LogProblem::Proof);
    }
    checkpoint(&proof.checkpoint, size, &hash, log)
}

/// Checks a signed tree head (transparency-dev, `formats/log/README.md`; golang.org/x/mod/sumdb/note).
fn checkpoint(note: &str, size: u64, root: &[u8], log: &Log) -> Result<(), LogProblem> {
    let (text, signatures) = note.split_once("\n\n").ok_or(LogProblem::Checkpoint)?;
    let mut lines = text.lines().skip(1);
    let says = |line: Option<&str>, expected: &str| line == Some(expected);
    if !says(lines.next(), &size.to_string()) || !says(lines.next(), &STANDARD.encode(root)) {
        return Err(LogProblem::Checkpoint);
    }
    let signed = format!("{text}\n");
    // `— NAME base64(4 bytes of hint, signature)`
    let good = signatures.lines().filter_map(|line| line.strip_prefix("\u{2014} ")?.split(' ').nth(1)).any(|encoded| {
        let decoded = STANDARD.decode(encoded).unwrap_or_default();
        decoded.get(4..).is_some_and(|signature| log.key.verify(signed.as_bytes(), signature))
    });
    if good { Ok(()) } else { Err(LogProblem::Checkpoint) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::{SigningKey, cosign::trusted_root::Span};

    fn leaf_hash(body: &[u8]) -> Vec<u8> {
        digest(&SHA256, &[&[0], body].concat()).as_ref().to_vec()
    }

    fn node(left: &[u8], right: &[u8]) -> Vec<u8> {
        digest(&SHA256, &[&[1], left, right].concat()).as_ref().to_vec()
    }

    /// Root of the tree and the proof of one leaf (RFC 9162, section 2.1.3.1), by its recursive definition.
    fn tree(leaves: &[Vec<u8>], index: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
        if leaves.len() == 1 {
            return (leaves[0].clone(), Vec::new());
        }
        let split = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(split);
        if index < split {
            let (root, mut proof) = tree(left, index);
            let other = tree(right, 0).0;
            proof.push(other.clone());
            (node(&root, &other), proof)
        } else {
            let (root, mut proof) = tree(right, index - split);
            let other = tree(left, 0).0;
            proof.push(other.clone());
            (node(&other, &root), proof)
        }
    }

    #[test]
    fn every_leaf_of_trees_of_every_size_is_found() {
        let key = SigningKey::generate().expect("a key");
        let log = Log { id: vec![1], key: key.public().clone(), span: Span::default() };
        for size in 1..20 {
            let bodies: Vec<Vec<u8>> = (0..size).map(|number| vec![number]).collect();
            let leaves: Vec<_> = bodies.iter().map(|body| leaf_hash(body)).collect();
            for (index, body) in bodies.iter().enumerate() {
                let (root, hashes) = tree(&leaves, index);
                let text = format!("log.example\n{size}\n{}\n", STANDARD.encode(&root));
                let signature = [&[0; 4][..], &key.sign(text.as_bytes()).expect("signed")].concat();
                let note = format!("{text}\n\u{2014} log.example {}\n", STANDARD.encode(signature));
                let (index, size) = (i64::try_from(index).expect("small"), i64::from(size));
                let proof = InclusionProof { log_index: index, root_hash: root, tree_size: size, hashes, checkpoint: note };
                assert_eq!(included(body, &proof, &log), Ok(()), "{index} of {size}");
                assert_eq!(included(b"other", &proof, &log), Err(LogProblem::Proof));
                let moved = InclusionProof { log_index: index + 1, ..proof.clone() };
                assert_eq!(included(body, &moved, &log), Err(LogProblem::Proof), "{index} of {size}");
                let unsigned = InclusionProof { checkpoint: proof.checkpoint.replace("log.example\n", "log2.example\n"), ..proof.clone() };
                assert_eq!(included(body, &unsigned, &log), Err(LogProblem::Checkpoint));
                let longer = InclusionProof { hashes: [proof.hashes.clone(), vec![vec![0; 32]]].concat(), ..proof };
                assert_eq!(included(body, &longer, &log), Err(LogProblem::Proof));
            }
        }
    }
}
