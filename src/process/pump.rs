//! From a pipe to the log, to memory within a limit, or to nobody; and from memory to a pipe.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{
    command::Output,
    tail::Tail,
    tap::{Tap, Tapped},
};
use crate::logs::{JobLog, Stream};

/// What one stream left behind.
#[derive(Debug, Default)]
pub(super) struct Pumped {
    /// Captured bytes, at most the limit.
    pub(super) captured: Vec<u8>,
    /// The last bytes.
    pub(super) tail: Tail,
}

/// Why a stream was not read to its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// It carried more than this.
    Overflow(usize),
    /// It could not be read or written.
    Io(std::io::Error),
}

/// Reads `pipe` to its end into `into`. Cancel-safe between reads: `into` holds everything read so far.
pub(super) async fn pump(
    pipe: Option<impl AsyncRead + Unpin>,
    stream: Stream,
    output: Output,
    tap: Option<Tap>,
    log: &JobLog,
    into: &mut Pumped,
) -> Result<(), Broken> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0_u8; 32 * 1024];
    let logged = log.pipe(stream);
    let mut tapped = tap.map(|tap| Tapped::new(tap, stream));
    loop {
        let count = match pipe.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Broken::Io(error)),
        };
        let bytes = &buffer[..count];
        into.tail.push(bytes);
        if let Some(tapped) = &mut tapped {
            tapped.push(bytes);
        }
        match output {
            Output::Log => {
                logged.write(bytes);
                logged.room().await;
            }
            // What a tap writes into the log has to find room there as well.
            Output::Quiet if tapped.is_some() => logged.room().await,
            Output::Quiet => {}
            Output::Capture { limit } => {
                let room = limit.saturating_sub(into.captured.len());
                into.captured.extend_from_slice(&bytes[..count.min(room)]);
                if count > room {
                    return Err(Broken::Overflow(limit));
                }
            }
        }
    }
}

/// Writes all of `bytes` to `pipe` and closes it. A tool that does not read its input to the end is within its rights.
pub(super) async fn feed(pipe: Option<impl AsyncWrite + Unpin>, bytes: Vec<u8>) -> Result<(), Broken> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    match pipe.write_all(&bytes).await {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Broken::Io(error)),
        _ => Ok(()),
    }
}
