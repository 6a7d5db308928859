//! Keys as OpenSSL 3 writes them, and what it signed with them.

use super::*;

const SEC1: &str = "-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIJ3aXit0GMKrWWmhN/fgi9GviLEcVFqcJ8GUvjkgqXJZoAoGCCqGSM49
AwEHoUQDQgAElLBLpDefrA2ubBNx9010KkBQmBBW3JGVKRuqXwgFv1+fA/QAwUU9
q3qYpi5K4+bhIQR7G/Mc9WGbreuJrBy+Ew==
-----END EC PRIVATE KEY-----";
const P256: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgLIDGORdrFevNoDaC
681VVmA5VF+nt0pwBuS/N5V2Wh+hRANCAAT10g0lwKZA2dPLAr+SX2LZsS28H2Dv
S/eCLkBbTHwJNRnWsYUH76eZ0IVgXUs7pFtmctRBkQItB/N1lJrXvV4Q
-----END PRIVATE KEY-----";
const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIGGI8zM3xpogB/EQ6AXw0H6anbijJYrvPr44O+8TuPH4
-----END PRIVATE KEY-----";
const P384: &str = "-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDChfZDAZx5eUOgS6r7j
X2oWMVEf/U39fWTep7mEF1jghEyhpUg8hupXrftYjwxiOOChZANiAAS+HcVOFXHN
BhEL8oT7aY9+qRqdtfjZiHUd4ugvAdg9YFsI39Q9W3XDusAqb3i/RLrOtfOXnO3v
ByCwL/ZqKm8qUSeuVSXm9JcKYVftboHNz2TKeuoEUD2Olqy8cEOd/sk=
-----END PRIVATE KEY-----";
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjeleDWzJH6NQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEDShjatoP2yFJgUwZsy63KYEgZCn
iepwCWZYhoQshMWXitGfDSO7kPE0Zh035i39rg9QcLMfhVVcTheoETwGdqqQU3Sm
s1IZCriGimaJWQ8/UxDcCSpuZSF4ruIjMzCZj4PDPhP3d8EVxPh/pXP+y23zFrIv
uqt/NNlCObbzilIu1/52WI0gJa2f8YtDBgHmMxRosFts4yD13yZVwMxBUR5P8Ow=
-----END ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_SEC1: &str = "-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,D265D4070DB43486CFB0D1EC1E476F5E

g/vdsAiaI79BkXenSVtzsZid43vBPYjPxdD3HJpLSqiAxeUnk+sI8X5PzoTqyQ1B
FrTXEYK9ov9eMeYldvALOgYSleVahGArMtysDG4XRG1dAsKcRsT7vF3hIhWWk0hM
nKHjs6zCsLj5Xoh0+NLJG78+pkHONBAptQJDC9JARBw=
-----END EC PRIVATE KEY-----";

const P256_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9dINJcCmQNnTywK/kl9i2bEtvB9g
70v3gi5AW0x8CTUZ1rGFB++nmdCFYF1LO6RbZnLUQZECLQfzdZSa171eEA==
-----END PUBLIC KEY-----\n";
const P256_COMPRESSED: &str = "-----BEGIN PUBLIC KEY-----
MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgAC9dINJcCmQNnTywK/kl9i2bEtvB9g
70v3gi5AW0x8CTU=
-----END PUBLIC KEY-----\n";
const ED25519_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAV67unphHIkcjhW7IEC0DlMVjMVPFqMLDvsgWEC8UtMA=
-----END PUBLIC KEY-----\n";
const P384_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEizt/Cx3+GYmTw978XIcsrl+bdFmMVQoR
c3u1HFPvFhgJ5lQV9I91vQWZ86V9hW4G3l/rhsEdb/8mPFpMIQ3N6yqz2y0YmT+t
mfkay9JV4bHhwY+qWZmGGqJegmPyaprT
-----END PUBLIC KEY-----\n";
const RSA_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAn1pf37IOXt1AvdLVQ0lN
iFaHGiMShFaU51xDqsXar3K0g0ALX7nhFtzRsRnM95aPwzeEjRUqaD6evHgaUk9g
7KygVEM+/NZG8U5OKHluzGww0JV1qM2Eo9BDMbnYdLPj0nfdI+OfzXfrKTBVCKLr
j5AMXC3Ifs2MxoVJospgcoOkEEeS8t3yjlT9HhXad6iFELgo92LTnbUp7fsGYb7G
VqdwD3MCFMX58RbEMrfUk3rFgElBqI7ha/Skme4curSh37Qil4cZrYUt5/z/eRRO
Jd6ReO8e8LxUStR3QtZMapucEbHnp7CMWIU3CqLdZXNlZ604W8aKrkqfot+Uw26I
zQIDAQAB
-----END PUBLIC KEY-----\n";

