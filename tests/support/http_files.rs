//! A static HTTP/1.1 file server on loopback: chart repositories, archives. Counts requests and can ask for a password.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Serves a folder until the test process ends; the socket closes to new requests when this is dropped.
#[derive(Debug)]
pub(crate) struct HttpFiles {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    /// `Basic …`, when a password is asked for.
    authorization: Option<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<String>,
    closed: bool,
}

impl HttpFiles {
    /// Serves `root` to anybody.
    pub(crate) fn serve(root: &Path) -> Self {
        Self::start(root, None)
    }

    /// Serves `root` to whoever knows the password; 401 to the others.
    pub(crate) fn serve_with_password(root: &Path, user: &str, password: &str) -> Self {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Self::start(root, Some(format!("Basic {encoded}")))
    }

    /// `http://127.0.0.1:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The paths asked for so far, with their method: `GET /index.yaml`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    fn start(root: &Path, authorization: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { root: root.to_owned(), authorization, state: Mutex::default() });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if server.state.lock().unwrap().closed {
                    return;
                }
                let server = Arc::clone(&server);
                std::thread::spawn(move || server.connection(&stream));
            }
        });
        Self { address, shared }
    }
}

impl Drop for HttpFiles {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().closed = true;
        // Wakes the accept.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn connection(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some((method, path, authorization)) = read_request(&mut reader) {
            self.state.lock().unwrap().requests.push(format!("{method} {path}"));
            let answer = self.answer(&path, authorization.as_deref());
            if respond(&mut stream, &method, answer).is_err() {
                return;
            }
        }
    }

    fn answer(&self, path: &str, authorization: Option<&str>) -> Result<Vec<u8>, &'static str> {
        if self.authorization.is_some() && self.authorization.as_deref() != authorization {
            return Err("401 Unauthorized");
        }
        let path = Path::new(path.split('?').next().unwrap_or_default().trim_start_matches('/'));
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err("400 Bad Request");
        }
        fs::read(self.root.join(path)).map_err(|_| "404 Not Found")
    }
}

/// Method, path and authorization of the next request of a connection.
fn read_request(reader: &mut impl BufRead) -> Option<(String, String, Option<String>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut authorization = None;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            None => return Some((method, path, authorization)),
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => authorization = Some(value.to_owned()),
            Some(_) => {}
        }
    }
}

fn respond(stream: &mut impl Write, method: &str, answer: Result<Vec<u8>, &'static str>) -> std::io::Result<()> {
    let (status, body) = answer.map_or_else(|status| (status, Vec::new()), |body| ("200 OK", body));
    let challenge = if status.starts_with("401") { "WWW-Authenticate: Basic realm=\"test\"\r\n" } else { "" };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{challenge}\r\n", body.len())?;
    if method != "HEAD" {
        stream.write_all(&body)?;
    }
    stream.flush()
}
