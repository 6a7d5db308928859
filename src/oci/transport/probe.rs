//! Whether a registry on this machine speaks TLS.
//!
//! Plain HTTP is allowed to loopback hosts without being asked for, but they may speak TLS as well. One greeting tells: a TLS
//! server answers it with a TLS record, anything else does not. No credential and no name is sent.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long a server on this machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// First bytes of TLS records: alert and handshake (RFC 8446 §5.1).
const TLS_RECORDS: [u8; 2] = [21, 22];

/// Whether the server at `authority` (`HOST:PORT`) answers in TLS. `None` when it cannot be reached or does not answer.
pub(super) async fn speaks_tls(authority: &str) -> Option<bool> {
    tokio::time::timeout(PATIENCE, ask(authority)).await.ok().flatten()
}

async fn ask(authority: &str) -> Option<bool> {
    let mut stream = TcpStream::connect(authority).await.ok()?;
    stream.write_all(&GREETING.concat()).await.ok()?;
    let mut first = [0_u8; 1];
    let count = stream.read(&mut first).await.ok()?;
    (count == 1).then(|| TLS_RECORDS.contains(&first[0]))
}

/// A TLS 1.2 `ClientHello` (RFC 5246 §7.4.1.2) that is never followed by anything. Its bytes are fixed: drawing randomness and keys
/// for a real one costs more than everything else a job that has nothing to do does. The type of the extension "supported groups"
/// is a line feed, at which a server of plain HTTP stops waiting for the rest of the line.
const GREETING: [&[u8]; 9] = [
    &[22, 3, 1, 0, 81],                                         // record: handshake, 81 bytes
    &[1, 0, 0, 77],                                             // ClientHello, 77 bytes
    &[3, 3],                                                    // TLS 1.2
    b"build-runner asks: is this TLS??",                        // random
    &[0, 0, 8, 0xc0, 0x2f, 0xc0, 0x30, 0xc0, 0x2b, 0xc0, 0x2c], // no session; ECDHE with AES-GCM
    &[1, 0, 0, 28],                                             // no compression; 28 bytes of extensions
    &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23],                         // supported groups: x25519, secp256r1
    &[0, 11, 0, 2, 1, 0],                                       // point formats: uncompressed
    &[0, 13, 0, 8, 0, 6, 8, 4, 4, 1, 4, 3],                     // signatures: RSA-PSS, RSA, ECDSA with SHA-256
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers the first thing it hears with `answer`.
    async fn server(answer: &'static [u8]) -> (String, tokio::task::JoinSet<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("bound").to_string();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("client");
            let mut heard = [0_u8; 64];
            let _ = stream.read(&mut heard).await;
            let _ = stream.write_all(answer).await;
        });
        (address, tasks)
    }

    #[test]
    fn the_greeting_has_the_lengths_it_says_and_a_line_feed() {
        let bytes = GREETING.concat();
        assert_eq!((bytes.len(), usize::from(bytes[4]), usize::from(bytes[8])), (86, bytes.len() - 5, bytes.len() - 9));
        assert!(bytes.contains(&b'\n'));
    }

    #[tokio::test]
    async fn tells_tls_from_anything_else() {
        for (answer, expected) in
            [(&[22, 3, 3][..], Some(true)), (&[21, 3, 3], Some(true)), (b"HTTP/1.1 400 Bad Request", Some(false)), (b"", None)]
        {
            let (address, _tasks) = server(answer).await;
            assert_eq!(speaks_tls(&address).await, expected, "{answer:?}");
        }
    }
}
