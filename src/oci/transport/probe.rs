//! Whether a registry on this machine speaks TLS.
//!
//! Plain HTTP is allowed to loopback hosts without being asked for, but they may speak TLS as well. One greeting tells: a TLS
//! server answers it with a TLS record, anything else does not. No credential and no name is sent.

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
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
    stream.write_all(&greeting()?).await.ok()?;
    let mut first = [0_u8; 1];
    let count = stream.read(&mut first).await.ok()?;
    (count == 1).then(|| TLS_RECORDS.contains(&first[0]))
}

/// A complete TLS `ClientHello`.
fn greeting() -> Option<Vec<u8>> {
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from("localhost").ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).ok()?;
    }
    Some(bytes)
}

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

    #[tokio::test]
    async fn tells_tls_from_anything_else() {
        super::super::tls::install_provider();
        for (answer, expected) in
            [(&[22, 3, 3][..], Some(true)), (&[21, 3, 3], Some(true)), (b"HTTP/1.1 400 Bad Request", Some(false)), (b"", None)]
        {
            let (address, _tasks) = server(answer).await;
            assert_eq!(speaks_tls(&address).await, expected, "{answer:?}");
        }
    }
}
