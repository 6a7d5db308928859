//! Signatures of identities: certificates, a transparency log and a trust root made here, checked by us and by cosign.

use std::fs;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use build_runner::{digest::hex, provenance::SigningKey};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use serde_json::{Value, json};

use crate::{
    image_build::{HELLO, job, layout, seed},
    support::{registry::Registry, runner::Runner, tools},
};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const OIDC: &str = "https://accounts.example.com";
const EMAIL: &str = "release@example.com";
/// When it was signed: noon of the day on which the certificate was good.
const SIGNED_AT: i64 = 1_704_110_400;

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// A certificate authority, a log, and what a runner has to be told to believe them.
struct Sigstore {
    authority: Issuer<'static, KeyPair>,
    certificate: Certificate,
    log: SigningKey,
}

impl Sigstore {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
        (params.not_before, params.not_after) = (date_time_ymd(2023, 1, 1), date_time_ymd(2033, 1, 1));
        let certificate = params.self_signed(&key).unwrap();
        Self { authority: Issuer::new(params, key), certificate, log: SigningKey::generate().unwrap() }
    }

    fn log_id(&self) -> Vec<u8> {
        sha256(self.log.public().der())
    }

    fn trusted_root(&self) -> String {
        let span = json!({"start": "2023-01-01T00:00:00Z"});
        let key = json!({"rawBytes": STANDARD.encode(self.log.public().der()), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": span});
        let certificate = json!({"rawBytes": STANDARD.encode(self.certificate.der())});
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{"baseUrl": "https://rekor.example.com", "hashAlgorithm": "SHA2_256", "publicKey": key,
                "logId": {"keyId": STANDARD.encode(self.log_id())}}],
            "certificateAuthorities": [{"subject": {"organization": "test", "commonName": "test authority"}, "uri": "https://fulcio.example.com",
                "certChain": {"certificates": [certificate]}, "validFor": span}],
        })
        .to_string()
    }

    /// A key and a certificate of an identity, good for one day.
    fn certify(&self, subject: SanType, issuer: &str) -> (SigningKey, Certificate) {
        self.certify_for(subject, issuer, 2024)
    }

    /// The same, from the first day of 2024 on, to the second of January of `until`.
    fn certify_for(&self, subject: SanType, issuer: &str, until: i32) -> (SigningKey, Certificate) {
        let key = SigningKey::generate().unwrap();
        let pair = KeyPair::from_pem(&key.to_pem().unwrap()).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names = vec![subject];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let mut text = vec![0x0c, u8::try_from(issuer.len()).unwrap()];
        text.extend_from_slice(issuer.as_bytes());
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], text)];
        (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(until, 1, 2));
        (key, params.signed_by(&pair, &self.authority).unwrap())
    }

    /// What cosign would push for an image that this identity has signed.
    fn bundle(&self, key: &SigningKey, certificate: &Certificate, image: &str, signed_at: i64) -> Value {
        let statement = json!({"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": image.trim_start_matches("sha256:")}}],
            "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {}});
        let envelope =
            build_runner::provenance::dsse::Envelope::sign("application/vnd.in-toto+json", statement.to_string().into_bytes(), key)
                .unwrap();
        let hash = |bytes: &[u8]| json!({"algorithm": "sha256", "value": hex(&sha256(bytes))});
        let signature = STANDARD.encode(&envelope.signatures[0].sig);
        let body = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": hash(serde_json::to_string(&envelope).unwrap().as_bytes()), "payloadHash": hash(&envelope.payload),
            "signatures": [{"signature": signature, "verifier": STANDARD.encode(pem(certificate))}],
        }})
        .to_string();
        let (encoded, id) = (STANDARD.encode(&body), hex(&self.log_id()));
        let promise = format!(r#"{{"body":"{encoded}","integratedTime":{signed_at},"logID":"{id}","logIndex":7}}"#);
        // The log has this one entry.
        let root = sha256(&[&[0], body.as_bytes()].concat());
        let head = format!("rekor.example.com - 1\n1\n{}\n", STANDARD.encode(&root));
        let note = [&self.log_id()[..4], &self.log.sign(head.as_bytes()).unwrap()].concat();
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": {"rawBytes": STANDARD.encode(certificate.der())},
                "tlogEntries": [{
                    "logIndex": "7", "logId": {"keyId": STANDARD.encode(self.log_id())}, "kindVersion": {"kind": "dsse", "version": "0.0.1"},
                    "integratedTime": signed_at.to_string(),
                    "inclusionPromise": {"signedEntryTimestamp": STANDARD.encode(self.log.sign(promise.as_bytes()).unwrap())},
                    "inclusionProof": {"logIndex": "0", "rootHash": STANDARD.encode(&root), "treeSize": "1", "hashes": [],
                        "checkpoint": {"envelope": format!("{head}\n\u{2014} rekor.example.com {}\n", STANDARD.encode(note))}},
                    "canonicalizedBody": encoded,
                }],
            },
            "dsseEnvelope": envelope,
        })
    }
}

