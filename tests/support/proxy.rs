//! A TCP proxy on loopback for faults below HTTP: latency, a connection cut in the middle, one that stalls.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// What a proxy does to its connections. The default passes everything on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Delay of every byte, each way: a round trip takes twice as long.
    pub(crate) latency: Duration,
    /// Closes a connection after it has brought this many bytes from the server, or to it.
    pub(crate) cut: Option<Cut>,
}

/// Where a connection breaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// Counted from the client to the server (`true`: uploads) or the other way (`false`: downloads).
    pub(crate) upload: bool,
    /// Bytes that pass before it breaks.
    pub(crate) after: u64,
    /// How many connections break; the ones after them pass.
    pub(crate) times: u32,
}

/// A proxy in front of a server.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    faults: Faults,
    connections: u32,
    cuts: u32,
    closed: bool,
    /// Both ends of every living connection, for [`Proxy::outage`]. Weak: one that is held would never be closed.
    streams: Vec<Weak<TcpStream>>,
}

impl Proxy {
    /// A proxy in front of `server`.
    pub(crate) fn start(server: SocketAddr, faults: Faults) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), server, faults)
    }

    /// A proxy in front of `server`, on an address of its own choice: the one of a proxy that had an outage.
    pub(crate) fn start_at(address: SocketAddr, server: SocketAddr, faults: Faults) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { faults, connections: 0, cuts: 0, closed: false, streams: Vec::new() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                {
                    let mut state = shared.lock().unwrap();
                    if state.closed {
                        return;
                    }
                    state.connections += 1;
                }
                // A server that is gone refuses its own clients: so does the proxy, by closing.
                if let Ok(server) = TcpStream::connect(server) {
                    let (client, server) = (Arc::new(client), Arc::new(server));
                    shared.lock().unwrap().streams.extend([Arc::downgrade(&client), Arc::downgrade(&server)]);
                    pipe(&client, &server, true, &shared);
                    pipe(&server, &client, false, &shared);
                }
            }
        });
        Self { address, state }
    }

    /// `127.0.0.1:port`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it and every connection through it: from now on its address refuses.
    pub(crate) fn outage(mut self) {
        self.close();
        for stream in self.state.lock().unwrap().streams.drain(..) {
            // One that is closed already is what we want.
            if let Some(stream) = stream.upgrade() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    fn close(&mut self) {
        self.state.lock().unwrap().closed = true;
        // Wakes the accept; once it is answered by nobody, the thread has gone.
        while TcpStream::connect(self.address).is_ok() {}
    }

    /// Connections made so far.
    pub(crate) fn connections(&self) -> u32 {
        self.state.lock().unwrap().connections
    }

    /// Connections cut so far.
    pub(crate) fn cuts(&self) -> u32 {
        self.state.lock().unwrap().cuts
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close();
    }
}

/// Carries one direction of a connection, with its faults, in two threads: one reads, one writes each chunk when it is due.
fn pipe(from: &Arc<TcpStream>, to: &Arc<TcpStream>, upload: bool, state: &Arc<Mutex<State>>) {
    let faults = state.lock().unwrap().faults;
    let (from, to) = (Arc::clone(from), Arc::clone(to));
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    from.set_nodelay(true).unwrap();
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        let mut passed = 0;
        while let Ok(read @ 1..) = (&*from).read(&mut buffer) {
            passed += read as u64;
            if faults.cut.is_some_and(|cut| cut.upload == upload && passed > cut.after && state.lock().unwrap().take_cut(cut)) {
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
            if sender.send((Instant::now() + faults.latency, buffer[..read].to_vec())).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        while let Ok((due, chunk)) = receiver.recv() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if (&*to).write_all(&chunk).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

impl State {
    fn take_cut(&mut self, cut: Cut) -> bool {
        let more = self.cuts < cut.times;
        self.cuts += u32::from(more);
        more
    }
}