/// Key, kind, signature of `message`.
const SIGNED: [(&str, KeyKind, &str); 6] = [
    (P256_PUBLIC, KeyKind::EcdsaP256, "MEUCIQCRRO/RiYez7+/4h/y4/2Gf1vp7mH59Nv4yPsy7kCzDAQIgQxKVk42/gRx3BbeP+osxpjmKPOetRDRIr/l5P4J4pQ0="),
    (
        P256_COMPRESSED,
        KeyKind::EcdsaP256,
        "MEYCIQCm2WStXXa/hwMvmthQtO8GocrTA4gw067At0QWvKzxdwIhANIk9HnUBVEWD4i7+jC6ivm/ljbXq5rosLGc3hzhQtHr",
    ),
    (ED25519_PUBLIC, KeyKind::Ed25519, "DgLzPOghbcrrX/CHMXPg1XVeYnnOPu8WfbD+mX5IRN24RoYsikQ/tIWMtzbi9RbsG9UlXZS0fOh2iyPhcjH2Bg=="),
    (
        P384_PUBLIC,
        KeyKind::EcdsaP384,
        "MGYCMQCO1SOIb/SFQF33/pPAOJpqDDbdSNIMg7P58M+vQZbOWDdPYOhrE00/gRcAJJVdkggCMQC5LiYCErBcaFOiZZ5/GgD5npfpX4dFCLWRegQqkezOp/5bxBQPW79OmYYbJeSSylE=",
    ),
    (
        P384_PUBLIC,
        KeyKind::EcdsaP384,
        "MGUCME0xEoQnBPn2aJr+LL/AC/+6rXq5KUJ2TjM847JeMu+6dRkw9gTvJz0p1W+xwAsbQAIxAOTIj1HVtVGs6SYokleKETl3uu3Feyi6GsxWbeHf/Y21NU7aU4DRyXAZdVoMR+d73Q==",
    ),
    (
        RSA_PUBLIC,
        KeyKind::Rsa,
        "P7zXJehwtDMBEao5EeTvoOgEEu++hTnfMW3BVh//7qXtIEyVJoqR54El2Mu+fYXF8MqopYt7/p8Gj/Igj8rcxdnaaLFAhCQGJapwOOIBYJ1Ixw5Mci1XAC4Nmbk3GxaxK3Sa9hGqxH/1DTWKy+SnVy97gj7ujSOgXUHwPesEf8riCBEQi3Hxe4QONGc/V0QzkG8YOnOh5fqdan24qnWBfF549AYBRguXjV4nNPCQgDMNSqpuIR91YA2MSCY01qSZTBj26ZJ/YPlbrajTCqvQvk0aOqYj9kOFhBsKoct6lBTbrfW4u4hzYhwfEIlOf6YrPLG1Gjig38u8qggPJfNtaw==",
    ),
];

#[test]
fn signatures_of_openssl_verify() {
    for (key, kind, signature) in SIGNED {
        let key = PublicKey::from_pem(key).expect("a key");
        let signature = STANDARD.decode(signature).expect("base64");
        assert_eq!(key.kind(), kind);
        assert!(key.verify(b"message", &signature), "{key:?}");
        assert!(!key.verify(b"messagf", &signature), "{key:?}");
        let mut other = signature.clone();
        *other.last_mut().expect("bytes") ^= 1;
        assert!(!key.verify(b"message", &other) && !key.verify(b"message", b""), "{key:?}");
    }
}