fn pem(certificate: &Certificate) -> String {
    // As Go writes it.
    certificate.pem().replace("\r\n", "\n")
}

fn email() -> SanType {
    SanType::Rfc822Name(EMAIL.try_into().unwrap())
}

/// A registry with the image and one bundle about it; what we and cosign say.
struct Verdict<'a> {
    sigstore: &'a Sigstore,
    identity: Value,
}

impl Verdict<'_> {
    /// Whether the image is copied, and the last of the evidence.
    fn ours(&self, runner: &Runner, image: &str) -> Result<Value, String> {
        let keyless = json!({"identities": [self.identity], "trusted_root": self.sigstore.trusted_root()});
        let pull = json!({"image": image, "verification": {"authorities": [{"name": "release", "keyless": keyless}]}});
        let run = runner.job(&job(&layout("out"), &pull)).done();
        if run.code() == 0 {
            return Ok(run.succeeded()["outputs"]["source"]["verified_by"].clone());
        }
        let failure = run.failed(1, "SignatureInvalid");
        Err(failure["evidence"].as_array().unwrap().last().unwrap()["text"].as_str().unwrap().to_owned())
    }

    /// What cosign says of the same.
    fn cosign(&self, runner: &Runner, registry: &Registry, image: &str) -> Result<(), String> {
        let root = runner.write("root.json", self.sigstore.trusted_root());
        let mut command = registry.command("cosign");
        command.args(["verify", "--insecure-ignore-sct", "--allow-http-registry", "--trusted-root"]).arg(root);
        for (key, flag) in [
            ("issuer", "--certificate-oidc-issuer"),
            ("issuer_regexp", "--certificate-oidc-issuer-regexp"),
            ("subject", "--certificate-identity"),
            ("subject_regexp", "--certificate-identity-regexp"),
        ] {
            if let Some(value) = self.identity[key].as_str() {
                command.arg(flag).arg(value);
            }
        }
        let output = command.arg(image).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

/// Attaches one bundle to the image of a fresh registry.
fn with_bundle(bundle: &Value) -> (Registry, Runner, String) {
    let (registry, runner) = (Registry::start(), Runner::new());
    seed(&registry, "app", &["1.0.0"]);
    let image = format!("{}@{HELLO}", registry.repository("app"));
    runner.write("bundle.json", bundle.to_string());
    let attach = ["attach", "--plain-http", "--artifact-type", BUNDLE, &image, &format!("bundle.json:{BUNDLE}")];
    tools::run(registry.command("oras").args(attach).current_dir(runner.work()));
    (registry, runner, image)
}

#[test]
fn an_identity_that_is_trusted_has_to_have_signed() {
    require_tools!("docker-registry", "skopeo", "oras", "cosign");
    let sigstore = Sigstore::new();
    let (key, certificate) = sigstore.certify(email(), OIDC);
    let (registry, runner, image) = with_bundle(&sigstore.bundle(&key, &certificate, HELLO, SIGNED_AT));
    let asked = |identity: Value| Verdict { sigstore: &sigstore, identity };
    for (identity, wanted) in [
        (json!({"issuer": OIDC, "subject": EMAIL}), true),
        (json!({"issuer_regexp": r"^https://accounts\.", "subject_regexp": r"@example\.com$"}), true),
        (json!({"issuer": OIDC, "subject": "other@example.com"}), false),
        (json!({"issuer": "https://other.example.com", "subject": EMAIL}), false),
        (json!({"issuer": OIDC, "subject_regexp": r"@example\.org$"}), false),
    ] {
        let verdict = asked(identity.clone());
        let (ours, theirs) = (verdict.ours(&runner, &image), verdict.cosign(&runner, &registry, &image));
        assert_eq!((ours.is_ok(), theirs.is_ok()), (wanted, wanted), "{identity}: {ours:?} {theirs:?}");
        match ours {
            Ok(by) => assert_eq!(by, json!({"authority": "release", "signer": format!("{EMAIL} (issuer {OIDC})")})),
            Err(why) => {
                assert!(why.ends_with(&format!("it is of {EMAIL} (issuer {OIDC}), which is none of the identities asked for")), "{why}");
            }
        }
    }
    // The trust root of the runner does as well as one of the plan.
    let root = runner.write("root.json", sigstore.trusted_root());
    let keyless = json!({"url": "https://fulcio.example.com/", "identities": [{"issuer": OIDC, "subject": EMAIL}]});
    let pull = json!({"image": image, "verification": {"authorities": [{"keyless": keyless}]}});
    runner.job(&job(&layout("out-2"), &pull)).arg("--trusted-root").arg(&root).done().succeeded();
}

#[test]
fn what_nobody_vouches_for_does_not_count() {
    require_tools!("docker-registry", "skopeo", "oras", "cosign");
    let (sigstore, stranger) = (Sigstore::new(), Sigstore::new());
    let (key, certificate) = sigstore.certify(email(), OIDC);
    let good = sigstore.bundle(&key, &certificate, HELLO, SIGNED_AT);
    let changed = |path: &str, value: Value| {
        let mut bundle = good.clone();
        *bundle.pointer_mut(path).unwrap() = value;
        bundle
    };
    let entry = "/verificationMaterial/tlogEntries/0";
    let other_key = SigningKey::generate().unwrap();
    let (their_key, their_certificate) = stranger.certify(email(), OIDC);
    let other_entry =
        sigstore.bundle(&key, &certificate, &format!("sha256:{}", "ab".repeat(32)), SIGNED_AT).pointer(entry).unwrap().clone();
    for (what, bundle, why) in [
        ("a day later", sigstore.bundle(&key, &certificate, HELLO, SIGNED_AT + 2 * 86_400), "it does not lead to the trusted root"),
        (
            "another time than promised",
            changed(&format!("{entry}/integratedTime"), json!((SIGNED_AT + 1).to_string())),
            "the log has not signed the entry timestamp",
        ),
        ("another log", stranger.bundle(&key, &certificate, HELLO, SIGNED_AT), "the log of its entry is not in the trusted root"),
        (
            "another authority",
            sigstore.bundle(&their_key, &their_certificate, HELLO, SIGNED_AT),
            "its certificate does not lead to the trusted root",
        ),
        (
            "another key than the certificate's",
            sigstore.bundle(&other_key, &certificate, HELLO, SIGNED_AT),
            "it is not of the key in its certificate",
        ),
        ("an entry of another signature", changed(entry, other_entry), "its log entry is about another signature"),
        ("no entry", changed("/verificationMaterial/tlogEntries", json!([])), "it has neither a log entry nor a timestamp"),
        (
            "an entry of Rekor 2",
            changed(&format!("{entry}/canonicalizedBody"), json!(STANDARD.encode(r#"{"apiVersion":"0.0.2","kind":"dsse","spec":{}}"#))),
            "its log entry is of Rekor 2, which vouches for no time",
        ),
        (
            "another root of the tree",
            changed(&format!("{entry}/inclusionProof/rootHash"), json!(STANDARD.encode([7; 32]))),
            "the proof that its entry is in the log is wrong",
        ),
    ] {
        let (registry, runner, image) = with_bundle(&bundle);
        let verdict = Verdict { sigstore: &sigstore, identity: json!({"issuer": OIDC, "subject": EMAIL}) };
        let (ours, theirs) = (verdict.ours(&runner, &image), verdict.cosign(&runner, &registry, &image));
        assert!(theirs.is_err(), "{what}: cosign takes it");
        let said = ours.expect_err(what);
        let why = why.replace("it does not lead", "its certificate does not lead");
        assert!(said.contains(&why), "{what}: {said}");
        assert!(fs::metadata(runner.work().join("out")).is_err(), "{what}: nothing was copied");
    }
}

/// A timestamp authority made of openssl, with a certificate of the same root.
fn timestamp(sigstore: &Sigstore, runner: &Runner, signature: &[u8]) -> (Vec<u8>, Certificate) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "test timestamps");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // extKeyUsage, critical, timeStamping alone (RFC 3161, section 2.3)
    let mut usage = CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0x0a, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 8]);
    usage.set_criticality(true);
    params.custom_extensions = vec![usage];
    (params.not_before, params.not_after) = (date_time_ymd(2023, 1, 1), date_time_ymd(2033, 1, 1));
    let certificate = params.signed_by(&key, &sigstore.authority).unwrap();
    runner.write("signature", signature);
    runner.write("tsa.key", key.serialize_pem());
    runner.write("tsa.crt", pem(&certificate));
    runner.write("serial", "01\n");
    runner.write(
        "tsa.cnf",
        "[tsa]\ndefault_tsa=t\n[t]\nserial=serial\ncrypto_device=builtin\nsigner_cert=tsa.crt\nsigner_key=tsa.key\nsigner_digest=sha256\n\
         default_policy=1.2.3.4\ndigests=sha256\naccuracy=secs:1\ness_cert_id_alg=sha256\n",
    );
    for args in [
        "ts -query -data signature -sha256 -cert -out query.tsq",
        "ts -reply -config tsa.cnf -section t -queryfile query.tsq -out reply.tsr",
    ] {
        tools::run(tools::command("openssl").args(args.split(' ')).current_dir(runner.work()));
    }
    (fs::read(runner.work().join("reply.tsr")).unwrap(), certificate)
}

#[test]
fn a_timestamp_authority_vouches_for_the_time_as_well() {
    require_tools!("docker-registry", "skopeo", "oras", "cosign", "openssl");
    let sigstore = Sigstore::new();
    let (key, certificate) = sigstore.certify_for(email(), OIDC, 2032);
    let mut bundle = sigstore.bundle(&key, &certificate, HELLO, SIGNED_AT);
    bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    let place = Runner::new();
    let signature = STANDARD.decode(bundle["dsseEnvelope"]["signatures"][0]["sig"].as_str().unwrap()).unwrap();
    let (reply, tsa) = timestamp(&sigstore, &place, &signature);
    let (other, _) = timestamp(&sigstore, &place, b"something else");
    let mut damaged = reply.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let entry = sigstore.bundle(&key, &certificate, HELLO, SIGNED_AT)["verificationMaterial"]["tlogEntries"][0].clone();
    for (stamp, entries, why) in [
        (&reply, json!([]), None),
        (&other, json!([]), Some("its timestamp is of another signature")),
        (&damaged, json!([]), Some("its timestamp is of nobody in the trusted root")),
        (&reply, json!([entry]), Some("its log entry is about another signature")),
    ] {
        bundle["verificationMaterial"]["tlogEntries"] = entries;
        bundle["verificationMaterial"]["timestampVerificationData"] =
            json!({"rfc3161Timestamps": [{"signedTimestamp": STANDARD.encode(stamp)}]});
        let (registry, runner, image) = with_bundle(&bundle);
        let mut root: Value = serde_json::from_str(&sigstore.trusted_root()).unwrap();
        let mut authority = root["certificateAuthorities"][0].clone();
        let chain = authority["certChain"]["certificates"].as_array_mut().unwrap();
        chain.insert(0, json!({"rawBytes": STANDARD.encode(tsa.der())}));
        root["timestampAuthorities"] = json!([authority]);
        let root = runner.write("root.json", root.to_string());
        let keyless = json!({"identities": [{"issuer": OIDC, "subject": EMAIL}], "trusted_root": {"file": root}});
        let pull = json!({"image": image, "verification": {"authorities": [{"keyless": keyless}]}});
        let run = runner.job(&job(&layout("out"), &pull)).done();
        let mut cosign = registry.command("cosign");
        cosign.args(["verify", "--insecure-ignore-sct", "--insecure-ignore-tlog", "--use-signed-timestamps", "--allow-http-registry"]);
        cosign.args(["--certificate-oidc-issuer", OIDC, "--certificate-identity", EMAIL, "--trusted-root"]).arg(root).arg(&image);
        let theirs = cosign.output().unwrap();
        // It was told not to look at the log.
        let wanted = why.is_none_or(|why| why.contains("log entry"));
        assert_eq!(theirs.status.success(), wanted, "{}", String::from_utf8_lossy(&theirs.stderr));
        match why {
            None => drop(run.succeeded()),
            Some(why) => {
                let failure = run.failed(1, "SignatureInvalid");
                let said = failure["evidence"][0]["text"].as_str().unwrap();
                assert!(said.contains(why), "{said}");
            }
        }
    }
}