#[test]
fn a_public_key_has_one_form_and_one_name() {
    let [plain, compressed] = [P256_PUBLIC, P256_COMPRESSED].map(|text| PublicKey::from_pem(text).expect("a key"));
    assert_eq!((plain.to_pem().as_str(), plain.key_id()), (P256_PUBLIC, compressed.key_id()));
    assert_eq!(plain, compressed);
    for text in [ED25519_PUBLIC, P384_PUBLIC, RSA_PUBLIC] {
        assert_eq!(PublicKey::from_pem(text).expect("a key").to_pem(), text);
    }
}

#[test]
fn private_keys_sign_and_survive_being_written() {
    let made = SigningKey::generate().expect("a key").to_pem().expect("PEM");
    for (text, kind) in [(SEC1, KeyKind::EcdsaP256), (P256, KeyKind::EcdsaP256), (ED25519, KeyKind::Ed25519), (&made, KeyKind::EcdsaP256)] {
        let key = SigningKey::from_pem(text).expect("a key");
        let again = SigningKey::from_pem(&key.to_pem().expect("PEM")).expect("a key");
        assert_eq!((key.public().kind(), key.public()), (kind, again.public()));
        let signature = again.sign(b"message").expect("signed");
        assert!(PublicKey::from_pem(&key.public().to_pem()).expect("a key").verify(b"message", &signature));
        assert!(!format!("{key:?}").contains(&text[40..60]));
    }
    assert_eq!(SigningKey::from_pem(P256).expect("a key").public().to_pem(), P256_PUBLIC);
}

#[test]
fn what_is_no_key_is_refused_with_what_to_do() {
    let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----";
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    let cosign = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----";
    let short = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----";
    for text in [ENCRYPTED, ENCRYPTED_SEC1, cosign] {
        assert_eq!(SigningKey::from_pem(text).expect_err(text), KeyProblem::Encrypted);
    }
    for text in [P384, rsa, short] {
        assert_eq!(SigningKey::from_pem(text).expect_err(text), KeyProblem::CannotSign);
    }
    assert_eq!(SigningKey::from_pem(P256_PUBLIC).expect_err("public"), KeyProblem::Public);
    assert_eq!(SigningKey::from_pem(certificate).expect_err("certificate"), KeyProblem::SomethingElse("CERTIFICATE".into()));
    assert_eq!(SigningKey::from_pem("").expect_err("empty"), KeyProblem::Pem(PemError::NoBlock));
    for text in [P256, SEC1, ENCRYPTED, rsa] {
        assert_eq!(PublicKey::from_pem(text).expect_err(text), KeyProblem::Private);
    }
    assert_eq!(PublicKey::from_pem(certificate).expect_err("certificate"), KeyProblem::SomethingElse("CERTIFICATE".into()));
}

#[test]
fn bare_points_and_foreign_keys_are_no_public_keys() {
    let der = PublicKey::from_pem(P256_PUBLIC).expect("a key").der;
    for wrong in [&der[26..], &der[..90], &[7; 32], &[], &[0x30], &[0x30, 0x82]] {
        assert_eq!(PublicKey::from_der(wrong).expect_err("no key"), KeyProblem::CannotVerify);
    }
    let extended: Vec<u8> = der.iter().copied().chain([0]).collect();
    assert!(PublicKey::from_der(&extended).is_err(), "nothing may follow");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_key_or_refused(at in 0usize..91, byte: u8, cut in 0usize..92) {
        let mut der = PublicKey::from_pem(P256_PUBLIC).expect("a key").der;
        der[at] = byte;
        der.truncate(cut);
        if let Ok(key) = PublicKey::from_der(&der) {
            proptest::prop_assert_eq!(PublicKey::from_der(key.der()).expect("canonical"), key);
        }
    }
}
